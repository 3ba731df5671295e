# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Who else configures an interface: ifupdown, NetworkManager, other files of networkd. Pure."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._ifupdown import stanzas

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import Link

_YES = ("1", "yes", "y", "true", "t", "on")


@dataclass(frozen=True)
class Claim:
    """A line of somebody else's file that configures an interface."""

    program: str
    path: str
    line: int
    text: str
    interface: str
    # Whether it puts a default route into the table main.
    default_route: bool = False

    def __str__(self) -> str:
        return f"{self.program}: {self.path} line {self.line} says '{self.text}'"


def parse_ifupdown(path: str, text: str) -> list[Claim]:
    """Read one file of ifupdown; a stanza that only brings an interface up ("manual") claims nothing."""
    claims = []
    for stanza in stanzas(path, text):
        method = stanza.words[3]
        if method == "loopback" or (method == "manual" and stanza.first("bridge_ports") is None):
            continue
        gateway = stanza.first("gateway")
        leads_out = stanza.words[2] == "inet" and (gateway is not None or method == "dhcp")
        line, said = gateway if gateway and leads_out else (stanza.line, stanza.words)
        claims.append(Claim("ifupdown", path, line, " ".join(said), stanza.interface, leads_out))
    return claims


def parse_network_manager(path: str, text: str) -> list[Claim]:
    """Read one keyfile of NetworkManager."""
    settings = networkd.parse(text)
    values = {f"{setting.section}.{setting.key}": setting for setting in settings}
    name = values.get("connection.interface-name")
    if name is None:
        return []

    def value(key: str) -> str:
        return values[key].value if key in values else ""

    method = values.get("ipv4.method")
    gateway = values.get("ipv4.gateway")
    listed = [
        setting
        for setting in settings
        if setting.section == "ipv4" and setting.key.startswith("address") and "," in setting.value
    ]
    leads_out = method is not None and (method.value == "auto" or gateway is not None or bool(listed))
    aside = value("ipv4.never-default") in _YES or value("ipv4.route-table") not in ("", "0", "254")
    said = (gateway or (listed[0] if listed else None) or method) if leads_out and not aside else name
    said = said or name
    return [Claim("NetworkManager", path, said.line, f"{said.key}={said.value}", name.value, leads_out and not aside)]


def _listed(settings: list[networkd.Setting], key: str) -> list[str]:
    found: list[str] = []
    for setting in settings:
        if setting.section == "Match" and setting.key == key:
            # An empty value forgets what stood before it.
            found = found + setting.value.split() if setting.value else []
    return found


def matches(text: str, name: str, link: Link | None) -> bool:
    """Whether a .network matches a link, as far as its name, kind and MAC can tell."""
    settings = networkd.parse(text)
    results = []
    names = _listed(settings, "Name")
    if names:
        inverted = names[0].startswith("!")
        results.append(any(fnmatch.fnmatchcase(name, pattern.lstrip("!")) for pattern in names) != inverted)
    kinds = _listed(settings, "Kind")
    if kinds:
        results.append(link is not None and link.kind in kinds)
    types = _listed(settings, "Type")
    if types:
        known = {"bridge": {"bridge", "ether"}}.get(link.kind if link else "", {"ether"})
        results.append(bool(known & set(types)))
    for key in ("MACAddress", "PermanentMACAddress"):
        macs = [mac.lower().replace("-", ":") for mac in _listed(settings, key)]
        if macs:
            results.append(link is not None and link.mac in macs)
    return bool(results) and all(results)


def visible(files: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return path and text of somebody else's .network files, in the order in which networkd tries them.

    One in /etc hides those of its name elsewhere.
    """
    found: dict[str, tuple[str, str]] = {}
    for directory in networkd.DIRECTORIES:
        for path, text in files.items():
            parent, _slash, base = path.rpartition("/")
            if parent == directory and base.endswith(".network"):
                found.setdefault(base, (path, text))
    return [(path, text) for _base, (path, text) in sorted(found.items()) if not networkd.owner(text)]


def _default_route_line(text: str) -> networkd.Setting | None:
    """Return the line by which a .network puts a default route into main, if there is one."""
    settings = networkd.parse(text)
    lease = {setting.key: setting.value for setting in settings if setting.section == "DHCPv4"}
    aside = lease.get("RouteTable") not in (None, "254", "main") or lease.get("UseGateway") == "no"
    for setting in settings:
        if setting.section == "Network" and setting.key == "Gateway" and setting.value and ":" not in setting.value:
            return setting
        if (
            setting.section == "Network"
            and setting.key == "DHCP"
            and setting.value in (*_YES, "ipv4", "both")
            and not aside
        ):
            return setting
        if (
            setting.section == "Route"
            and setting.key == "Gateway"
            and setting.value not in ("", "_ipv6ra")
            and setting.value.count(":") < 2
        ):
            route = {other.key: other.value for other in settings if other.instance == setting.instance}
            everywhere = route.get("Destination", "0.0.0.0/0") in ("", "0.0.0.0/0")
            if everywhere and route.get("Table", "main") in ("", "main", "254"):
                return setting
    return None


def networkd_claim(
    others: Iterable[tuple[str, str]], name: str, link: Link | None, before: str | None = None
) -> Claim | None:
    """Return the line of the networkd file of somebody else that rules a link.

    Args:
        others: what M(visible) returns.
        name: the link.
        link: what the kernel says of it, if it is there.
        before: the name of our own file, if there is one: only a file that sorts before it wins over it.
    """
    for path, text in others:
        if before is not None and path.rpartition("/")[2] >= before:
            return None
        if not matches(text, name, link):
            continue
        leads_out = _default_route_line(text)
        said = leads_out or next(setting for setting in networkd.parse(text) if setting.section == "Match")
        return Claim("systemd-networkd", path, said.line, f"{said.key}={said.value}", name, leads_out is not None)
    return None
