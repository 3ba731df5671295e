# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What must hold for the policies and rules of one host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from . import _types as t
from ._links import FIREWALL_ZONE, UPLINK_ZONE, zone_of
from ._read import Host, Row, hint
from ._schema import PORT_PROTOCOLS

EVERY_ZONE = "all"


@dataclass(frozen=True)
class End:
    """One end of a connection, read from C(zone), C(zone:address) or C(zone:address:port)."""

    zone: str
    address: IPv4Network | None = None
    port: int | None = None


def zones(host: Host) -> list[str]:
    """Return the zones a host's rules may name."""
    own = [zone for zone in (zone_of(row) for row in host.networks or []) if zone is not None]
    return list(dict.fromkeys((FIREWALL_ZONE, UPLINK_ZONE, *own, EVERY_ZONE)))


def _end(row: Row, key: str, known: list[str]) -> tuple[End | None, str]:
    """Return what a rule's end says, or None and what would be allowed."""
    text = row[key]
    if text is None:
        return None, ""
    zone, colon, rest = text.partition(":")
    if zone not in known:
        meant = hint(zone, known)
        say = f"; {meant} is probably meant" if meant else ""
        return None, f"a zone of this host ({', '.join(known)}), alone or with an address, as in loc:172.20.1.107{say}"
    if not colon:
        return End(zone), ""
    address, colon, port = rest.partition(":")
    try:
        return End(zone, t.NETWORK.read(address), t.PORT.read(port) if colon else None), ""
    except t.WrongError as wrong:
        return None, f"zone, zone:address or zone:address:port, with {wrong}"


def check_policies(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with a host's policies."""
    known = zones(host)
    earlier: list[tuple[str, str, Row]] = []
    for row in host.policies or []:
        ends = []
        for key in ("from", "to"):
            end, allowed = _end(row, key, known)
            if end is not None and (end.address is not None or end.port is not None):
                allowed = "a zone alone: addresses are for kvmnet_rules"
            if allowed:
                yield row.problem(key, allowed)
            elif end is not None:
                ends.append(end.zone)
        if len(ends) < 2:
            continue
        for source, target, first in earlier:
            if source in (ends[0], EVERY_ZONE) and target in (ends[1], EVERY_ZONE):
                yield row.problem(
                    "from", f"a pair of zones that {first.place} (from {source} to {target}) does not decide before it"
                )
                break
        earlier.append((ends[0], ends[1], row))


def check_rules(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with a host's rules."""
    known = zones(host)
    for row in host.rules or []:
        source, allowed = _end(row, "from", known)
        if source is not None and source.port is not None:
            allowed = "zone or zone:address: the port goes into the key port"
        if allowed:
            yield row.problem("from", allowed)
        target, allowed = _end(row, "to", known)
        if allowed:
            yield row.problem("to", allowed)
        yield from _ports(row)
        if row["action"] == "DNAT":
            yield from _forward(row, target)
        elif row["action"] is not None:
            if target is not None and target.port is not None:
                yield row.problem("to", f"zone or zone:address, for {row['action']}: the port goes into the key port")
            if row.given("address"):
                yield row.problem("address", "address only for DNAT; otherwise it goes into to, as zone:address")


def _ports(row: Row) -> Iterator[Problem]:
    if not row.given("port"):
        return
    if not row.given("proto"):
        yield row.problem("proto", f"{' or '.join(PORT_PROTOCOLS)}, required beside port")
    elif row["proto"] is not None and row["proto"] not in PORT_PROTOCOLS:
        yield row.problem("port", f"port only for {', '.join(PORT_PROTOCOLS)}; {row['proto']} has none")


def _forward(row: Row, target: End | None) -> Iterator[Problem]:
    if target is None:
        return
    if target.zone in (FIREWALL_ZONE, EVERY_ZONE) or target.address is None or target.address.prefixlen != 32:
        yield row.problem(
            "to", "the zone and address of one machine, for DNAT, as in dmz:10.10.11.1 or dmz:10.10.11.1:80"
        )
    if target.port is not None and not row.given("port"):
        yield row.problem("port", f"the port that is forwarded to port {target.port}, required")
