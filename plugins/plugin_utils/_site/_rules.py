# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What must hold for the policies and rules of one host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from . import _types as t
from ._actions import LIMITED, is_call, verdict
from ._guests import names
from ._links import FIREWALL_ZONE, UPLINK_ZONE, zone_of
from ._read import Host, Row, hint, repeated
from ._uplink_keys import PORT_PROTOCOLS

# An IPv6 network, and a port
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](/\d+)?(?:(:)(\d+))?")
EVERY_ZONE = "all"
# Connections that stay in a zone as well
EVERY_PAIR = "all+"


@dataclass(frozen=True)
class End:
    """One end of a connection, read from C(zone), C(zone:address) or C(zone:address:port)."""

    zone: str
    address: IPv4Network | IPv6Network | None = None
    port: int | None = None
    listed: bool = False


def zones(host: Host) -> list[str]:
    """Return the zones a host's rules may name."""
    own = [zone for zone in (zone_of(row) for row in host.networks or []) if zone is not None]
    return list(dict.fromkeys((FIREWALL_ZONE, UPLINK_ZONE, *own, EVERY_ZONE, EVERY_PAIR)))


def _end(row: Row, key: str, known: list[str], lists: list[str] | None = None) -> tuple[End | None, str]:
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
    if rest.startswith("+"):
        return (
            (End(zone, listed=True), "") if rest[1:] in (lists or []) else (None, _list_allowed(rest[1:], lists or []))
        )
    if "," in rest:
        return _several(zone, rest)
    found = _BRACKETED.fullmatch(rest)
    address, colon, port = (found[1] + (found[2] or ""), found[3], found[4]) if found else rest.partition(":")
    try:
        if rest.count(":") > 1 and not found:
            raise t.WrongError("an IPv6 address in brackets, as in loc:[2001:db8::1] or loc:[2001:db8::]/64")
        return End(zone, t.ANY_NETWORK.read(address), t.PORT.read(port) if colon else None), ""
    except t.WrongError as wrong:
        return None, f"zone, zone:address or zone:address:port, with {wrong}"


def _several(zone: str, text: str) -> tuple[End | None, str]:
    """Return what an end with several addresses says: they are compared with as a list of `kvmnet_address_lists` is."""
    versions = set()
    for part in text.split(","):
        found = _BRACKETED.fullmatch(part)
        try:
            if ":" in part and (found is None or found[3]):
                raise t.WrongError("IPv6 addresses in brackets, and no port")
            versions.add(t.ANY_NETWORK.read(found[1] + (found[2] or "") if found else part).version)
        except t.WrongError as wrong:
            return None, f"zone:address,address without blanks, with {wrong}"
    if len(versions) > 1:
        return None, "addresses of one version of IP: both stand in a list of kvmnet_address_lists, or in two rules"
    return End(zone, listed=True), ""


def _list_allowed(name: str, lists: list[str]) -> str:
    meant = hint(name, lists)
    say = f"; {meant} is probably meant" if meant else ""
    return f"after + a name in kvmnet_address_lists ({', '.join(lists) or 'which has none'}){say}"


def _decides(earlier: tuple[str, str], later: tuple[str, str]) -> bool:
    """Whether an earlier policy leaves nothing to a later one."""
    pairs = list(zip(earlier, later, strict=True))
    if any(first not in (second, EVERY_ZONE, EVERY_PAIR) for first, second in pairs):
        return False
    if EVERY_PAIR in later:
        return all(first in (second, EVERY_PAIR) for first, second in pairs)
    # To "all" the way from a zone to itself is not meant
    return later[0] != later[1] or all(first in (second, EVERY_PAIR) for first, second in pairs)


