# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Bridges, uplinks and ports as the modules take them: normalised, or every problem at once. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import INTERFACE_NAME_MAX, derive_mac
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Entry = Mapping[str, Any]

# The kernel's BR_PORT_BITS is 10: adding the 1024th port fails with "Exchange full".
MAX_PORTS = 1023
TABLE_MAIN = 254
# Looked up last, after everything that Shorewall's providers put into tables of their own.
TABLE_DEFAULT = 253

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_SOURCE = re.compile(r"(?P<variable>\w+)\[(?P<index>\d+)\](\.(?P<key>\w+(\[\d+\])?))?")
_RESERVED_NAMES = ("all", "default", "lo")


@dataclass(frozen=True)
class Place:
    """Where an entry stands in the user's inventory, or in the module's own list."""

    variable: str
    index: int | None
    key: str | None = None

    def problem(self, key: str | None, value: object, allowed: str) -> Problem:
        """Return a problem of this entry."""
        inner = ".".join(part for part in (self.key, key) if part)
        return Problem(self.variable, self.index, inner or None, value, allowed)

    def __str__(self) -> str:
        key = f".{self.key}" if self.key else ""
        return f"{self.variable}[{self.index}]{key}"


def place(option: str, index: int, source: str | None) -> Place:
    """Return the place of an entry: what its C(source) says, or the option's index."""
    found = _SOURCE.fullmatch(source or "")
    if found is None:
        return Place(option, index)
    return Place(found["variable"], int(found["index"]), found["key"])


@dataclass(frozen=True)
class Uplink:
    """An interface towards the Internet; written when managed, compared otherwise."""

    interface: str
    where: Place
    present: bool = True
    manage: bool = False
    addresses: tuple[str, ...] = ()
    dhcp: bool = False
    gateway: str | None = None
    dhcp_gateway: bool = False
    table: int = TABLE_MAIN
    gateway6: str | None = None
    table6: int = TABLE_MAIN
    dns: tuple[str, ...] = ()
    mtu: int | None = None
    # Whether the host does without it while its interface is not there.
    optional: bool = False
    # Set for a macvlan: what it stands on, and its own MAC.
    parent: str | None = None
    mac: str = ""
    # The macvlans that stand on it, and whether that is all it is for.
    macvlans: tuple[str, ...] = ()
    bare: bool = False

    @property
    def shared_out(self) -> bool:
        """Whether other providers stand beside it, so that C(main) must stay without a default route."""
        return self.table != TABLE_MAIN

    @property
    def shared_out6(self) -> bool:
        """Likewise for IPv6."""
        return self.table6 != TABLE_MAIN


@dataclass(frozen=True)
class Bridge:
    """A bridge of the host."""

    name: str
    where: Place
    present: bool = True
    addresses: tuple[str, ...] = ()
    mac: str = ""
    # Whether the user gave it; else it is derived, or taken over with an address.
    mac_given: bool = False
    mtu: int | None = None
    stp: bool = False
    forward_delay: int = 0
    hello_time: int | None = None
    max_age: int | None = None
    ageing_time: int | None = None
    priority: int | None = None
    multicast_snooping: bool | None = None
    # Set when the bridge itself is an uplink, as on a host with a single network card.
    uplink: Uplink | None = None
    macvlans: tuple[str, ...] = ()


@dataclass(frozen=True)
class Port:
    """A port of a bridge: a persistent tap that this collection makes, or an interface that exists."""

    name: str
    where: Place
    present: bool = True
    bridge: str = ""
    type: str = "tap"
    user: str | None = None
    group: str | None = None
    multi_queue: bool = False
    isolated: bool = False
    hairpin: bool = False
    learning: bool = True
    guard: bool = False
    root_block: bool = False
    locked: bool | None = None
    cost: int | None = None
    priority: int | None = None
    mtu: int | None = None


@dataclass
class Wanted:
    """What the bridge module was asked for; None is a list that is not managed."""

    bridges: list[Bridge] | None = None
    uplinks: list[Uplink] | None = None
    problems: list[Problem] = field(default_factory=list)


def check_name(where: Place, key: str, value: object, problems: list[Problem]) -> str:
    """Return the name of an interface."""
    name = str(value)
    ok = (
        _NAME.fullmatch(name) and len(name) <= INTERFACE_NAME_MAX and not name.isdigit() and name not in _RESERVED_NAMES
    )
    if not ok:
        problems.append(
            where.problem(
                key,
                value,
                f"an interface name of 1 to {INTERFACE_NAME_MAX} letters, digits, '_', '.' and '-', "
                "not a number, not 'all', 'default' or 'lo'",
            )
        )
    return name


