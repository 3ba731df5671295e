# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""DHCP leases that contradict the reservations: until one ends, its address is kept from the guest it is for."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Lease:
    """A lease as dnsmasq keeps it."""

    mac: str
    address: str
    name: str | None
    client_id: str | None
    expires: int


@dataclass(frozen=True)
class Reservation:
    """An address, or only a name, that is kept for a MAC address."""

    mac: str
    address: str | None
    name: str | None


def parse_leases(text: str) -> list[Lease]:
    """Read a lease file; the lines of DHCPv6 are not ours."""
    leases = []
    for line in text.splitlines():
        words = line.split()
        if words and words[0] == "duid":
            break
        if len(words) < 5:
            continue
        expires, mac, address, name, client_id = words[:5]
        leases.append(
            Lease(
                mac=mac.lower(),
                address=address,
                name=None if name == "*" else name,
                client_id=None if client_id == "*" else client_id,
                expires=int(expires) if expires.isdigit() else 0,
            )
        )
    return leases


def parse_reservations(text: str) -> list[Reservation]:
    """Read a dhcp-hostsfile of lines C(MAC[,set:TAG][,ADDRESS][,NAME])."""
    found = []
    for line in text.splitlines():
        words = [word.strip() for word in line.partition("#")[0].split(",")]
        words = [word for word in words if not word.startswith("set:")]
        if not words[0]:
            continue
        address = next((word for word in words[1:] if word.count(".") == 3 and word.replace(".", "").isdigit()), None)
        name = next((word for word in words[1:] if word and word != address), None)
        found.append(Reservation(words[0].lower(), address, name))
    return found


def contradictions(
    leases: Iterable[Lease], before: Iterable[Reservation], after: Iterable[Reservation], now: float
) -> list[tuple[Lease, str]]:
    """Return the leases to release, each with the reason.

    Args:
        leases: what is leased; those that ended before C(now) are left out.
        before: what is reserved now.
        after: what will be.
    """
    had = {entry.mac: entry for entry in before}
    has = {entry.mac: entry for entry in after}
    owners = {entry.address: entry for entry in after if entry.address}
    found = []
    for lease in leases:
        if 0 < lease.expires < now:
            continue
        owner = owners.get(lease.address)
        own = has.get(lease.mac)
        if own is not None and own.address not in (None, lease.address):
            found.append((lease, f"{own.name or own.mac} moves to {own.address}"))
        elif owner is not None and owner.mac != lease.mac:
            found.append((lease, f"the address is reserved for {owner.name or owner.mac}"))
        elif own is None and lease.mac in had and had[lease.mac].address == lease.address:
            found.append((lease, f"the reservation of {had[lease.mac].name or lease.mac} is gone"))
    return found


def release_command(lease: Lease, interfaces: Mapping[str, str]) -> list[str] | None:
    """Return the command that gives a lease back, or None when it belongs to none of the interfaces.

    Args:
        interfaces: interface name -> its address with prefix.
    """
    for interface, address in interfaces.items():
        if ip_address(lease.address) in ip_interface(address).network:
            return [
                "dhcp_release",
                interface,
                lease.address,
                lease.mac,
                *([] if lease.client_id is None else [lease.client_id]),
            ]
    return None
