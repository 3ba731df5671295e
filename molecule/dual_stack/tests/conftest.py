# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets of both versions of IP, from anywhere in the lab."""

from __future__ import annotations

import json
import shlex
import sys
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
# A rejected connection is told so by a reset; nobody says anything to a dropped one
KNOCK = """
import socket, sys
address, port, source = sys.argv[1:]
try:
    socket.create_connection((address, int(port)), 1.5, (source, 0) if source else None)
    print("open")
except ConnectionRefusedError:
    print("rejected")
except TimeoutError:
    print("dropped")
"""
# One echo request; the kernel counts the checksum of IPv6's
PING = """
import os, socket, struct, sys, time
six = ":" in sys.argv[1]
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return ~((total >> 16) + total & 0xFFFF) & 0xFFFF
mine = struct.pack("!HH", os.getpid() & 0xFFFF, 1)
kind, answer = (128, 129) if six else (8, 0)
head = struct.pack("!BBH", kind, 0, checksum(struct.pack("!BBH", kind, 0, 0) + mine))
family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
wire = socket.socket(family, socket.SOCK_RAW, protocol)
wire.sendto(head + mine, (sys.argv[1], 0))
deadline = time.monotonic() + 1.5
while (left := deadline - time.monotonic()) > 0:
    wire.settimeout(left)
    try:
        packet = wire.recv(200)[0 if six else 20:]
    except TimeoutError:
        continue
    if packet[0] == answer and packet[4:8] == mine:
        print("answered"); break
else:
    print("dropped")
"""
# One datagram; who says that nobody wants it, if anybody does
SEND = """
import socket, sys, time
six = ":" in sys.argv[1]
family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
wire = socket.socket(family, socket.SOCK_RAW, protocol)
socket.socket(family, socket.SOCK_DGRAM).sendto(b"", (sys.argv[1], 4444))
deadline = time.monotonic() + 1.5
while (left := deadline - time.monotonic()) > 0:
    wire.settimeout(left)
    try:
        packet, sender = wire.recvfrom(400)
    except TimeoutError:
        continue
    if packet[0 if six else 20:][:2] == (bytes([1, 4]) if six else bytes([3, 3])):
        print(sender[0]); break
else:
    print("dropped")
"""


def ask(machine: Any, *argv: str) -> str:
    """Run a small program on a machine of the lab, simulated or managed, and return what it prints."""
    if isinstance(machine, Host):
        return str(machine.check_output(shlex.join(["python3", "-c", *argv]))).strip()
    done = machine.run(sys.executable, "-c", *argv)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).strip()


class Packets:
    """What becomes of packets."""

    def __init__(self, managed: Callable[[str], Host], station: Callable[[str], Any]) -> None:
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
        return ask(self.machine(start, site), KNOCK, address, str(port), source)

    def ping(self, start: str, site: str, address: str) -> str:
        """Try an echo request."""
        return ask(self.machine(start, site), PING, address)

    def send(self, start: str, site: str, address: str) -> str:
        """Send a datagram that nobody expects."""
        return ask(self.machine(start, site), SEND, address)

    def link_local(self, start: str, site: str, card: str) -> str:
        """Give the link-local address of a host's card, as somebody on the same wire names it."""
        shown = json.loads(self.hosts[site].check_output(f"ip -j -6 address show dev {card} scope link"))
        (address,) = [entry["local"] for entry in shown[0]["addr_info"] if "local" in entry]
        return f"{address}%{'lan' if start == 'isp' else 'eth0'}"


@pytest.fixture(scope="session")
def packets(managed: Callable[[str], Host], station: Callable[[str], Any]) -> Packets:
    """Give the hands."""
    return Packets(managed, station)
