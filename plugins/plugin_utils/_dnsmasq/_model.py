# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What the role dnsmasq serves: networks and hosts, read from its variables and checked as one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, ip_address
from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_NAME = re.compile(_LABEL)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_LEASE_TIME = re.compile(r"[1-9][0-9]*[smhdw]?|infinite")
_OPTION = re.compile(r"[a-z][a-z0-9-]*(?:=\S.*)?")
_DHCP_OPTION = re.compile(r"[a-z][a-z0-9-]*|[0-9]{1,3}")
# dnsmasq refuses shorter ones.
_LEASE_SECONDS_MIN = 120
# Guests make their addresses out of a prefix of this length, and of no other.
_PREFIX_LENGTH = 64
_LEASE_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True)
class Upstream:
    """A name server to ask, for everything or for one domain."""

    server: str
    domain: str | None


@dataclass(frozen=True)
class Network:
    """A bridge on which names are resolved and, where it has a range or reservations, addresses are handed out."""

    name: str
    bridge: str
    address: IPv4Interface
    first: IPv4Address | None
    last: IPv4Address | None
    domain: str | None
    upstreams: tuple[Upstream, ...]
    mtu: int | None
    lease_time: str
    dhcp_options: tuple[tuple[str, str], ...]
    address6: IPv6Interface | None = None

    @property
    def subnet(self) -> IPv4Network:
        """The network without the host's own address."""
        return self.address.network


@dataclass(frozen=True)
class Host:
    """A name on a network: with an address a record, with a MAC address a reservation, with both both."""

    name: str
    network: str
    mac: str | None
    address: IPv4Address | None


@dataclass(frozen=True)
class Site:
    """All of it."""

    networks: tuple[Network, ...]
    hosts: tuple[Host, ...]


class _Entry:
    """One list entry that is read key by key; what is wrong is collected under the inventory's name for it."""

    def __init__(self, variable: str, index: int, entry: Mapping[str, Any], problems: list[Problem]) -> None:
        source = re.fullmatch(r"(.+)\[([0-9]+)\]", str(entry.get("source") or ""))
        self.variable = source[1] if source else variable
        self.index = int(source[2]) if source else index
        self.entry = entry
        self._problems = problems

    @property
    def place(self) -> str:
        return f"{self.variable}[{self.index}]"

    def wrong(self, key: str | None, value: object, allowed: str) -> None:
        self._problems.append(Problem(self.variable, self.index, key, value, allowed))

    def text(self, key: str, pattern: re.Pattern[str], allowed: str, required: bool = False) -> str | None:
        value = self.entry.get(key)
        if value is None:
            if required:
                self.wrong(key, None, allowed)
            return None
        if not pattern.fullmatch(str(value)):
            self.wrong(key, value, allowed)
        return str(value)

    def parsed(self, key: str, value: object, parse: Callable[[str], Any], allowed: str) -> Any:
        if value is None:
            return None
        try:
            return parse(str(value))
        except ValueError:
            self.wrong(key, value, allowed)
            return None


def _interface_address(value: str) -> IPv4Interface:
    interface = IPv4Interface(value)
    network = interface.network
    if (
        "/" not in value
        or network.prefixlen > 30
        or interface.ip in (network.network_address, network.broadcast_address)
    ):
        raise ValueError(value)
    return interface


def _interface_address6(value: str) -> IPv6Interface:
    interface = IPv6Interface(value)
    if interface.network.prefixlen != _PREFIX_LENGTH:
        raise ValueError(value)
    return interface


def _server(value: str) -> str:
    address, hash_sign, port = value.partition("#")
    if hash_sign and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(value)
    return f"{ip_address(address)}{hash_sign}{port}"


def _lease_time_allowed(value: str) -> bool:
    if not _LEASE_TIME.fullmatch(value):
        return False
    if value == "infinite":
        return True
    seconds = int(value.rstrip("smhdw")) * _LEASE_UNITS.get(value[-1], 1)
    return seconds >= _LEASE_SECONDS_MIN


