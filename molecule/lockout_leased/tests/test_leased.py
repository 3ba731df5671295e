# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address of the card that the host is managed by is leased, by a server that goes by its MAC address."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "faults"))

from machine import Machine, differing
from run import INVENTORY

MOVED = {
    "fault_roles": ["host_bridge", "shorewall"],
    "kvmnet_uplinks": [
        {"name": "isp", "interface": "br1", "address": "dhcp", "gateway": "dhcp", "primary": True, "manage": True}
    ],
    "kvmnet_networks": [
        {"name": "loc", "bridge": "br0", "address": "192.168.30.254/24", "address6": "2001:db8:30:1::1/64"},
        {"name": "wire", "bridge": "br1", "ports": ["eth0"], "zone": "net"},
    ],
    "fault_precheck": True,
    "fault_timeout": 30,
}
# As Debian's installer leaves a card whose address is leased; the server knows it by its MAC address.
_LEASED = """
cp /etc/network/interfaces /root/static
sed '/^iface eth0/,$ {/^iface/!d; s/static/dhcp/}' /root/static > /root/leased
"""
# What is up goes down as it came.
_ANEW = "systemctl stop networking; cp /root/{0} /etc/network/interfaces; systemctl start networking"


@pytest.fixture(name="old", scope="module")
def fixture_old() -> Machine:
    """Give the host, where systemd-networkd does not even run."""
    old = Machine(INVENTORY, "old")
    old.shell("systemctl disable --now systemd-networkd.socket systemd-networkd.service")
    return old


@pytest.fixture(name="leased")
def fixture_leased(old: Machine) -> Iterator[None]:
    """Have the card's address leased by the provider, to a client that ifupdown runs."""
    mac = old.shell("cat /sys/class/net/eth0/address").strip()
    argv = [*([] if os.geteuid() == 0 else ["sudo", "-n"]), "ip", "netns", "exec", "kvmnet-isp", "dnsmasq"]
    argv += ["--no-daemon", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--interface=lan"]
    argv += ["--dhcp-range=192.0.2.30,static,255.255.255.0,10m", f"--dhcp-host={mac},192.0.2.30"]
    argv += ["--dhcp-option=option:router,192.0.2.1", "--leasefile-ro"]
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        old.shell(_LEASED + _apart(_ANEW.format("leased")))
        assert _becomes(old, "inet 192.0.2.30/24 .* dynamic")
        yield
    finally:
        old.shell(_apart(_ANEW.format("static")))
        back = _becomes(old, "inet 192.0.2.30/24 brd 192.0.2.255 scope global eth0")
        server.terminate()
        server.wait(10)
    assert back


def _apart(command: str) -> str:
    return f"systemd-run --quiet --collect sh -c '{command}'"


def _becomes(old: Machine, words: str) -> bool:
    """Whether the card has such an address before long."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(1)
        if old.reachable() and old.shell(f"ip -4 -o address show dev eth0 | grep '{words}' || true"):
            return True
    return False


@pytest.mark.usefixtures("leased")
def test_a_leased_address_is_leased_to_the_bridge_and_back(old: Machine) -> None:
    """By the same server, which goes by the MAC address of the card that the controller is connected by."""
    before = old.state()
    outcome = old.change(MOVED)
    assert outcome.code == 0, outcome.text
    assert "inet 192.0.2.30/24 metric 1024 brd 192.0.2.255 scope global dynamic br1" in old.shell("ip address show br1")
    assert old.shell("pgrep dhclient || true") == ""
    undone = old.change({"fault_rollback": True, "fault_precheck": True, "fault_timeout": 30})
    assert undone.code == 0, undone.text
    assert _becomes(old, "inet 192.0.2.30/24")
    assert differing(before, old.state()) == {}
    assert old.shell("pgrep dhclient")
