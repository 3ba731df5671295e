# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Which cards share a wire: one wire per subnet, and one for two subnets that meet on a card."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._hosts import Host, Port, is_private

# Where cards go that ask for an address and whose inventory does not say from which subnet
DHCP_POOL = IPv4Network("172.31.0.0/16")


@dataclass
class Wire:
    """A cable with everything plugged into it."""

    label: str
    subnets: list[IPv4Network] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of the bridge that stands for it."""
        return wire_name(self.label)

    @property
    def private(self) -> bool:
        """Whether who stands here needs address translation to reach the internet."""
        return all(is_private(s) for s in self.subnets)

    def prefix(self, address: IPv4Address) -> IPv4Network | None:
        """The subnet of this wire that an address is in."""
        return next((s for s in self.subnets if address in s), None)

    @property
    def prefixes6(self) -> list[IPv6Network]:
        """The IPv6 networks of those who stand here."""
        return list(dict.fromkeys(a.network for p in self.ports for a in p.addresses6))

    def used(self) -> set[IPv4Address]:
        """Addresses that somebody in the inventory has."""
        found = {a.ip for p in self.ports for a in p.addresses}
        return found | {g.address for p in self.ports for g in p.gateways}


def wire_name(label: str) -> str:
    """A device name of fixed length for any label."""
    return "w" + hashlib.sha256(label.encode()).hexdigest()[:10]


def lay_wires(hosts: Sequence[Host]) -> list[Wire]:
    """Plug every card in."""
    ports = [port for host in hosts for port in host.ports.values()]
    _place_dhcp(hosts, ports)
    groups: list[tuple[set[str], list[Port]]] = []
    for port in ports:
        keys = {port.label} if port.label else {str(s) for s in port.subnets}
        keys = {str(k) for k in keys} or {f"{port.host}/{port.interface}"}
        members = [port]
        for group in [g for g in groups if g[0] & keys]:
            keys |= group[0]
            members = group[1] + members
            groups.remove(group)
        groups.append((keys, members))
    wires = []
    for keys, members in groups:
        wire = Wire(members[0].label or (str(members[0].subnets[0]) if members[0].subnets else min(keys)))
        for port in members:
            port.wire = wire.name
            wire.ports.append(port)
            wire.subnets += [s for s in port.subnets if s not in wire.subnets]
        wires.append(wire)
    return sorted(wires, key=lambda w: w.label)


def _place_dhcp(hosts: Sequence[Host], ports: Sequence[Port]) -> None:
    """A card that asks for its address stands where its gateway is, where it is managed, or on a wire of its own."""
    known = [s for p in ports for s in p.subnets]
    pool = DHCP_POOL.subnets(new_prefix=24)
    for port in ports:
        if not port.dhcp or port.subnets:
            continue
        host = next(h for h in hosts if h.name == port.host)
        if port.label and "/" in port.label:
            subnet = IPv4Network(port.label)
        else:
            subnet = _guess(host, port, known) or next(n for n in pool if n not in known)
        port.subnets.append(subnet)
        known.append(subnet)


def _guess(host: Host, port: Port, known: Sequence[IPv4Network]) -> IPv4Network | None:
    for gateway in port.gateways:
        near = next((s for s in known if gateway.address in s), None)
        return near or IPv4Network(f"{gateway.address}/24", strict=False)
    address = host.management
    if address is None or any(address in s for p in host.ports.values() for s in p.subnets):
        return None
    return next((s for s in known if address in s), IPv4Network(f"{address}/24", strict=False))
