# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What must hold for the guests of one host, and between the guests of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Card:
    """A guest's own card, or a further one of it."""

    guest: Row
    row: Row

    @property
    def further(self) -> bool:
        """Whether it is not the one that the guest's own keys are about."""
        return self.row is not self.guest

    def _derived(self, key: str, derive: Callable[[str, str | None], str]) -> str | None:
        """Return what is given, or follows from the names."""
        if self.row.given(key):
            return None if self.row[key] is None else str(self.row[key])
        origin = _origin(self.guest)
        if origin is None or (self.further and self.row["network"] is None):
            return None
        return derive(origin, str(self.row["network"]) if self.further else None)

    @property
    def tap(self) -> str | None:
        """Its tap's name."""
        return self._derived("tap", derive_tap)

    @property
    def mac(self) -> str | None:
        """Its MAC address."""
        return self._derived("mac", derive_mac)

    def __str__(self) -> str:
        return f"{self.row.place} ({self.guest['name']})" if self.guest["name"] else self.row.place


def cards(guests: Iterable[Row]) -> Iterator[Card]:
    """Yield the cards of guests, each guest's own first."""
    for guest in guests:
        yield Card(guest, guest)
        yield from (Card(guest, row) for row in guest["nics"] or [] if row is not None)


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
    for card in cards(guests):
        yield from _references(card.row, host, by_name)
        network = by_name.get(card.row["network"])
        if network is not None:
            yield from _place(card, network)
    for row in guests:
        yield from _together(row, by_name)
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


def _together(guest: Row, by_name: dict[Any, Row]) -> Iterator[Problem]:
    """Yield what the cards of one guest must not share: a network, and with addresses the domain of their name."""
    networks: dict[object, Row] = {}
    domains: dict[object, Row] = {}
    for card in cards([guest]):
        name = card.row["network"]
        if name is None:
            continue
        first = networks.setdefault(name, card.row)
        if first is not card.row:
            yield card.row.problem("network", f"a network that {first.place} is not in")
            continue
        domain = by_name[name]["domain"] if name in by_name else None
        if (
            domain is not None
            and card.row["address"] is not None
            and domains.setdefault(domain, card.row) is not card.row
        ):
            allowed = f"a network with another domain: {guest['name']}.{domain} is the name of {domains[domain].place}"
            yield card.row.problem("network", allowed)


def _place(card: Card, network: Row) -> Iterator[Problem]:
    row = card.row
    if not network.given("bridge") and network.given("interface"):
        yield row.problem(
            "network", f"a network with a bridge; {network.place} is the interface {network['interface']}"
        )
    own = network["address"]
    if not row.given("address"):
        elsewhere = network.given("dhcp_range") or card.guest.given("network_config")
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
    seen: dict[IPv4Address, Card] = {}
    for card in cards(guests):
        address = card.row["address"]
        if address is not None and seen.setdefault(address, card) is not card:
            yield card.row.problem("address", f"an address that {seen[address]} does not have")


def _called(row: Row) -> str:
    return str(Card(row, row))


def _taps(host: Host, guests: list[Row]) -> Iterator[Problem]:
    seen: dict[str, Card] = {}
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
    for card in cards(guests):
        row, tap = card.row, card.tap
        if tap is None:
            continue
        if tap in taken:
            yield row.problem("tap", f"a name that no other interface has; {tap} is {taken[tap]}", tap)
        first = seen.setdefault(tap, card)
        # Two of one name have one tap: that is said of their name, as two cards in one network is of that
        same = first.guest["name"] == card.guest["name"] and not row.given("tap")
        if first is not card and not same:
            yield row.problem("tap", f"a tap that {first} does not have; give one of the two a tap of its own", tap)


def _crowds(host: Host, guests: list[Row]) -> Iterator[Problem]:
    counts = Counter(card.row["network"] for card in cards(guests))
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
    by_mac: dict[str, Card] = {}
    by_address: dict[IPv4Address, Card] = {}
    for host in hosts:
        reaching = {network["name"] for network in host.networks or [] if network["ports"] or not _hidden(network)}
        for row in host.guests or []:
            name = row["name"]
            if name is not None and by_name.setdefault(name, row) is not row:
                yield row.problem(
                    "name", f"a name that no other guest of the site has; {_where(by_name[name], row)} has it"
                )
            elif row.raw.get("state") != "absent":
                for card in cards([row]):
                    yield from _unique(card, reaching, by_mac, by_address)


def _unique(
    card: Card, reaching: set[Any], by_mac: dict[str, Card], by_address: dict[IPv4Address, Card]
) -> Iterator[Problem]:
    row, mac = card.row, card.mac
    first = card if mac is None else by_mac.setdefault(mac, card)
    # Two cards in one network, that have one MAC address by that, are told of the network
    if first is not card and not (first.guest is card.guest and not row.given("mac")):
        allowed = f"a MAC address that no other card of the site has; {_card_at(first, row)} has it"
        yield row.problem("mac", allowed, mac)
    # Behind a bridge without ports that is masqueraded, addresses are the host's own affair
    if row["address"] is not None and row["network"] in reaching:
        first = by_address.setdefault(row["address"], card)
        if first.row.host != row.host:
            allowed = "an address that no other guest reachable from outside its host has; "
            yield row.problem("address", f"{allowed}{_card_at(first, row)} has it")


def _card_at(card: Card, row: Row) -> str:
    return str(card) if card.row.host == row.host else f"{card} of {card.row.host}"


def _hidden(network: Row) -> bool:
    """Whether a network's addresses mean nothing outside its host."""
    if network["masquerade"] is not None:
        return bool(network["masquerade"])
    own = network["address"]
    return isinstance(own, IPv4Interface) and any(own.network.subnet_of(private) for private in _PRIVATE)


def _where(first: Row, row: Row) -> str:
    return _called(first) if first.host == row.host else f"{_called(first)} of {first.host}"
