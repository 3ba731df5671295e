# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What must hold between the networks of one host, and between them and its uplinks."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface
from itertools import combinations

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from . import _types as t
from ._read import Host, Row, repeated
from ._uplinks import is_macvlan, on_link

# Zones that are there without any network
FIREWALL_ZONE = "fw"
UPLINK_ZONE = "net"


def zone_of(network: Row) -> str | None:
    """Return a network's zone, or None where it cannot be told."""
    zone = network["zone"] if network.given("zone") else network["name"]
    return None if zone is None else str(zone)


def check_networks(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with a host's networks, each alone, beside the others, and beside the uplinks."""
    networks = host.networks or []
    for key in ("name", "bridge", "interface"):
        for row, first in repeated(networks, key):
            yield row.problem(key, f"a {key} that {first.place} does not have")
    for row in networks:
        yield from _zone(row)
        yield from _attachment(row)
        yield from _range(row)
    yield from _zones(networks)
    yield from _interfaces(host)
    yield from _overlaps(host)


def _zone(row: Row) -> Iterator[Problem]:
    zone = zone_of(row)
    if zone is None:
        return
    given = row.given("zone")
    if zone == FIREWALL_ZONE or (zone == UPLINK_ZONE and not given):
        allowed = (
            "another zone name: fw is the host itself" if given else "another name: fw is the host and net the uplinks"
        )
        yield row.problem("zone" if given else "name", allowed)
    elif not given:
        try:
            t.ZONE.read(zone)
        except t.WrongError as wrong:
            yield row.problem("name", f"{wrong}, or a zone beside the name")


def _zones(networks: list[Row]) -> Iterator[Problem]:
    """Networks may share a zone, but not because one has the name of another's zone."""
    seen: dict[str, Row] = {}
    for row in networks:
        zone = zone_of(row)
        if zone is None:
            continue
        first = seen.setdefault(zone, row)
        if first is not row and first["name"] != row["name"] and not (first.given("zone") and row.given("zone")):
            by_name, other = (first, row) if row.given("zone") else (row, first)
            allowed = f"a name that is not the zone of {other.place}, or zone: {zone} on both to share it"
            yield by_name.problem("name", allowed)


def _attachment(row: Row) -> Iterator[Problem]:
    both = row.given("bridge") and row.given("interface")
    if both:
        yield row.problem("interface", "exactly one of bridge and interface (interfaces in the bridge are its ports)")
    elif not row.given("bridge") and not row.given("interface"):
        yield row.problem("bridge", "an interface name: exactly one of bridge and interface, required")
    elif row.given("interface"):
        for key in ("ports", "dhcp_range", "domain", "upstreams"):
            if row.given(key):
                yield row.problem(
                    key, f"{key} only beside a bridge: an interface is neither bridged nor served with DHCP and DNS"
                )
    elif isinstance(row["address"], IPv4Interface) and row["address"].network.prefixlen > 30:
        yield row.problem("address", "an address with a prefix length of at most 30: there must be room for a guest")


def _range(row: Row) -> Iterator[Problem]:
    if row["dhcp_range"] is None:
        return
    if not row.given("address"):
        yield row.problem("address", "an address with its prefix length, required beside dhcp_range")
    address = row["address"]
    first, last = row["dhcp_range"]
    if last < first:
        yield row.problem("dhcp_range", f"the lower address first: [{last}, {first}]")
        return
    if address is None:
        return
    outside = [bound for bound in (first, last) if not on_link(bound, address.network)]
    if outside:
        hosts = address.network.num_addresses > 2
        low, high = (address.network[1], address.network[-2]) if hosts else (address.network[0], address.network[-1])
        yield row.problem("dhcp_range", f"two addresses from {low} to {high}, inside {address.network}")
    elif first <= address.ip <= last:
        yield row.problem("dhcp_range", f"a range without the host's own address {address.ip}")


def _interfaces(host: Host) -> Iterator[Problem]:
    """Each interface has one use: uplink, network, or port of one bridge."""
    uses: dict[str, str] = {}
    ports = {port for row in host.networks or [] for port in row["ports"] or []}
    for row in host.uplinks or []:
        # A macvlan on a port is refused where it is given
        if row["interface"] is not None and not (is_macvlan(row) and row["interface"] in ports):
            uses.setdefault(row["interface"], f"{row.place}.interface")
    for row in host.networks or []:
        for key in ("bridge", "interface"):
            name = row[key]
            if name is None:
                continue
            # Two networks on one interface were named already
            if uses.get(name, "").startswith("kvmnet_uplinks") and not _beside_uplink(row, key):
                yield row.problem(
                    key,
                    f"an interface of its own; this one is {uses[name]} "
                    "(a bridge may be an uplink's interface with zone: net and the address at the uplink)",
                )
            uses.setdefault(name, f"{row.place}.{key}")
    for row in host.networks or []:
        for position, port in enumerate(row["ports"] or []):
            if port in uses:
                yield row.problem(
                    f"ports[{position}]", f"an interface without another use; this one is {uses[port]}", port
                )
            uses.setdefault(port, f"{row.place}.ports")


def _beside_uplink(row: Row, key: str) -> bool:
    """Whether guests stand on the wire of an uplink: one zone, one address."""
    addressed = row.given("address") or row.given("address6")
    return key == "bridge" and zone_of(row) == UPLINK_ZONE and not addressed


def _overlaps(host: Host) -> Iterator[Problem]:
    placed = [
        row for row in (*(host.uplinks or []), *(host.networks or [])) if isinstance(row["address"], IPv4Interface)
    ]
    for first, row in combinations(placed, 2):
        # Several uplinks in one network is what Multi-ISP is about
        if row.variable == "kvmnet_uplinks" or not first["address"].network.overlaps(row["address"].network):
            continue
        if first["address"].ip == row["address"].ip:
            yield row.problem("address", f"an address that {first.place} does not have")
        else:
            yield row.problem(
                "address", f"an address in a network that does not overlap {first['address'].network} of {first.place}"
            )