def read_upstreams(values: Iterable[Any], wrong: Callable[[object, str], None]) -> Iterator[Upstream]:
    """Read upstreams, each an address or a mapping of domain and server; C(wrong) is called with what is not."""
    allowed = "an address with an optional #port, or {domain: a domain, server: an address with an optional #port}"
    for value in values:
        keys = value if isinstance(value, dict) else {"server": value}
        domain = keys.get("domain")
        try:
            server = _server(str(keys.get("server")))
        except ValueError:
            wrong(value, allowed)
            continue
        if set(keys) - {"domain", "server"} or (domain is not None and not _DOMAIN.fullmatch(str(domain))):
            wrong(value, allowed)
            continue
        yield Upstream(server, None if domain is None else str(domain))


def _usable(network: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """Return the lowest and the highest address that a machine can have."""
    return network[1], network[-2]


def _read_range(entry: _Entry, address: IPv4Interface | None) -> tuple[IPv4Address | None, IPv4Address | None]:
    value = entry.entry.get("dhcp_range")
    if value is None:
        return None, None
    allowed = "a list of two addresses, the first and the last"
    if not isinstance(value, list) or len(value) != 2:
        entry.wrong("dhcp_range", value, allowed)
        return None, None
    ends = [entry.parsed("dhcp_range", end, IPv4Address, f"{allowed}, IPv4") for end in value]
    if None in ends or address is None:
        return None, None
    first, last = ends
    lowest, highest = _usable(address.network)
    usable = f"addresses from {lowest} to {highest}, the first not above the last"
    if not lowest <= first <= last <= highest:
        entry.wrong("dhcp_range", value, usable)
        return None, None
    if first <= address.ip <= last:
        entry.wrong("dhcp_range", value, f"a range without {address.ip}, the bridge's own address")
    return first, last


def _read_network(entry: _Entry, lease_time: str) -> Network | None:
    name = entry.text("name", _DOMAIN, "the network's name, in letters, digits and hyphens", required=True)
    bridge = entry.text(
        "bridge", re.compile(r"[^\s/]{1,15}"), "the name of the bridge, 1 to 15 characters", required=True
    )
    address_allowed = "the bridge's own IPv4 address with its prefix, such as 192.168.0.254/24"
    address = entry.parsed("address", entry.entry.get("address"), _interface_address, address_allowed)
    if entry.entry.get("address") is None:
        entry.wrong("address", None, address_allowed)
    allowed6 = f"the bridge's own IPv6 address with the prefix length {_PREFIX_LENGTH}, such as 2001:db8::1/64"
    address6 = entry.parsed("address6", entry.entry.get("address6"), _interface_address6, allowed6)
    first, last = _read_range(entry, address)
    domain = entry.text("domain", _DOMAIN, "a domain name, such as kvm.example")
    lease_time = str(entry.entry.get("lease_time") or lease_time)
    if not _lease_time_allowed(lease_time):
        entry.wrong("lease_time", lease_time, "a number with s, m, h, d or w, two minutes or more, or infinite")
    upstreams = tuple(
        read_upstreams(
            entry.entry.get("upstreams") or [], lambda value, allowed: entry.wrong("upstreams", value, allowed)
        )
    )
    mtu = entry.entry.get("mtu")
    if mtu is not None and not (str(mtu).isdigit() and 68 <= int(mtu) <= 65535):
        entry.wrong("mtu", mtu, "a number from 68 to 65535")
        mtu = None
    options = entry.entry.get("dhcp_options") or {}
    for option in options:
        if not _DHCP_OPTION.fullmatch(str(option)):
            entry.wrong("dhcp_options", option, "DHCP options by number or by dnsmasq's name, such as ntp-server")
    if name is None or bridge is None or address is None:
        return None
    return Network(
        name=name,
        bridge=bridge,
        address=address,
        first=first,
        last=last,
        domain=domain,
        upstreams=upstreams,
        mtu=None if mtu is None else int(mtu),
        lease_time=lease_time,
        dhcp_options=tuple((str(key), _option_value(value)) for key, value in options.items()),
        address6=address6,
    )


def _option_value(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)


def _refuse_address(address: IPv4Address, network: Network) -> str | None:
    """Return what would be allowed instead of an address, or None when it is right."""
    lowest, highest = _usable(network.subnet)
    if not lowest <= address <= highest:
        return f"an address from {lowest} to {highest} ({network.name})"
    if address == network.address.ip:
        return f"another address: this one is the bridge {network.bridge} itself"
    if network.first is not None and network.last is not None and network.first <= address <= network.last:
        return f"an address outside the DHCP range {network.first} to {network.last} ({network.name})"
    return None


def _read_host(entry: _Entry, networks: Mapping[str, Network]) -> Host | None:
    name = entry.text("name", _NAME, "one DNS label: up to 63 letters, digits and hyphens", required=True)
    mac = entry.text("mac", _MAC, "six pairs of hex digits with colons")
    address = entry.parsed("address", entry.entry.get("address"), IPv4Address, "an IPv4 address")
    network = networks.get(str(entry.entry.get("network")))
    if network is None:
        entry.wrong(
            "network",
            entry.entry.get("network"),
            f"one of {', '.join(sorted(networks)) or 'none: no network is served'}",
        )
        return None
    if mac is None and entry.entry.get("address") is None:
        entry.wrong("address", None, "an address, a MAC address or both")
    refused = None if address is None else _refuse_address(address, network)
    if refused is not None:
        entry.wrong("address", str(address), refused)
    return None if name is None else Host(name, network.name, None if mac is None else mac.lower(), address)


def _refuse_repeats(items: Iterable[tuple[_Entry, str, object]]) -> None:
    """Refuse a value that an earlier entry has under the same key."""
    seen: dict[tuple[str, object], str] = {}
    for entry, key, value in items:
        if value is None:
            continue
        first = seen.setdefault((key, value), entry.place)
        if first != entry.place:
            entry.wrong(key, str(value), f"one of its own: {first} has this one")


def _refuse_names(found: Iterable[tuple[_Entry, Host]], networks: Mapping[str, Network]) -> None:
    """Refuse a name that an earlier entry has, unless it is in another network with a domain of its own."""
    seen: dict[str, dict[tuple[str, str | None], str]] = {}
    for entry, host in found:
        domain = networks[host.network].domain
        others = seen.setdefault(host.name.lower(), {})
        for (network, theirs), place in others.items():
            if network == host.network or (theirs is not None and domain == theirs):
                entry.wrong("name", host.name.lower(), f"one of its own: {place} has this one")
                break
        others.setdefault((host.network, domain), entry.place)


def read_site(
    networks: Iterable[Mapping[str, Any]], hosts: Iterable[Mapping[str, Any]], lease_time: str
) -> tuple[Site, list[Problem]]:
    """Read and check the role's lists.

    Returns:
        What could be read, and everything that is wrong; the former is meaningful only when the latter is empty.
    """
    problems: list[Problem] = []
    read: list[tuple[_Entry, Network]] = []
    for index, raw in enumerate(networks):
        entry = _Entry("dnsmasq_networks", index, raw, problems)
        network = _read_network(entry, lease_time)
        if network is not None:
            read.append((entry, network))
    _refuse_repeats(
        (entry, key, getattr(network, key)) for entry, network in read for key in ("name", "bridge", "subnet")
    )
    by_name = {network.name: network for _entry, network in read}
    found: list[tuple[_Entry, Host]] = []
    for index, raw in enumerate(hosts):
        entry = _Entry("dnsmasq_hosts", index, raw, problems)
        host = _read_host(entry, by_name)
        if host is not None:
            found.append((entry, host))
    _refuse_names(found, by_name)
    _refuse_repeats((entry, key, getattr(host, key)) for entry, host in found for key in ("mac", "address"))
    return Site(tuple(network for _entry, network in read), tuple(host for _entry, host in found)), problems


def check_options(options: Iterable[Any]) -> list[Problem]:
    """Check the lines that the user adds to the configuration."""
    return [
        Problem("dnsmasq_options", index, None, option, "a line as in dnsmasq.conf, such as cache-size=5000")
        for index, option in enumerate(options)
        if not _OPTION.fullmatch(str(option))
    ]