def check_range(where: Place, entry: Entry, key: str, low: int, high: int, problems: list[Problem]) -> int | None:
    """Return a number of an entry."""
    value = entry.get(key)
    if value is not None and not low <= value <= high:
        problems.append(where.problem(key, value, f"{low} to {high}"))
    return value


def _interface_address(where: Place, key: str, value: object, problems: list[Problem]) -> str | None:
    """Return an address with its prefix in canonical form."""
    wrong = where.problem(key, value, "an address with its prefix, such as 192.168.0.254/24")
    if "/" not in str(value):
        problems.append(wrong)
        return None
    try:
        found = ipaddress.ip_interface(str(value))
    except ValueError:
        problems.append(wrong)
        return None
    edge = found.network.max_prefixlen - found.network.prefixlen > 1
    if edge and found.ip == found.network.network_address:
        problems.append(where.problem(key, value, f"a host's address in {found.network}, not the network's own"))
        return None
    if edge and found.version == 4 and found.ip == found.network.broadcast_address:
        problems.append(where.problem(key, value, f"a host's address in {found.network}, not its broadcast address"))
        return None
    return found.with_prefixlen


def _unique(entries: Iterable[tuple[Place, str, str]], problems: list[Problem]) -> None:
    seen: dict[str, Place] = {}
    for where, key, name in entries:
        first = seen.setdefault(name, where)
        if first is not where:
            problems.append(where.problem(key, name, f"a name used once; {first} has it as well"))


def normalise(
    option: str,
    entries: list[Entry] | None,
    build: Callable[[Place, Entry, list[Problem]], Any],
    key: str,
    problems: list[Problem],
) -> list[Any] | None:
    """Return a list of entries in their own classes; no two may have one name."""
    if entries is None:
        return None
    found = [build(place(option, index, entry.get("source")), entry, problems) for index, entry in enumerate(entries)]
    _unique(((item.where, key, getattr(item, key)) for item in found), problems)
    return found


def _mac(where: Place, entry: Entry, derived_from: str, problems: list[Problem]) -> str:
    mac = str(entry.get("mac") or derive_mac(derived_from)).lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        problems.append(where.problem("mac", entry.get("mac"), "a unicast MAC such as 52:54:00:12:34:56"))
    return mac


def _bridge(where: Place, entry: Entry, machine: str, problems: list[Problem]) -> Bridge:
    name = check_name(where, "name", entry["name"], problems)
    if entry.get("state") == "absent":
        return Bridge(name, where, present=False)
    stp = bool(entry.get("stp"))
    delay = entry.get("forward_delay")
    if delay is None:
        delay = 15 if stp else 0
    if stp and not 2 <= delay <= 30:
        problems.append(where.problem("forward_delay", delay, "2 to 30 seconds with stp, which the kernel demands"))
    elif not 0 <= delay <= 30:
        problems.append(where.problem("forward_delay", delay, "0 to 30 seconds"))
    mac = _mac(where, entry, f"{machine}/{name}", problems)
    addresses = [_interface_address(where, "addresses", value, problems) for value in entry.get("addresses") or ()]
    return Bridge(
        name=name,
        where=where,
        addresses=tuple(dict.fromkeys(address for address in addresses if address)),
        mac=mac,
        mac_given=entry.get("mac") is not None,
        mtu=check_range(where, entry, "mtu", 576, 65535, problems),
        stp=stp,
        forward_delay=delay,
        hello_time=check_range(where, entry, "hello_time", 1, 10, problems),
        max_age=check_range(where, entry, "max_age", 6, 40, problems),
        ageing_time=check_range(where, entry, "ageing_time", 0, 1_000_000, problems),
        priority=check_range(where, entry, "priority", 0, 65535, problems),
        multicast_snooping=entry.get("multicast_snooping"),
    )


def _gateway(where: Place, value: object, addresses: tuple[str, ...], problems: list[Problem]) -> str | None:
    try:
        gateway = ipaddress.ip_address(str(value))
    except ValueError:
        problems.append(where.problem("gateway", value, "an address, or 'dhcp' with an address by DHCP"))
        return None
    interfaces = [ipaddress.ip_interface(address) for address in addresses]
    if interfaces and not any(gateway in interface.network for interface in interfaces):
        on_link = ", ".join(str(interface.network) for interface in interfaces)
        problems.append(where.problem("gateway", value, f"an address on the uplink's own network {on_link}"))
    elif any(gateway == interface.ip for interface in interfaces):
        problems.append(where.problem("gateway", value, "the address of another machine, not the uplink's own"))
    return str(gateway)


