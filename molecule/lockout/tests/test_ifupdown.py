# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that Debian's installer set up: the card that it is managed by is ifupdown's until it moves into a bridge."""

from __future__ import annotations

import pytest
from machine import Machine, differing
from run import INVENTORY

UPLINK = {"name": "isp", "interface": "eth0", "address": "192.0.2.30/24", "gateway": "192.0.2.1", "primary": True}
LOCAL = {"name": "loc", "bridge": "br0", "address": "192.168.30.254/24", "address6": "2001:db8:30:1::1/64"}
MOVED = {
    "fault_roles": ["host_bridge", "shorewall"],
    "kvmnet_uplinks": [{**UPLINK, "interface": "br1", "manage": True}],
    "kvmnet_networks": [LOCAL, {"name": "wire", "bridge": "br1", "ports": ["eth0"], "zone": "net"}],
    "fault_precheck": True,
    "fault_timeout": 20,
}
WHY = "# ursa.kvmnet: eth0 is configured by systemd-networkd, /etc/systemd/network/50-kvmnet-eth0.network"


@pytest.fixture(name="old", scope="module")
def fixture_old() -> Machine:
    """Give the host."""
    return Machine(INVENTORY, "old")


@pytest.fixture(name="as_installed", scope="module")
def fixture_as_installed(old: Machine) -> dict[str, list[str]]:
    """Give its state while ifupdown has the card, and systemd-networkd does not even run."""
    old.shell("systemctl disable --now systemd-networkd.socket systemd-networkd.service")
    assert "eth0=eth0" in old.shell("cat /run/network/ifstate")
    return old.state()


def test_a_lock_out_in_the_middle_of_it_gives_the_card_back(old: Machine, as_installed: dict[str, list[str]]) -> None:
    locked = {"argv": ["sh", "-c", "ip address flush dev br1; iptables -P INPUT DROP; iptables -F INPUT"]}
    outcome = old.change({**MOVED, "fault_commands": [locked], "fault_timeout": 12})
    assert (outcome.failed, outcome.unreachable) == (1, 0), outcome.text
    said = " ".join(outcome.text.split())
    assert "The commit was undone by the host: no new connection confirmed" in said, outcome.text
    assert "the file /etc/network/interfaces" in said, outcome.text
    assert "Everything is as it was before" in said, outcome.text
    assert differing(as_installed, old.state()) == {}
    assert "eth0=eth0" in old.shell("cat /run/network/ifstate")


def test_the_card_becomes_a_port_of_a_bridge_and_is_given_back(
    old: Machine, as_installed: dict[str, list[str]]
) -> None:
    outcome = old.change(MOVED, "--diff")
    assert outcome.code == 0, outcome.text
    assert "configured by: ifupdown -> systemd-networkd" in outcome.text
    assert "192.0.2.30/24" in old.shell("ip -4 address show dev br1")
    assert "eth0" not in old.shell("cat /run/network/ifstate")
    assert f"{WHY}\n#auto eth0\n" in old.shell("cat /etc/network/interfaces")
    again = old.change(MOVED)
    assert (again.code, again.changed) == (0, 0), again.text

    moved = old.state()
    old.power_cycle()
    # Nobody can be asked whether he has the address of a bridge without ports, so nobody is waited for.
    old.shell("/usr/lib/systemd/systemd-networkd-wait-online --timeout=30")
    assert "2001:db8:30:1::1/64 scope global nodad" in old.shell("ip -6 address show dev br0")
    booted = old.state()
    # What the kernel has by default, and what runs at a boot only, is told apart elsewhere.
    of_both = ("files", "links", "addresses", "routes", "rules", "firewall")
    assert differing({layer: moved[layer] for layer in of_both}, booted) == {}

    undone = old.change({"fault_rollback": True, "fault_precheck": True, "fault_timeout": 20})
    assert undone.code == 0, undone.text
    assert differing(as_installed, old.state()) == {}
    assert "eth0=eth0" in old.shell("cat /run/network/ifstate")
