# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The kernel's links, addresses and default routes, from what C(ip -j) says. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TABLES = {"main": 254, "default": 253, "local": 255}


@dataclass(frozen=True)
class Link:
    """A link as the kernel has it."""

    name: str
    kind: str = ""
    up: bool = False
    carrier: bool = False
    mtu: int = 1500
    mac: str = ""
    master: str | None = None
    # What a macvlan stands on.
    parent: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    port: Mapping[str, Any] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    # Those of them that the kernel takes without asking for duplicates.
    nodad: tuple[str, ...] = ()
    link_local: tuple[str, ...] = ()
    dynamic: bool = False

    @property
    def tap(self) -> bool:
        """Whether it is a persistent tap."""
        return self.kind == "tun" and self.info.get("type") == "tap"

    @property
    def shown_kind(self) -> str:
        """What a user would call it."""
        return "tap" if self.tap else self.kind or "network card"


@dataclass(frozen=True)
class DefaultRoute:
    """A default route, with the table that it stands in; table 0 is one whose name this program does not know."""

    device: str
    gateway: str | None
    table: int


def _addresses(entries: Iterable[Mapping[str, Any]], local: bool) -> tuple[str, ...]:
    return tuple(
        ipaddress.ip_interface(f"{entry['local']}/{entry['prefixlen']}").with_prefixlen
        for entry in entries
        if "local" in entry and (entry.get("scope") == "link") == local and entry.get("scope") != "host"
    )


def parse_links(entries: Iterable[Mapping[str, Any]]) -> dict[str, Link]:
    """Read C(ip -j -d address show)."""
    links = {}
    for entry in entries:
        if "ifname" not in entry:
            # Links of a family that was filtered out are printed as empty objects.
            continue
        detail = entry.get("linkinfo", {})
        flags = entry.get("flags", ())
        addresses = entry.get("addr_info", ())
        links[entry["ifname"]] = Link(
            name=entry["ifname"],
            kind=detail.get("info_kind", ""),
            up="UP" in flags,
            carrier="LOWER_UP" in flags and "NO-CARRIER" not in flags,
            mtu=entry.get("mtu", 1500),
            mac=entry.get("address", ""),
            master=entry.get("master"),
            parent=entry.get("link"),
            info=detail.get("info_data") or {},
            port=detail.get("info_slave_data") or {} if detail.get("info_slave_kind") == "bridge" else {},
            addresses=_addresses(addresses, local=False),
            nodad=_addresses((item for item in addresses if item.get("nodad")), local=False),
            link_local=_addresses(addresses, local=True),
            dynamic=any(item.get("dynamic") for item in addresses),
        )
    return links


def parse_default_routes(entries: Iterable[Mapping[str, Any]]) -> list[DefaultRoute]:
    """Read C(ip -j -4 route show table all default), one entry for each next hop."""
    routes = []
    for entry in entries:
        if entry.get("dst") != "default" or entry.get("type", "unicast") != "unicast":
            continue
        name = str(entry.get("table", "main"))
        table = int(name) if name.isdigit() else _TABLES.get(name, 0)
        for hop in entry.get("nexthops") or [entry]:
            routes.append(DefaultRoute(str(hop.get("dev", "")), hop.get("gateway"), table))
    return routes
