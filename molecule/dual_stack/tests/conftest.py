# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets of both versions of IP, from anywhere in the lab."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

SITES = {"old": 4, "new": 6}
# Each place by its IPv4 and its IPv6 address; {0} is the number of the site
PLACES = {
    "host": ("192.0.2.{1}", "2001:db8:0:1::{0}"),
    "gate": ("10.{0}.1.254", "2001:db8:{0}:1::1"),
    "dmzgate": ("10.{0}.2.254", "2001:db8:{0}:2::1"),
    "server": ("10.{0}.2.25", "2001:db8:{0}:2::25"),
    "hidden": ("10.{0}.3.1", "fd00:{0}:3::2"),
    # Forwarded by IPv4, allowed by IPv6
    "published": ("192.0.2.{1}", "2001:db8:{0}:2::25"),
    "stranger": ("203.0.113.10", "2001:db8:ffff::10"),
    "somewhere": ("198.51.100.77", "2001:db8:1234::77"),
}


class Packets:
    """What becomes of packets."""

    def __init__(self, managed: Callable[[str], Host], station: Callable[[str], Any], probe: Any) -> None:
        self.probe = probe
        self.hosts = {name: managed(name) for name in SITES}
        self.station = station

    def machine(self, name: str, site: str) -> Any:
        """Give a machine: the host of a site, somebody behind it, or somebody outside."""
        if name == "host":
            return self.hosts[site]
        return self.station(f"{name}-{site}" if name in ("desk", "server", "hidden") else name)

    def address(self, place: str, site: str, version: int) -> str:
        """Give the address of a place."""
        return PLACES[place][version == 6].format(SITES[site], 10 if site == "old" else 20)

    def knock(self, start: str, site: str, address: str, port: int, source: str = "") -> str:
        """Try a TCP connection."""
        return str(self.probe.knock(self.machine(start, site), address, port, source))

    def ping(self, start: str, site: str, address: str) -> str:
        """Try an echo request."""
        return str(self.probe.ping(self.machine(start, site), address))

    def send(self, start: str, site: str, address: str) -> str:
        """Send a datagram that nobody expects."""
        return str(self.probe.send(self.machine(start, site), address))

    def link_local(self, start: str, site: str, card: str) -> str:
        """Give the link-local address of a host's card, as somebody on the same wire names it."""
        shown = json.loads(self.hosts[site].check_output(f"ip -j -6 address show dev {card} scope link"))
        (address,) = [entry["local"] for entry in shown[0]["addr_info"] if "local" in entry]
        return f"{address}%{'lan' if start == 'isp' else 'eth0'}"


@pytest.fixture(scope="session")
def packets(managed: Callable[[str], Host], station: Callable[[str], Any], probe: Any) -> Packets:
    """Give the hands."""
    return Packets(managed, station, probe)
