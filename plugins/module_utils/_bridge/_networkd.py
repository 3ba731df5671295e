# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The files of systemd-networkd: ours rendered, anybody's read. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import Bridge, Port, Uplink

    Owner = Literal["bridge", "uplink", "port", "macvlan"]

DIRECTORY = "/etc/systemd/network"
PREFIX = "50-kvmnet-"
# Where networkd looks, the first directory winning over the same name in a later one.
DIRECTORIES = (DIRECTORY, "/run/systemd/network", "/usr/local/lib/systemd/network", "/usr/lib/systemd/network")

_MARK = re.compile(r"# ursa\.kvmnet (bridge|uplink|port|macvlan)\b")

Sections = list[tuple[str, list[tuple[str, str]]]]


def netdev_path(name: str) -> str:
    """Return the path of our .netdev of a link."""
    return f"{DIRECTORY}/{PREFIX}{name}.netdev"


def network_path(name: str) -> str:
    """Return the path of our .network of a link."""
    return f"{DIRECTORY}/{PREFIX}{name}.network"


def owner(text: str) -> str | None:
    """Return which of our lists a file belongs to, or None when it is not ours."""
    found = _MARK.match(text)
    return found[1] if found else None


def own_links(files: Mapping[str, str], kind: str) -> list[str]:
    """Return the links that our files of one kind are about, sorted; files is path -> text."""
    names = {
        path.rpartition("/")[2].removeprefix(PREFIX).rpartition(".")[0]
        for path, text in files.items()
        if path.startswith(f"{DIRECTORY}/{PREFIX}") and owner(text) == kind
    }
    return sorted(names)


class Setting(NamedTuple):
    """One line of a unit-like file; the instance tells several sections of one name apart."""

    line: int
    section: str
    instance: int
    key: str
    value: str


def parse(text: str) -> list[Setting]:
    """Read a unit-like file, in order."""
    found = []
    section = ""
    instance = 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            instance += 1
            continue
        key, separator, value = line.partition("=")
        if separator:
            found.append(Setting(number, section, instance, key.strip(), value.strip()))
    return found


def differences(before: str, after: str) -> dict[str, tuple[object, object]]:
    """Return the settings in which two versions of a file differ, as C(Section.Key) -> (before, after)."""

    def collect(text: str) -> dict[str, list[str]]:
        settings: dict[str, list[str]] = {}
        for setting in parse(text):
            settings.setdefault(f"{setting.section}.{setting.key}", []).append(setting.value)
        return settings

    old, new = collect(before), collect(after)
    found: dict[str, tuple[object, object]] = {
        key: (", ".join(old.get(key, [])) or None, ", ".join(new.get(key, [])) or None)
        for key in [*old, *(key for key in new if key not in old)]
        if old.get(key) != new.get(key)
    }
    return found or {"layout": ("older", "current")}


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _render(kind: Owner, sections: Sections) -> str:
    lines = [f"# ursa.kvmnet {kind}: written by Ansible, changes made here are lost"]
    for name, settings in sections:
        if settings:
            lines += ["", f"[{name}]", *(f"{key}={value}" for key, value in settings)]
    return "\n".join(lines) + "\n"


def _quiet(addresses: Iterable[str]) -> list[tuple[str, str]]:
    """Return what keeps a link to its own addresses: a closed IPv4 firewall would leave an fe80:: address open."""
    six = any(_is_ipv6(address) for address in addresses)
    return [
        ("LinkLocalAddressing", "ipv6" if six else "no"),
        ("IPv6AcceptRA", "no"),
        ("LLMNR", "no"),
        ("MulticastDNS", "no"),
    ]


def _is_ipv6(address: str) -> bool:
    return ipaddress.ip_interface(address).version == 6


