# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.filter.status import status_table, uplinks_table

MAC = "52:54:00:00:00:01"


def guest(name: str, tap: str | None, mac: str = MAC) -> dict[str, Any]:
    return {"name": name, "state": "running", "interfaces": [{"tap": tap, "mac": mac}]}


def uplink(name: str, gateway: str | None, **changes: Any) -> dict[str, Any]:
    route = {"interface": "eth0", "gateway": gateway}
    found = {"name": name, "interface": "eth0", "gateway": gateway, "route": route}
    return {**found, "state": "up", "carries_traffic": False, **changes}


def host(**changes: Any) -> dict[str, Any]:
    return {
        "links": {"bridges": [], "ports": []},
        "dnsmasq": {"state": "running", "leases": []},
        "shorewall": {"state": "started"},
        "guests": {"domains": []},
        "uplinks": [],
        **changes,
    }


URSA = host(
    links={
        "bridges": [{"name": "br0", "addresses": ["10.0.0.9/24"]}, {"name": "br1", "addresses": []}],
        "ports": [{"name": "tap-web", "bridge": "br0"}, {"name": "eth1", "bridge": "br0"}],
    },
    dnsmasq={
        "leases": [
            {"mac": MAC, "address": "10.0.0.2", "name": "web"},
            {"mac": "52:54:00:00:00:99", "address": "10.0.0.50", "name": "me"},
        ]
    },
    guests={"domains": [guest("web", "tap-web"), guest("lost", "tap-lost", "52:54:00:00:00:02")]},
    uplinks=[
        uplink("com", "10.1.0.1", carries_traffic=True, seconds=7300, loss_percent=0.5, rtt_ms=9.0, share_percent=87.5),
        uplink("av", "10.1.0.2", state="moved", route={"interface": "eth0", "gateway": "10.1.0.1"}),
        uplink("off", "10.1.0.3", state="down", route=None, seconds=59, reason="nothing came back for 1 s"),
    ],
    monitor={"state": "running"},
)


def test_one_table_for_all_hosts() -> None:
    plain = host(shorewall={"state": "stopped"}, uplinks=[uplink("eth0", None, carries_traffic=True)])
    table = [line.split("  ") for line in status_table({"ursa": URSA, "bare": plain}).splitlines()]
    assert [[cell.strip() for cell in line if cell] for line in table] == [
        [
            "HOST",
            "FIREWALL",
            "BRIDGE",
            "PORT",
            "GUEST",
            "STATE",
            "LEASE",
            "UPLINK",
            "TRAFFIC",
            "SINCE",
            "LOSS",
            "RTT",
            "SHARE",
        ],
        [
            "ursa",
            "started",
            "br0 10.0.0.9/24",
            "tap-web",
            "web",
            "running",
            "10.0.0.2",
            "com eth0 via 10.1.0.1",
            "yes",
            "2 h",
            "0.5 %",
            "9 ms",
            "87.5 %",
        ],
        ["eth1", "av eth0 via 10.1.0.2", "moved to 10.1.0.1"],
        ["br1", "-", "off eth0 via 10.1.0.3", "down", "59 s"],
        ["-", "lost", "running"],
        ["(me)", "10.0.0.50"],
        ["bare", "stopped", "eth0", "yes"],
        ["ursa: uplink off: nothing came back for 1 s"],
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "-"),
        ({"carries_traffic": True}, "yes"),
        ({"state": "down", "route": {"interface": "eth0", "gateway": "10.1.0.1"}}, "down, moved to 10.1.0.1"),
        ({"state": "forced", "route": {"interface": "ppp0", "gateway": None}}, "drill, moved to ppp0"),
        ({"state": "absent", "route": None}, "absent"),
        ({"state": "down", "carries_traffic": True}, "down"),
    ],
)
def test_what_becomes_of_an_uplinks_traffic(changes: dict[str, Any], said: str) -> None:
    found = status_table({"h": host(uplinks=[uplink("av", "10.1.0.2", **changes)])}).splitlines()[1]
    assert found.split("via 10.1.0.2")[1].strip() == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7300, "2 h"), (200000, "2 d")]
)
def test_ages_are_short(seconds: int, said: str) -> None:
    found = status_table({"h": host(uplinks=[uplink("av", None, seconds=seconds)])}).splitlines()[1]
    assert found.endswith(said)


def test_several_uplinks_that_nobody_watches_are_told() -> None:
    uplinks = [uplink("com", "10.1.0.1"), uplink("av", "10.1.0.2")]
    assert status_table({"h": host(uplinks=uplinks, monitor={"state": "silent"})}).splitlines()[-1] == (
        "h: nobody watches the uplinks: the monitor is silent"
    )
    assert "nobody" not in status_table({"h": host(uplinks=uplinks[:1])})


def test_a_commit_that_did_not_last_is_told() -> None:
    last = {
        "outcome": "undone",
        "by": "192.0.2.100",
        "seconds": 400,
        "reason": "a step failed",
        "left": ["br9 is gone"],
    }
    guard = {"state": "idle", "by": None, "last": last}
    assert status_table({"h": host(guard=guard)}).splitlines()[-2:] == [
        "h: the last commit, by 192.0.2.100, was undone 6 min ago: a step failed",
        "h: not as before that commit: br9 is gone",
    ]
    assert "commit" not in status_table({"h": host(guard={**guard, "last": {**last, "outcome": "confirmed"}})})
    waiting = {"state": "unconfirmed", "by": "192.0.2.7", "last": None}
    told = status_table({"h": host(guard=waiting)})
    assert told.endswith("h: a commit by 192.0.2.7 is not confirmed yet")


def test_the_uplinks_of_one_host_with_their_connections() -> None:
    uplinks = [
        uplink("com", "10.1.0.1", connections=3),
        uplink("av", "10.1.0.2", state="forced", reason="drill: held down"),
    ]
    lines = uplinks_table(host(uplinks=uplinks, monitor={"state": "running"})).splitlines()
    assert [line.split() for line in lines] == [
        ["UPLINK", "TRAFFIC", "SINCE", "LOSS", "RTT", "SHARE", "CONNECTIONS"],
        ["com", "eth0", "via", "10.1.0.1", "-", "3"],
        ["av", "eth0", "via", "10.1.0.2", "drill"],
        ["uplink", "av:", "drill:", "held", "down"],
    ]


def test_an_empty_host_is_a_line_all_the_same() -> None:
    assert status_table({"bare": host()}).splitlines()[1:] == ["bare  started"]


def test_hosts_that_did_not_answer_stand_below() -> None:
    away = {"unreachable": True, "msg": "Connection refused\nmore"}
    lines = status_table({"away": away, "bare": host(), "broken": {"failed": True, "msg": "no ip"}, "never": None})
    assert lines.splitlines()[1:] == [
        "bare  started",
        "away: unreachable: Connection refused",
        "broken: unknown: no ip",
        "never: unknown: it was not asked",
    ]