def _gateway6(where: Place, value: object, addresses: tuple[str, ...], problems: list[Problem]) -> str | None:
    try:
        gateway = ipaddress.IPv6Address(str(value))
    except ValueError:
        problems.append(where.problem("gateway6", value, "an IPv6 address, such as fe80::1"))
        return None
    networks = [ipaddress.ip_interface(address).network for address in addresses]
    if not gateway.is_link_local and not any(gateway in network for network in networks):
        problems.append(where.problem("gateway6", value, "a link-local address, or one of the uplink's own network"))
    return str(gateway)


def own_key(where: Place, key: str) -> str:
    """Return what the user wrote: an uplink in the inventory gives its macvlan a name, and names what it stands on."""
    return key if where.variable == "uplinks" else {"interface": "name", "parent": "interface"}[key]


def _parent(where: Place, entry: Entry, interface: str, problems: list[Problem]) -> str | None:
    if entry.get("parent") is None:
        if entry.get("mac") is not None:
            problems.append(where.problem("mac", entry["mac"], "no mac without a parent: only a macvlan is given one"))
        return None
    key = own_key(where, "parent")
    parent = check_name(where, key, entry["parent"], problems)
    if parent == interface:
        problems.append(where.problem(key, parent, "another interface than the macvlan itself"))
    return parent


def _uplink(where: Place, entry: Entry, machine: str, problems: list[Problem]) -> Uplink:
    name_key = "interface" if entry.get("parent") is None else own_key(where, "interface")
    interface = check_name(where, name_key, entry["interface"], problems)
    if entry.get("state") == "absent":
        return Uplink(interface, where, present=False)
    parent = _parent(where, entry, interface, problems)
    given = [str(value) for value in entry.get("addresses") or ()]
    found = [_interface_address(where, "address", value, problems) for value in given if value != "dhcp"]
    addresses = tuple(dict.fromkeys(address for address in found if address))
    dhcp = "dhcp" in given
    manage = bool(entry.get("manage")) or parent is not None
    if manage and not given:
        problems.append(
            where.problem("address", None, "an address with its prefix or 'dhcp', because the uplink is managed")
        )
    wanted = entry.get("gateway")
    # A lease without its router would leave no way out, so that must be asked for by naming another gateway.
    dhcp_gateway = dhcp and wanted in (None, "dhcp")
    if wanted == "dhcp" and not dhcp:
        problems.append(where.problem("gateway", wanted, "an address: 'dhcp' needs an address by DHCP"))
    static = wanted if wanted not in (None, "dhcp") else None
    six = entry.get("gateway6")
    return Uplink(
        interface=interface,
        where=where,
        manage=manage,
        addresses=addresses,
        dhcp=dhcp,
        gateway=None if static is None else _gateway(where, static, () if dhcp else addresses, problems),
        dhcp_gateway=dhcp_gateway,
        table=check_range(where, entry, "table", 1, 4294967295, problems) or TABLE_MAIN,
        gateway6=None if six is None else _gateway6(where, six, addresses, problems),
        table6=check_range(where, entry, "table6", 1, 4294967295, problems) or TABLE_MAIN,
        dns=tuple(_dns(where, value, problems) for value in entry.get("dns") or ()),
        mtu=check_range(where, entry, "mtu", 576, 65535, problems),
        optional=bool(entry.get("optional")),
        parent=parent,
        mac="" if parent is None else _mac(where, entry, f"{machine}/{interface}", problems),
    )


def _dns(where: Place, value: object, problems: list[Problem]) -> str:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        problems.append(where.problem("dns", value, "the address of a name server"))
        return str(value)


def normalise_links(bridges: list[Entry] | None, uplinks: list[Entry] | None, machine: str) -> Wanted:
    """Normalise what the bridge module was given.

    Args:
        bridges: the option, or None.
        uplinks: the option, or None.
        machine: what is unique to the host, so that the same bridge name gives another MAC on each.
    """
    wanted = Wanted()
    problems = wanted.problems
    wanted.bridges = normalise(
        "bridges", bridges, lambda at, entry, found: _bridge(at, entry, machine, found), "name", problems
    )
    wanted.uplinks = normalise(
        "uplinks", uplinks, lambda at, entry, found: _uplink(at, entry, machine, found), "interface", problems
    )
    return wanted