def _addresses6(addresses: Iterable[str]) -> Sections:
    """Return the IPv6 addresses of a link.

    Without a carrier nobody can be asked for duplicates, so an address would be tentative until there is one, and the
    boot waits for that for 120 s.
    """
    return [
        ("Address", [("Address", address), ("DuplicateAddressDetection", "none")])
        for address in addresses
        if _is_ipv6(address)
    ]


def _has_ipv4(addresses: Iterable[str]) -> bool:
    return any(ipaddress.ip_interface(address).version == 4 for address in addresses)


def _default_route(uplink: Uplink) -> Sections:
    """Return where the way out goes.

    RouteTable= in [DHCPv4] would take the network's own route along into that table, so the lease's router is named
    instead.
    """
    if uplink.dhcp and uplink.dhcp_gateway:
        route = [("Gateway", "_dhcp4")]
    elif uplink.gateway:
        route = [("Gateway", uplink.gateway)]
    elif uplink.gateway6 and not _has_ipv4(uplink.addresses):
        route = []
    else:
        route = [("Destination", "0.0.0.0/0"), ("Scope", "link")]
    table = [("Table", str(uplink.table))] if uplink.shared_out else []
    sections: Sections = []
    if route and not (uplink.dhcp and uplink.dhcp_gateway and not uplink.shared_out):
        sections.append(("Route", route + table))
    if uplink.gateway6:
        beside = [("Table", str(uplink.table6))] if uplink.shared_out6 else []
        sections.append(("Route", [("Gateway", uplink.gateway6), *beside]))
    if uplink.dhcp:
        lease = [("ClientIdentifier", "mac"), ("UseDNS", _yes(not uplink.dns))]
        if uplink.shared_out or not uplink.dhcp_gateway:
            lease += [("UseGateway", "no"), ("UseRoutes", "no")]
        if uplink.shared_out:
            # Main is looked up before the providers, where this route would outlive the provider that it belongs to.
            lease.append(("RoutesToDNS", "no"))
        sections.append(("DHCPv4", lease))
    return sections


def _uplink_network(uplink: Uplink, addresses: Iterable[str]) -> list[tuple[str, str]]:
    """Return the [Network] settings of an uplink; if the address went with the cable, so would Shorewall's tables."""
    settings = [*_quiet(addresses), *_stacked(uplink.macvlans)]
    if uplink.dhcp:
        settings += [("DHCP", "ipv4"), ("IgnoreCarrierLoss", "yes"), ("KeepConfiguration", "dhcp-on-stop")]
    else:
        settings.append(("ConfigureWithoutCarrier", "yes"))
    settings += [("Address", address) for address in addresses if not _is_ipv6(address)]
    return settings + [("DNS", server) for server in uplink.dns]


def _stacked(macvlans: Iterable[str]) -> list[tuple[str, str]]:
    return [("MACVLAN", name) for name in macvlans]


def _online(uplink: Uplink) -> str:
    """Return what the boot waits for: never 120 s for a provider that is down."""
    if not uplink.dhcp:
        return "no-carrier"
    return "no" if uplink.shared_out else "routable"


def _link(online: str, mtu: int | None) -> list[tuple[str, str]]:
    return [("RequiredForOnline", online)] + ([("MTUBytes", str(mtu))] if mtu else [])


def render_uplink(uplink: Uplink) -> str:
    """Return the .network of a managed uplink."""
    return _render(
        "uplink" if uplink.parent is None else "macvlan",
        [
            ("Match", [("Name", uplink.interface)]),
            ("Link", _link(_online(uplink), uplink.mtu)),
            ("Network", _uplink_network(uplink, uplink.addresses)),
            *_addresses6(uplink.addresses),
            *([] if uplink.bare else _default_route(uplink)),
        ],
    )


def render_macvlan_netdev(uplink: Uplink) -> str:
    """Return the .netdev of a macvlan; in mode bridge those on one card reach each other."""
    link = [("Name", uplink.interface), ("Kind", "macvlan"), ("MACAddress", uplink.mac)]
    return _render("macvlan", [("NetDev", link), ("MACVLAN", [("Mode", "bridge")])])


