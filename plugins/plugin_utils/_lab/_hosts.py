# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""What the lab reads from a host's inventory: its network cards, where they are plugged in, and how it boots."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, ip_network
from typing import Any

PRIVATE = [IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")]


UNIQUE_LOCAL = IPv6Network("fc00::/7")


def is_private(network: IPv4Network) -> bool:
    """Whether a provider would refuse to route it. Documentation ranges count as public here."""
    return any(network.subnet_of(p) for p in PRIVATE)


def stable_mac(*key: str) -> str:
    """02:4b and 32 bits of hash: apart from the guests' 52:54, the same after every power cut."""
    digest = hashlib.sha256("/".join(key).encode()).hexdigest()
    return ":".join(["02", "4b", *(digest[i : i + 2] for i in range(0, 8, 2))])


def ports_of(value: Any) -> list[str]:
    """The ports of a rule or a publication, in the firewall's notation for ranges."""
    if value is None:
        return []
    many = value if isinstance(value, list) else str(value).split(",")
    return [str(p).strip().replace(":", "-") for p in many]


@dataclass(frozen=True)
class Gateway:
    """A next hop that an uplink names."""

    address: IPv4Address
    uplink: str
    primary: bool
    mac: str | None
    address6: IPv6Address | None = None


@dataclass
class Port:
    """One network card of a managed host."""

    host: str
    interface: str
    subnets: list[IPv4Network] = field(default_factory=list)
    boot: list[IPv4Interface] = field(default_factory=list)
    addresses: list[IPv4Interface] = field(default_factory=list)
    # Those of IPv6 are on the card from the first boot on
    addresses6: list[IPv6Interface] = field(default_factory=list)
    gateways: list[Gateway] = field(default_factory=list)
    dhcp: bool = False
    primary: bool = False
    point_to_point: bool = False
    # The macvlans on it: the address of each, None for one that asks for it.
    macvlans: dict[str, IPv4Address | None] = field(default_factory=dict)
    plugged: bool = True
    label: str | None = None
    wire: str = ""
    mac: str = ""

    def __post_init__(self) -> None:
        self.mac = stable_mac(self.host, self.interface)

    def add(self, address: IPv4Interface, boot: bool) -> None:
        """Take an address: on the card from the first boot on, or only once the host is configured."""
        if address.network not in self.subnets:
            self.subnets.append(address.network)
        self.addresses.append(address)
        if boot:
            self.boot.append(address)

    def serves(self, gateway: Gateway) -> bool:
        """Whether a gateway hands out addresses here: that of an uplink that asks, else the first one."""
        asking = [name for name, address in self.macvlans.items() if address is None]
        named = [g for g in self.gateways if g.uplink in asking]
        return self.dhcp or (bool(asking) and gateway in (named or self.gateways[:1] or [gateway]))

    def target(self, uplink: str) -> IPv4Address | None:
        """The address of its own by which the host is reached over an uplink."""
        return self.macvlans.get(uplink)


@dataclass(frozen=True)
class Publication:
    """A port of this host that routers in front of it forward."""

    proto: str
    ports: tuple[str, ...]
    uplink: str | None


@dataclass
class Host:
    """A managed host as the lab sees it."""

    name: str
    vars: Mapping[str, Any]
    ports: dict[str, Port] = field(default_factory=dict)
    publications: list[Publication] = field(default_factory=list)
    routed: list[IPv4Network] = field(default_factory=list)
    routed6: list[IPv6Network] = field(default_factory=list)
    extra_public: list[IPv4Address] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def records(self, variable: str) -> list[tuple[int, Mapping[str, Any]]]:
        """The rows of a list variable with their positions; what is not set has none."""
        return list(enumerate(self.vars.get(variable) or []))

    def wrong(self, variable: str, index: int, key: str, value: Any, allowed: str) -> None:
        """Note a value the lab cannot build."""
        self.problems.append(f"{self.name}: {variable}[{index}].{key}: {value!r} is wrong; allowed: {allowed}")

    def port(self, interface: str) -> Port:
        """The card of that name, plugged in on first use."""
        if interface not in self.ports:
            self.ports[interface] = Port(self.name, interface)
        return self.ports[interface]

    def find_address(self, address: IPv4Address) -> Port | None:
        """The card that will carry an address."""
        return next((p for p in self.ports.values() if any(a.ip == address for a in p.addresses)), None)

    @property
    def management(self) -> IPv4Address | None:
        """Where Ansible connects to."""
        try:
            return IPv4Address(str(self.vars.get("ansible_host") or ""))
        except ValueError:
            return None


def read_host(name: str, variables: Mapping[str, Any]) -> Host:
    """Everything of one host that has to do with cables."""
    host = Host(name, variables)
    bridges = _read_networks(host)
    _read_uplinks(host, bridges)
    _read_guests(host)
    for interface, label in (variables.get("lab_wires") or {}).items():
        host.port(interface).label = str(label)
    for interface in variables.get("lab_unplugged") or []:
        host.port(str(interface)).plugged = False
    return host


def _interface(host: Host, variable: str, index: int, value: Any) -> IPv4Interface | None:
    try:
        return IPv4Interface(str(value))
    except ValueError:
        host.wrong(variable, index, "address", str(value), "an IPv4 address with its prefix length")
        return None


def _interface6(host: Host, variable: str, index: int, value: Any) -> IPv6Interface | None:
    try:
        return IPv6Interface(str(value)) if value else None
    except ValueError:
        host.wrong(variable, index, "address6", str(value), "an IPv6 address with its prefix length")
        return None


def _read_networks(host: Host) -> dict[str, str]:
    """Returns the first port of each bridge that has one: what is plugged into the bridge is plugged in there."""
    bridges: dict[str, str] = {}
    for index, network in host.records("kvmnet_networks"):
        address = _interface(host, "kvmnet_networks", index, network["address"]) if network.get("address") else None
        if network.get("domain"):
            host.domains.append(str(network["domain"]))
        if address is not None and (network.get("masquerade") is False or not is_private(address.network)):
            host.routed.append(address.network)
        address6 = _interface6(host, "kvmnet_networks", index, network.get("address6"))
        if address6 is not None and (
            network.get("masquerade") is False or not address6.network.subnet_of(UNIQUE_LOCAL)
        ):
            host.routed6.append(address6.network)
        if network.get("interface"):
            port = host.port(str(network["interface"]))
            if address is not None:
                port.add(address, boot=True)
            if address6 is not None:
                port.addresses6.append(address6)
            continue
        for position, interface in enumerate(network.get("ports") or []):
            port = host.port(str(interface))
            if position == 0:
                bridges[str(network.get("bridge"))] = str(interface)
            if address is not None:
                port.subnets.append(address.network)
                if position == 0:
                    port.addresses.append(address)
    return bridges


def _read_uplinks(host: Host, bridges: Mapping[str, str]) -> None:
    uplinks = host.records("kvmnet_uplinks")
    direct = {str(u.get("interface")) for _i, u in uplinks if u.get("sharing") != "macvlan" and u.get("address")}
    for index, uplink in uplinks:
        name = str(uplink.get("interface"))
        # Before the bridge exists its port carries the address, as on any machine that was just installed
        port = host.port(bridges.get(name, name))
        port.primary |= bool(uplink.get("primary"))
        given = uplink.get("address")
        macvlan = uplink.get("sharing") == "macvlan"
        # Before there is a macvlan, its address is on the card, if nothing else is
        boot = not (macvlan and (name in direct or port.boot or port.dhcp))
        if given == "dhcp":
            port.dhcp |= boot
        elif given:
            address = _interface(host, "kvmnet_uplinks", index, given)
            if address is not None:
                port.add(address, boot=boot and not port.boot)
        if macvlan:
            port.macvlans[str(uplink.get("name"))] = port.addresses[-1].ip if given and given != "dhcp" else None
        address6 = _interface6(host, "kvmnet_uplinks", index, uplink.get("address6"))
        if address6 is not None:
            port.addresses6.append(address6)
        _read_gateway(host, port, index, uplink)


def _read_gateway(host: Host, port: Port, index: int, uplink: Mapping[str, Any]) -> None:
    given = uplink.get("gateway")
    if given in (None, "", "dhcp"):
        port.point_to_point |= not given
        return
    try:
        address = IPv4Address(str(given))
    except ValueError:
        host.wrong("kvmnet_uplinks", index, "gateway", str(given), "an IPv4 address or dhcp")
        return
    macs = uplink.get("gateway_mac")
    mac = str(macs[0] if isinstance(macs, list) else macs).lower() if macs and macs != "learn" else None
    try:
        address6 = IPv6Address(str(uplink["gateway6"])) if uplink.get("gateway6") else None
    except ValueError:
        host.wrong("kvmnet_uplinks", index, "gateway6", str(uplink["gateway6"]), "an IPv6 address")
        return
    port.gateways.append(Gateway(address, str(uplink.get("name")), bool(uplink.get("primary")), mac, address6))


def _read_guests(host: Host) -> None:
    for _index, guest in host.records("kvmnet_guests"):
        for entry in guest.get("publish") or []:
            ports = tuple(ports_of(entry.get("port")))
            host.publications.append(Publication(str(entry.get("proto", "tcp")), ports, guest.get("uplink")))
    for _index, rule in host.records("kvmnet_rules"):
        if str(rule.get("action", "")).upper() != "DNAT":
            continue
        if rule.get("address"):
            host.extra_public.append(IPv4Address(str(rule["address"])))
        elif rule.get("port"):
            host.publications.append(Publication(str(rule.get("proto", "tcp")), tuple(ports_of(rule["port"])), None))


def management_sources(hosts: Iterable[Host]) -> list[IPv4Network]:
    """The networks that may manage any of these hosts, in the order given."""
    found: list[IPv4Network] = []
    for host in hosts:
        for source in (host.vars.get("kvmnet_management") or {}).get("sources") or []:
            network = ip_network(str(source), strict=False)
            # Ansible comes by IPv4
            if isinstance(network, IPv4Network) and network not in found:
                found.append(network)
    return found
