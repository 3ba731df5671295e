# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What must hold between the uplinks and networks of one host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import combinations
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from . import _types as t
from ._read import Host, Row

# Zones that are there without any network
FIREWALL_ZONE = "fw"
UPLINK_ZONE = "net"


def repeated(
    rows: Iterable[Row], key: str, identity: Callable[[Any], Hashable] = lambda value: value
) -> Iterator[tuple[Row, Row]]:
    """Yield each row whose key has a value that stood in an earlier row, with that row."""
    seen: dict[Hashable, Row] = {}
    for row in rows:
        value = row[key]
        if value is None:
            continue
        mine = identity(value)
        if mine in seen:
            yield row, seen[mine]
        else:
            seen[mine] = row


def zone_of(network: Row) -> str | None:
    """Return a network's zone, or None where it cannot be told."""
    zone = network["zone"] if network.given("zone") else network["name"]
    return None if zone is None else str(zone)


def check_uplinks(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with a host's uplinks, each alone and beside the others."""
    uplinks = host.uplinks or []
    for row, first in repeated(uplinks, "name", str.lower):
        yield row.problem("name", f"a name that {first.place} does not have (upper and lower case are the same here)")
    for row, first in repeated(uplinks, "number"):
        yield row.problem("number", f"a number that {first.place} does not have")
    own = {
        row["address"].ip: row
        for row in (*uplinks, *(host.networks or []))
        if isinstance(row["address"], IPv4Interface)
    }
    for row in uplinks:
        yield from _gateway(row, uplinks, own)
    yield from _same_place(uplinks)
    yield from _share(uplinks)
    yield from _selectors(uplinks)
    for row in uplinks:
        for position, target in enumerate(row["targets"] or []):
            inside = [
                network
                for network in host.networks or []
                if network["address"] and target in network["address"].network
            ]
            if inside:
                yield row.problem(
                    f"targets[{position}]",
                    f"an address beyond the gateway; this one is in {inside[0].place}",
                    str(target),
                )


def _siblings(row: Row, uplinks: list[Row]) -> list[Row]:
    return [
        other
        for other in uplinks
        if other is not row and other["interface"] is not None and other["interface"] == row["interface"]
    ]


def _gateway(row: Row, uplinks: list[Row], own: dict[IPv4Address, Row]) -> Iterator[Problem]:
    siblings = _siblings(row, uplinks)
    gateway = row["gateway"]
    if siblings and (gateway == "dhcp" or not row.given("gateway")):
        yield row.problem("gateway", f"an address: the uplinks on {row['interface']} are told apart by their gateways")
    elif gateway == "dhcp" and isinstance(row["address"], IPv4Interface):
        yield row.problem("gateway", "an address, because the uplink's own address does not come by DHCP")
    if row.given("gateway") and not any(one.given("address") for one in (row, *siblings)):
        where = row["interface"] or "the interface"
        yield row.problem(
            "address", f"an address with its prefix length, or dhcp: no other uplink on {where} has one to share"
        )
    if isinstance(gateway, IPv4Address):
        yield from _link(row, gateway, [one["address"] for one in (row, *siblings) if one.given("address")], own)


def _link(row: Row, gateway: IPv4Address, links: list[object], own: dict[IPv4Address, Row]) -> Iterator[Problem]:
    if gateway in own:
        place = own[gateway].place
        yield row.problem("gateway", f"another machine's address; {gateway} is the host's own ({place}.address)")
        return
    networks = [link.network for link in links if isinstance(link, IPv4Interface)]
    # A link that is wrong itself, or known to its DHCP server only, cannot tell
    if networks and len(networks) == len(links) and not any(_on_link(gateway, network) for network in networks):
        allowed = " or ".join(str(network) for network in networks)
        yield row.problem("gateway", f"an address on the link of {row['interface']}, in {allowed}")


def _on_link(address: IPv4Address, network: IPv4Network) -> bool:
    if address not in network:
        return False
    return network.prefixlen > 30 or address not in (network.network_address, network.broadcast_address)


def _same_place(uplinks: list[Row]) -> Iterator[Problem]:
    addressed = [row for row in uplinks if isinstance(row["address"], IPv4Interface)]
    for row, first in repeated(addressed, "address", lambda value: value.ip):
        share = f", or none to share that of {first.place}" if row["interface"] == first["interface"] else ""
        yield row.problem("address", f"an address that {first.place} does not have{share}")
    by_interface: dict[str, list[Row]] = defaultdict(list)
    for row in uplinks:
        if row["interface"] is not None:
            by_interface[row["interface"]].append(row)
    for interface, rows in by_interface.items():
        for row, first in repeated(rows, "gateway"):
            if row["gateway"] != "dhcp":
                yield row.problem("gateway", f"a gateway that {first.place}, on {interface} as well, does not have")
        seen: dict[str, Row] = {}
        for row in rows:
            for mac in dict.fromkeys(row["gateway_mac"] or []):
                if mac != "learn" and seen.setdefault(mac, row) is not row:
                    yield row.problem(
                        "gateway_mac",
                        f"MAC addresses that {seen[mac].place}, on {interface} as well, does not have",
                        mac,
                    )


def _share(uplinks: list[Row]) -> Iterator[Problem]:
    for row in uplinks:
        if row["primary"] and row["fallback"]:
            yield row.problem("fallback", "false: an uplink is primary or fallback, not both")
        if row["weight"] and row["fallback"]:
            yield row.problem("weight", "no weight: a fallback carries all or nothing")
    carrying = [row for row in uplinks if row["primary"] or row["weight"] or _unreadable(row, "primary")]
    if len(uplinks) > 1 and not carrying:
        yield uplinks[0].problem(
            "primary",
            "true on at least one of several uplinks, or a weight: else nothing carries ordinary traffic",
            uplinks[0].raw.get("primary"),
        )
    elif len(uplinks) == 1 and uplinks[0]["fallback"]:
        yield uplinks[0].problem("fallback", "false on the only uplink: there is nothing to fall back from")


def _unreadable(row: Row, key: str) -> bool:
    return row.given(key) and row[key] is None


def _selectors(uplinks: list[Row]) -> Iterator[Problem]:
    """What leads to one uplink must not lead to another as well."""
    for key in ("destinations", "sources"):
        seen: dict[object, Row] = {}
        for row in uplinks:
            for position, network in enumerate(row[key] or []):
                if network in seen:
                    yield row.problem(
                        f"{key}[{position}]", f"what {seen[network].place}.{key} does not have", str(network)
                    )
                seen.setdefault(network, row)
    services: list[tuple[str, int, int, Row]] = []
    for row in uplinks:
        for position, service in enumerate(row["services"] or []):
            proto, ports = service["proto"], service["port"]
            if proto is None or ports is None:
                continue
            for other, first, last, where in services:
                if other == proto and ports[0] <= last and first <= ports[1]:
                    yield row.problem(
                        f"services[{position}].port",
                        f"ports that {where.place}.services does not have for {proto}",
                        service.raw["port"],
                    )
                    break
            services.append((proto, *ports, row))


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
    outside = [bound for bound in (first, last) if not _on_link(bound, address.network)]
    if outside:
        hosts = address.network.num_addresses > 2
        low, high = (address.network[1], address.network[-2]) if hosts else (address.network[0], address.network[-1])
        yield row.problem("dhcp_range", f"two addresses from {low} to {high}, inside {address.network}")
    elif first <= address.ip <= last:
        yield row.problem("dhcp_range", f"a range without the host's own address {address.ip}")


def _interfaces(host: Host) -> Iterator[Problem]:
    """Each interface has one use: uplink, network, or port of one bridge."""
    uses: dict[str, str] = {}
    for row in host.uplinks or []:
        if row["interface"] is not None:
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