def check_policies(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with a host's policies."""
    known = zones(host)
    earlier: list[tuple[str, str, Row]] = []
    for row in host.policies or []:
        ends = []
        for key in ("from", "to"):
            end, allowed = _end(row, key, known)
            if end is not None and (end.address is not None or end.port is not None or end.listed):
                allowed = "a zone alone: addresses are for kvmnet_rules"
            if allowed:
                yield row.problem(key, allowed)
            elif end is not None:
                ends.append(end.zone)
        if len(ends) < 2:
            continue
        for source, target, first in earlier:
            if _decides((source, target), (ends[0], ends[1])):
                yield row.problem(
                    "from", f"a pair of zones that {first.place} (from {source} to {target}) does not decide before it"
                )
                break
        earlier.append((ends[0], ends[1], row))


def check_rules(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with a host's rules."""
    known, lists = zones(host), names(host.address_lists)
    for row in host.rules or []:
        source, allowed = _end(row, "from", known, lists)
        if source is not None and source.port is not None:
            allowed = "zone or zone:address: the port goes into the key port"
        if allowed:
            yield row.problem("from", allowed)
        yield from _ports(row)
        action = row["action"] or ""
        does = verdict(action)
        if row.given("rate") and does and does not in LIMITED:
            yield row.problem("rate", f"rate only for {', '.join(LIMITED)}: Shorewall cannot limit {does}")
        if does == "REDIRECT":
            yield from _redirect(row)
            continue
        target, allowed = _end(row, "to", known, lists)
        if allowed:
            yield row.problem("to", allowed)
        if does == "DNAT":
            yield from _forward(row, target)
        elif action:
            if target is not None and target.port is not None:
                yield row.problem("to", f"zone or zone:address, for {action}: the port goes into the key port")
            if row.given("address"):
                yield row.problem(
                    "address", "address only for DNAT and REDIRECT; otherwise it goes into to, as zone:address"
                )


def check_address_lists(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with a host's lists of addresses."""
    for row, first in repeated(host.address_lists or [], "name"):
        yield row.problem("name", f"a name that {first.place} does not have")
    # The kernel's sets have names that both versions of IP share
    by_name = {f"{row['name']}_6": row for row in host.address_lists or [] if row["name"]}
    for row in host.address_lists or []:
        other = by_name.get(row["name"])
        if other is not None:
            allowed = f"another name than {row['name']}: the IPv6 addresses of {other['name']} ({other.place}) have it"
            yield row.problem("name", allowed)
        for position, network in enumerate(row["addresses"] or []):
            if network is not None and not network.prefixlen:
                allowed = "a network smaller than all addresses: those are a zone without a list"
                yield row.problem(f"addresses[{position}]", allowed, str(network))


def _redirect(row: Row) -> Iterator[Problem]:
    zone, colon, port = (row["to"] or FIREWALL_ZONE).partition(":")
    allowed = f"{FIREWALL_ZONE} or {FIREWALL_ZONE}:port, for REDIRECT, as in {FIREWALL_ZONE}:3128"
    if zone != FIREWALL_ZONE:
        yield row.problem("to", allowed)
    elif colon:
        try:
            t.PORT.read(port)
        except t.WrongError as wrong:
            yield row.problem("to", f"{allowed}, with {wrong}")
    if not row.given("port") and row["action"] == "REDIRECT":
        yield row.problem("port", "the port that is redirected, required")


def _ports(row: Row) -> Iterator[Problem]:
    for key in ("port", "sport"):
        if not row.given(key):
            continue
        if not row.given("proto"):
            if row["action"] is None or not is_call(row["action"]):
                yield row.problem("proto", f"{' or '.join(PORT_PROTOCOLS)}, required beside {key}")
        elif row["proto"] is not None and row["proto"] not in PORT_PROTOCOLS:
            yield row.problem(key, f"{key} only for {', '.join(PORT_PROTOCOLS)}; {row['proto']} has none")


def _forward(row: Row, target: End | None) -> Iterator[Problem]:
    if target is None:
        return
    if (
        target.zone in (FIREWALL_ZONE, EVERY_ZONE, EVERY_PAIR)
        or target.address is None
        or target.address.prefixlen != target.address.max_prefixlen
    ):
        yield row.problem(
            "to", "the zone and address of one machine, for DNAT, as in dmz:10.10.11.1 or dmz:10.10.11.1:80"
        )
    if target.port is not None and not row.given("port") and row["action"] == "DNAT":
        yield row.problem("port", f"the port that is forwarded to port {target.port}, required")