def render_bridge_netdev(bridge: Bridge) -> str:
    """Return the .netdev of a bridge; its MAC is pinned, or it would follow that of a port."""
    settings = [("STP", _yes(bridge.stp)), ("ForwardDelaySec", str(bridge.forward_delay))]
    for key, value in (
        ("HelloTimeSec", bridge.hello_time),
        ("MaxAgeSec", bridge.max_age),
        ("AgeingTimeSec", bridge.ageing_time),
        ("Priority", bridge.priority),
    ):
        if value is not None:
            settings.append((key, str(value)))
    if bridge.multicast_snooping is not None:
        settings.append(("MulticastSnooping", _yes(bridge.multicast_snooping)))
    return _render(
        "bridge",
        [("NetDev", [("Name", bridge.name), ("Kind", "bridge"), ("MACAddress", bridge.mac)]), ("Bridge", settings)],
    )


def render_bridge_network(bridge: Bridge) -> str:
    """Return the .network of a bridge; without ports it has no carrier and must not hold up the boot."""
    match = ("Match", [("Name", bridge.name)])
    if bridge.uplink is not None:
        addresses = tuple(dict.fromkeys(bridge.addresses + bridge.uplink.addresses))
        return _render(
            "bridge",
            [
                match,
                ("Link", _link(_online(bridge.uplink), bridge.mtu or bridge.uplink.mtu)),
                ("Network", _uplink_network(replace(bridge.uplink, macvlans=bridge.macvlans), addresses)),
                *_addresses6(addresses),
                *_default_route(bridge.uplink),
            ],
        )
    settings = [("ConfigureWithoutCarrier", "yes"), *_quiet(bridge.addresses), *_stacked(bridge.macvlans)]
    settings += [("Address", address) for address in bridge.addresses if not _is_ipv6(address)]
    link = ("Link", _link("no-carrier", bridge.mtu))
    return _render("bridge", [match, link, ("Network", settings), *_addresses6(bridge.addresses)])


def render_tap_netdev(port: Port) -> str:
    """Return the .netdev of a tap; the offload header is what virtio-net in a guest needs."""
    settings = [("VNetHeader", "yes"), ("MultiQueue", _yes(port.multi_queue))]
    settings += [(key, value) for key, value in (("User", port.user), ("Group", port.group)) if value is not None]
    return _render("port", [("NetDev", [("Name", port.name), ("Kind", "tap")]), ("Tap", settings)])


def render_port_network(port: Port) -> str:
    """Return the .network of a port. Every flag is written: networkd leaves one that it does not find as it is."""
    flags = [
        ("Isolated", _yes(port.isolated)),
        ("HairPin", _yes(port.hairpin)),
        ("Learning", _yes(port.learning)),
        ("UseBPDU", _yes(not port.guard)),
        ("AllowPortToBeRoot", _yes(not port.root_block)),
    ]
    if port.locked is not None:
        flags.append(("Locked", _yes(port.locked)))
    flags += [
        (key, str(value)) for key, value in (("Cost", port.cost), ("Priority", port.priority)) if value is not None
    ]
    return _render(
        "port",
        [
            ("Match", [("Name", port.name)]),
            ("Link", _link("no", port.mtu)),
            ("Network", [("Bridge", port.bridge), ("LinkLocalAddressing", "no"), ("IPv6AcceptRA", "no")]),
            ("Bridge", flags),
        ],
    )


def render_foreign(version: int) -> str:
    """Return the drop-in that makes networkd leave alone what others put into the kernel, as Shorewall does."""
    settings = [("ManageForeignRoutes", "no"), ("ManageForeignRoutingPolicyRules", "no")]
    if version >= 256:
        settings.append(("ManageForeignNextHops", "no"))
    return _render("bridge", [("Network", settings)])
