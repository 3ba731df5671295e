# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refusals about macvlans, and those that are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Change = Callable[[dict[str, Any]], object]


def second(**changes: Any) -> Change:
    """Change the macvlan, which is the second uplink."""
    return lambda variables: variables["kvmnet_uplinks"][1].update(changes)


def added(**uplink: Any) -> Change:
    """Add a third uplink."""
    return lambda variables: variables["kvmnet_uplinks"].append(uplink)


CASES: list[tuple[str, Change, str, str]] = [
    ("no address", lambda v: v["kvmnet_uplinks"][1].pop("address"), "[1].address", "an address of its own"),
    ("the parent's address", second(address="172.20.1.130/24"), "[1].address", "does not have"),
    ("long name", second(name="a" * 16), "[1].name", "at most 15 characters"),
    ("shell", second(name="a;reboot"), "[1].name", "letter"),
    ("lo", second(name="lo"), "[1].name", "not all or lo"),
    ("name of its card", second(name="eth0"), "[1].name", "kvmnet_uplinks[1].interface"),
    ("name of a bridge", second(name="br0"), "[1].name", "kvmnet_networks[0].bridge"),
    ("name of a port", second(name="eth2"), "[1].name", "kvmnet_networks[1].ports"),
    (
        "name of a tap",
        lambda v: (v["kvmnet_guests"][0].update(tap="vtap0"), second(name="vtap0")(v)),
        "[1].name",
        "kvmnet_guests[0].tap",
    ),
    ("not managed", second(manage=False), "[1].manage", "made here"),
    ("group MAC", second(mac="53:54:00:00:00:01"), "[1].mac", "unicast"),
    ("no MAC", second(mac="zz"), "[1].mac", "MAC"),
    ("gateway is own", second(gateway="172.20.1.130"), "[1].gateway", "host's own (kvmnet_uplinks[0].address)"),
    ("gateway is itself", second(gateway="172.20.1.131"), "[1].gateway", "host's own (kvmnet_uplinks[1].address)"),
    ("gateway off link", second(gateway="172.20.2.1"), "[1].gateway", "on the link of avvanta"),
    ("gateway of another", second(gateway="172.20.1.1"), "[1].gateway", "kvmnet_uplinks[0], on eth0 as well"),
    (
        "MAC without macvlan",
        lambda v: v["kvmnet_uplinks"][0].update(mac="52:54:00:00:00:01"),
        "[0].mac",
        "sharing: macvlan",
    ),
    ("card not ours", lambda v: v["kvmnet_uplinks"][0].pop("manage"), "[0].manage", "eth0 carries macvlans"),
    ("on a port", second(interface="eth2", gateway="dhcp", address="dhcp"), "[1].interface", "br1, the bridge"),
    (
        "on a macvlan",
        added(name="third", interface="avvanta", sharing="macvlan", address="172.20.1.132/24", gateway="172.20.1.253"),
        "[2].interface",
        "the macvlan of kvmnet_uplinks[1]",
    ),
    (
        "shares the address of a macvlan",
        added(name="third", interface="eth9", gateway="172.20.1.253"),
        "[2].address",
        "no other uplink on eth9",
    ),
    (
        "one MAC twice",
        lambda v: (
            second(mac="52:54:00:00:00:01")(v),
            added(
                name="third",
                interface="eth0",
                sharing="macvlan",
                mac="52:54:00:00:00:01",
                address="172.20.1.132/24",
                gateway="172.20.1.253",
            )(v),
        ),
        "[2].mac",
        "kvmnet_uplinks[1]",
    ),
    ("targets inside", second(targets=["203.0.113.5", "192.168.0.7"]), "[1].targets[1]", "kvmnet_networks[0]"),
]


@pytest.fixture(name="macvlan")
def fixture_macvlan(ursa: dict[str, Any]) -> dict[str, Any]:
    """The article's host, with a macvlan for its second provider."""
    ursa["kvmnet_uplinks"][1].update(sharing="macvlan", address="172.20.1.131/24", fallback=True)
    # A guest names an uplink, which some of the changes rename
    del ursa["kvmnet_guests"][3]["uplink"]
    return ursa


@pytest.mark.parametrize(("change", "place", "allowed"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_refused(
    change: Change, place: str, allowed: str, macvlan: dict[str, Any], refused: Callable[..., Any]
) -> None:
    change(macvlan)
    found = refused(macvlan)
    assert [(host, where) for host, where, _allowed in found] == [("h1", f"kvmnet_uplinks{place}")]
    assert allowed in found[0][2]


def test_right(macvlan: dict[str, Any], refused: Callable[..., Any]) -> None:
    macvlan["kvmnet_uplinks"] += [
        # A third provider on the wire shares the address of the card
        {"name": "shared", "interface": "eth0", "gateway": "172.20.1.253", "fallback": True},
        # Two on a card without an address of its own
        {"name": "left", "interface": "eth5", "sharing": "macvlan", "address": "dhcp", "gateway": "dhcp"},
        {"name": "right", "interface": "eth5", "sharing": "macvlan", "address": "dhcp", "mac": "52:54:00:00:00:07"},
        # On a bridge that guests use too
        {"name": "wire", "interface": "br7", "sharing": "macvlan", "address": "10.7.0.2/24", "gateway": "10.7.0.1"},
    ]
    macvlan["kvmnet_networks"].append({"name": "wire", "bridge": "br7", "ports": ["eth7"], "zone": "net"})
    assert refused(macvlan) == []
