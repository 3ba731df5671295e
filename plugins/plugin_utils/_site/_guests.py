# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What must hold for the guests of one host, and between the guests of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import derive_mac, derive_tap
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from ._read import Host, Row, hint

KVM_GROUP = "kvm_hosts"
FIREWALL_GROUP = "firewalls"
_PRIVATE = [IPv4Network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
# The kernel numbers a bridge's ports with ten bits, and 0 is none
PORTS_MAX = 1023


def names(rows: Iterable[Row] | None) -> list[str]:
    """Return the names of entries that have one."""
    return [str(row["name"]) for row in rows or [] if row["name"] is not None]


def unknown(row: Row, key: str, known: list[str], what: str) -> Problem:
    """Return the problem of a name that nothing has."""
    meant = hint(str(row[key]), known)
    say = f"; {meant} is probably meant" if meant else ""
    return row.problem(key, f"a name in {what} ({', '.join(known) or 'which has none'}){say}")


def present(guests: Iterable[Row] | None) -> list[Row]:
    """Return the guests that are to be there: one that goes frees all that it had."""
    return [row for row in guests or [] if row.raw.get("state") != "absent"]


def _origin(guest: Row) -> str | None:
    """Return the name that a guest's identity follows from."""
    name = guest.raw.get("renamed_from") or guest["name"]
    return None if name is None else str(name)


def tap_of(guest: Row) -> str | None:
    """Return the tap's name, given or derived."""
    if guest.given("tap"):
        return None if guest["tap"] is None else str(guest["tap"])
    origin = _origin(guest)
    return None if origin is None else derive_tap(origin)


def mac_of(guest: Row) -> str | None:
    """Return the MAC address, given or derived."""
    if guest.given("mac"):
        return None if guest["mac"] is None else str(guest["mac"])
    origin = _origin(guest)
    return None if origin is None else derive_mac(origin)


def check_guests(host: Host) -> Iterator[Problem]:
    """Yield what is wrong with the guests of one host."""
    if host.guests and FIREWALL_GROUP in host.groups and KVM_GROUP not in host.groups:
        yield Problem(
            "kvmnet_guests",
            None,
            None,
            f"{len(host.guests)} guests",
            f"guests on hosts of the group {KVM_GROUP} only",
            host.name,
        )
    by_name = {row["name"]: row for row in host.networks or [] if row["name"] is not None}
    guests = present(host.guests)
    for row in guests:
        yield from _references(row, host, by_name)
        network = by_name.get(row["network"])
        if network is not None:
            yield from _place(row, network)
    yield from _addresses(guests)
    yield from _taps(host, guests)
    yield from _crowds(host, guests)
    yield from _published(host, guests)
    yield from _images(host)


def _references(row: Row, host: Host, by_name: dict[Any, Row]) -> Iterator[Problem]:
    # A list that could not be read cannot say what is missing in it
    if row["network"] is not None and row["network"] not in by_name and not _unread(host, "kvmnet_networks"):
        yield unknown(row, "network", names(host.networks), "kvmnet_networks")
    if row["uplink"] is not None and row["uplink"] not in names(host.uplinks) and not _unread(host, "kvmnet_uplinks"):
        yield unknown(row, "uplink", names(host.uplinks), "kvmnet_uplinks")
    if row["image"] is not None and row["image"] not in (host.images or {}) and not _unread(host, "kvmnet_images"):
        yield unknown(row, "image", list(host.images or {}), "kvmnet_images")


def _unread(host: Host, variable: str) -> bool:
    return any(
        problem.variable == variable
        and (problem.index is None or problem.key in (None, "name"))
        and problem.key in (None, "name")
        for problem in host.problems
    )


def _place(row: Row, network: Row) -> Iterator[Problem]:
    if not network.given("bridge") and network.given("interface"):
        yield row.problem(
            "network", f"a network with a bridge; {network.place} is the interface {network['interface']}"
        )
    own = network["address"]
    if not row.given("address"):
        elsewhere = network.given("dhcp_range") or row.given("network_config")
        if isinstance(own, IPv4Interface) and not elsewhere:
            yield row.problem(
                "address", f"an address in {own.network}: {network.place} has no dhcp_range to take one from"
            )
        needing = [key for key in ("publish", "uplink") if row[key]]
        if needing:
            yield row.problem("address", f"an address of its own, required beside {' and '.join(needing)}")
        return
    address = row["address"]
    if not isinstance(address, IPv4Address) or not isinstance(own, IPv4Interface):
        return
    inside = own.network
    if address not in inside:
        yield row.problem("address", f"an address in {inside} ({network.place})")
    elif address == own.ip:
        yield row.problem("address", f"an address other than the host's own, {own.ip} ({network.place})")
    elif inside.prefixlen < 31 and address in (inside.network_address, inside.broadcast_address):
        which = "network" if address == inside.network_address else "broadcast"
        yield row.problem("address", f"an address of a host: this is the {which} address of {inside} ({network.place})")
    elif network["dhcp_range"]:
        first, last = network["dhcp_range"]
        if first <= address <= last:
            yield row.problem("address", f"an address outside the dhcp_range {first} to {last} ({network.place})")


def _addresses(guests: list[Row]) -> Iterator[Problem]:
    seen: dict[IPv4Address, Row] = {}
    for row in guests:
        address = row["address"]
        if address is not None and seen.setdefault(address, row) is not row:
            yield row.problem("address", f"an address that {_called(seen[address])} does not have")


def _called(row: Row) -> str:
    return f"{row.place} ({row['name']})" if row["name"] else row.place


def _taps(host: Host, guests: list[Row]) -> Iterator[Problem]:
    seen: dict[str, Row] = {}
    taken = {
        row[key]: f"{row.place}.{key}"
        for row in host.networks or []
        for key in ("bridge", "interface")
        if row[key] is not None
    }
    taken.update(
        {row["interface"]: f"{row.place}.interface" for row in host.uplinks or [] if row["interface"] is not None}
    )
    taken.update({port: f"{row.place}.ports" for row in host.networks or [] for port in row["ports"] or []})
    for row in guests:
        tap = tap_of(row)
        if tap is None:
            continue
        if tap in taken:
            yield row.problem("tap", f"a name that no other interface has; {tap} is {taken[tap]}", tap)
        first = seen.setdefault(tap, row)
        # Two of one name have one tap: that is said of their name
        if first is not row and not (first["name"] == row["name"] and not row.given("tap")):
            yield row.problem(
                "tap", f"a tap that {_called(first)} does not have; give one of the two a tap of its own", tap
            )


def _crowds(host: Host, guests: list[Row]) -> Iterator[Problem]:
    counts = Counter(row["network"] for row in guests)
    for network in host.networks or []:
        count = counts[network["name"]] + len(network["ports"] or [])
        if network["name"] is not None and count > PORTS_MAX:
            yield network.problem("bridge", f"at most {PORTS_MAX} ports on a bridge; guests and ports are {count} here")


def _published(host: Host, guests: list[Row]) -> Iterator[Problem]:
    seen: dict[tuple[object, ...], Row] = {}
    management = host.management
    managed = ("tcp", (management["port"] or 22) if management is not None and _managed_by_uplink(host) else None)
    for row in guests:
        for position, entry in enumerate(row["publish"] or []):
            proto, port = entry["proto"], entry["port"]
            if proto is None or port is None:
                continue
            place = f"publish[{position}].port"
            if (proto, port) == managed:
                allowed = "a port other than kvmnet_management.port: management would end at the guest"
                yield row.problem(place, allowed, entry.raw["port"])
            key = (proto, port, entry["address"], entry["source"])
            if key in seen:
                allowed = f"a {proto} port of the host that {_called(seen[key])} does not have"
                yield row.problem(place, allowed, entry.raw["port"])
            seen.setdefault(key, row)
    for rule in host.rules or []:
        yield from _published_by_rule(rule, seen)


def _published_by_rule(rule: Row, seen: dict[tuple[object, ...], Row]) -> Iterator[Problem]:
    """Yield a rule that forwards a published port to somewhere else: the rules of the site come first."""
    if rule["action"] != "DNAT" or rule["address"] is not None or rule["from"] not in ("net", "all"):
        return
    for first, last in rule["port"] or []:
        for (proto, port, _address, _source), guest in seen.items():
            if proto == rule["proto"] and isinstance(port, int) and first <= port <= last:
                yield rule.problem("port", f"a {proto} port that is not published by {_called(guest)}")


def _managed_by_uplink(host: Host) -> bool:
    """Whether management may come in where published ports do: from anywhere but a network behind the host."""
    behind = [row["address"].network for row in host.networks or [] if isinstance(row["address"], IPv4Interface)]
    sources = [
        source
        for source in (host.management["sources"] if host.management is not None else None) or []
        if isinstance(source, IPv4Network)
    ]
    return any(not any(source.subnet_of(network) for network in behind) for source in sources)


def _images(host: Host) -> Iterator[Problem]:
    for row in (host.images or {}).values():
        if not any(row.given(key) for key in ("path", "url", "kernel")):
            yield row.problem("path", "a path or url of a disk image, or a kernel, or both")
        if row.given("path") and row.given("url"):
            yield row.problem("url", "path or url, not both")
        for key in ("initrd", "cmdline"):
            if row.given(key) and not row.given("kernel"):
                yield row.problem(key, f"{key} only beside kernel")


def check_users(host: Host) -> Iterator[Problem]:
    """Yield users that are there twice."""
    seen: dict[str, Row] = {}
    for row in host.users or []:
        if row["name"] is not None and seen.setdefault(row["name"], row) is not row:
            yield row.problem("name", f"a name that {seen[row['name']].place} does not have")


def check_across(hosts: Iterable[Host]) -> Iterator[Problem]:
    """Yield what guests must not share anywhere in the site."""
    by_name: dict[str, Row] = {}
    by_mac: dict[str, Row] = {}
    by_address: dict[IPv4Address, Row] = {}
    for host in hosts:
        reaching = {network["name"] for network in host.networks or [] if network["ports"] or not _hidden(network)}
        for row in host.guests or []:
            name = row["name"]
            if name is not None and by_name.setdefault(name, row) is not row:
                yield row.problem(
                    "name", f"a name that no other guest of the site has; {_where(by_name[name], row)} has it"
                )
                continue
            if row.raw.get("state") == "absent":
                continue
            mac = mac_of(row)
            if mac is not None and by_mac.setdefault(mac, row) is not row:
                yield row.problem(
                    "mac", f"a MAC address that no other guest of the site has; {_where(by_mac[mac], row)} has it", mac
                )
            # Behind a bridge without ports that is masqueraded, addresses are the host's own affair
            if row["address"] is not None and row["network"] in reaching:
                first = by_address.setdefault(row["address"], row)
                if first.host != row.host:
                    yield row.problem(
                        "address",
                        "an address that no other guest reachable from outside its host has; "
                        f"{_where(first, row)} has it",
                    )


def _hidden(network: Row) -> bool:
    """Whether a network's addresses mean nothing outside its host."""
    if network["masquerade"] is not None:
        return bool(network["masquerade"])
    own = network["address"]
    return isinstance(own, IPv4Interface) and any(own.network.subnet_of(private) for private in _PRIVATE)


def _where(first: Row, row: Row) -> str:
    return _called(first) if first.host == row.host else f"{_called(first)} of {first.host}"
