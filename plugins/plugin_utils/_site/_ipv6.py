# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What must hold for the IPv6 addresses of one host."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Network
from itertools import combinations

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from ._read import Host, Row
from ._uplinks import link_of

# Guests make their addresses out of a prefix of this length, and of no other
_PREFIX = 64


def check_ipv6(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with a host's IPv6 addresses, each alone and beside the others."""
    uplinks, networks = host.uplinks or [], host.networks or []
    for row in uplinks:
        yield from _gateway(row, [*uplinks, *networks])
    for row in networks:
        if row["address6"] is not None and row.given("bridge") and row["address6"].network.prefixlen != _PREFIX:
            yield row.problem("address6", f"an address with the prefix length {_PREFIX}, which guests need")
    yield from _shared(uplinks)
    yield from _overlaps([row for row in (*uplinks, *networks) if row["address6"] is not None])
    yield from _management(host, any(row.given("address6") for row in (*uplinks, *networks)))


def _gateway(row: Row, rows: list[Row]) -> Iterator[Problem]:
    gateway, address = row["gateway6"], row["address6"]
    if row.given("gateway6") and not row.given("address6"):
        yield row.problem("address6", "an IPv6 address with its prefix length, required beside gateway6")
    if gateway is None or address is None:
        return
    owner = next((other for other in rows if other["address6"] is not None and other["address6"].ip == gateway), None)
    if owner is not None:
        allowed = f"another machine's address; {gateway} is the host's own ({owner.place}.address6)"
        yield row.problem("gateway6", allowed)
    elif not gateway.is_link_local and gateway not in address.network:
        yield row.problem("gateway6", f"an address in {address.network}, or a link-local one such as fe80::1")


def _shared(uplinks: list[Row]) -> Iterator[Problem]:
    """Uplinks on one interface are told apart by what IPv6 does not have."""
    seen: dict[str, Row] = {}
    for row in uplinks:
        link = link_of(row)
        if row["address6"] is None or link is None:
            continue
        first = seen.setdefault(link, row)
        if first is not row:
            allowed = f"no IPv6 address: only one uplink on {link} can have one, and {first.place} has"
            yield row.problem("address6", allowed)


def _overlaps(rows: list[Row]) -> Iterator[Problem]:
    for first, row in combinations(rows, 2):
        if first["address6"].ip == row["address6"].ip:
            yield row.problem("address6", f"an address that {first.place} does not have")
        elif row.variable != "kvmnet_uplinks" and first["address6"].network.overlaps(row["address6"].network):
            allowed = f"an address in a network that does not overlap {first['address6'].network} of {first.place}"
            yield row.problem("address6", allowed)


def _management(host: Host, managed: bool) -> Iterator[Problem]:
    if host.management is None or managed:
        return
    for position, source in enumerate(host.management["sources"] or []):
        if isinstance(source, IPv6Network):
            allowed = "an IPv4 network or address: IPv6 is closed, since no uplink and no network has address6"
            yield host.management.problem(f"sources[{position}]", allowed, str(source))
