# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.ursa.kvmnet.plugins.filter.status import status_table

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
        uplink("com", "10.1.0.1", carries_traffic=True),
        uplink("av", "10.1.0.2", state="moved", route={"interface": "eth0", "gateway": "10.1.0.1"}),
        uplink("off", "10.1.0.3", state="down", route=None),
    ],
)


def test_one_table_for_all_hosts() -> None:
    plain = host(shorewall={"state": "stopped"}, uplinks=[uplink("eth0", None, carries_traffic=True)])
    assert status_table({"ursa": URSA, "bare": plain}).splitlines() == [
        "HOST  FIREWALL  BRIDGE           PORT     GUEST  STATE    LEASE      UPLINK                 TRAFFIC",
        "ursa  started   br0 10.0.0.9/24  tap-web  web    running  10.0.0.2   com eth0 via 10.1.0.1  yes",
        "                                 eth1                                av eth0 via 10.1.0.2   moved to 10.1.0.1",
        "                br1              -                                   off eth0 via 10.1.0.3  down",
        "                                 -        lost   running",
        "                                          (me)            10.0.0.50",
        "bare  stopped                                                        eth0                   yes",
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
