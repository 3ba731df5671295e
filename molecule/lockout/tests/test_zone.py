# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The card that the host is managed by gets another zone in the firewall, over the connection that this is about."""

from __future__ import annotations

from machine import Machine, differing
from table import LOCAL

ADDRESSES = {"address": "192.0.2.20/24", "address6": "2001:db8:0:1::20/64"}
# The wire of the controller is a network of its own, no longer an uplink.
WIRE = {
    "kvmnet_management": {"sources": ["192.0.2.0/24"], "port": 22},
    "kvmnet_uplinks": [],
    "kvmnet_rules": [],
    "kvmnet_networks": [LOCAL, {"name": "mgmt", "interface": "eth0", **ADDRESSES}],
}


def test_a_zone_that_lets_nobody_in_is_refused(machine: Machine, before: dict[str, list[str]]) -> None:
    closed = {"kvmnet_policies": [{"from": "mgmt", "to": "all", "action": "DROP"}], "shorewall_management": None}
    refused = machine.change({**WIRE, **closed, "fault_roles": ["shorewall"], "fault_precheck": True}, "--check")
    assert (refused.failed, refused.unreachable) == (1, 0), refused.text
    assert "'-A mgmt-fw -j DROP' would DROP it" in " ".join(refused.text.split()), refused.text
    assert differing(before, machine.state()) == {}


def test_the_card_moves_into_a_bridge_with_a_zone_of_its_own_and_comes_back(
    machine: Machine, before: dict[str, list[str]]
) -> None:
    card = machine.shell("cat /sys/class/net/eth0/address")
    bridged = {"name": "mgmt", "bridge": "br1", "ports": ["eth0"], **ADDRESSES}
    moved = {**WIRE, "kvmnet_networks": [LOCAL, bridged], "fault_roles": ["host_bridge", "shorewall"]}
    outcome = machine.change({**moved, "fault_precheck": True, "fault_timeout": 20})
    assert outcome.code == 0, outcome.text
    assert machine.shell("cat /sys/class/net/br1/address") == card
    assert "-A INPUT -i br1 -j " in machine.shell("iptables -S INPUT")
    assert "\nmgmt " in machine.shell("cat /etc/shorewall/zones")
    undone = machine.change({"fault_rollback": True, "fault_precheck": True, "fault_timeout": 20})
    assert undone.code == 0, undone.text
    assert differing(before, machine.state()) == {}
