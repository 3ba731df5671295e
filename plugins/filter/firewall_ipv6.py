# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall of IPv6: the same networks, uplinks and rules, seen through their IPv6 addresses."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Network, IPv6Interface, IPv6Network, ip_network
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.filter import firewall, providers
from ansible_collections.ursa.kvmnet.plugins.filter.firewall import Records
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema_ipv6 import FILES_IPV6

_EVERYONE = {4: "0.0.0.0/0", 6: "::/0"}
_TYPES = {"ipv4": "ipv6", "ipsec4": "ipsec6", "bport4": "bport6"}
_PROTOCOLS = {"icmp": "ipv6-icmp"}
_PLACES = ("source", "dest", "origdest")
# Tables and sets have names that both versions of IP share.
_SUFFIX = "_6"
_UNIQUE_LOCAL = IPv6Network("fc00::/7")
# Protocols that only one version of IP has.
_FOREIGN = {"igmp"}
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
_BRACKETED = re.compile(r"\[[0-9A-Fa-f:.]+(?:/\d+)?\](?:/\d+)?")


def has_ipv6(networks: Records | None, uplinks: Records | None = None) -> bool:
    """Return whether anything has an IPv6 address, so that IPv6 is to be let through at all.

    Args:
        networks: C(kvmnet_networks).
        uplinks: C(kvmnet_uplinks).
    """
    return any(entry.get("address6") for entry in [*(networks or []), *(uplinks or [])])


def _parsed(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _address(key: str, text: str) -> str:
    """Return the part of a column's text where an address can stand: after the zone or the interface, if at all."""
    return text if key == "origdest" else text.partition(":")[2]


def _is_ipv6(key: str, text: str) -> bool:
    found = _parsed(_address(key, text))
    return bool(_BRACKETED.search(text)) or (found is not None and found.version == 6)


def _say(key: str, text: str, sets: Collection[str] = ()) -> str | None:
    """Return a column's text in the words of IPv6's files, or None where it is about IPv4 or a set of its addresses."""
    if text == _EVERYONE[4]:
        return _EVERYONE[6]
    text = text.removesuffix(f":{_EVERYONE[4]}")
    zone, plus, name = text.partition(":+")
    if plus and name in sets:
        return f"{zone}:+{name}{_SUFFIX}"
    if _IPV4.search(text) or "+" in _address(key, text):
        return None
    located = _parsed(_address(key, text))
    if located is None or key == "origdest":
        return text
    zone, network = text.partition(":")[0], located.network_address
    return f"{zone}:[{network}]" + ("" if located.prefixlen == 128 else f"/{located.prefixlen}")


def _texts(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (key, str(text))
        for key in _PLACES
        if row.get(key)
        for text in (row[key] if isinstance(row[key], list) else [row[key]])
    ]


def _foreign(row: dict[str, Any], version: int) -> bool:
    """Whether a row's protocol is one that this version of IP does not have."""
    protocols = {str(name) for name in row.get("proto") or []}
    return bool(protocols & (_FOREIGN if version == 6 else set(_PROTOCOLS.values())))


def rows_of_family(rows: Records | None, family: str) -> Records | None:
    """Choose the rows that one version of IP can have, and say them in its words.

    Args:
        rows: rows of Shorewall's, or None.
        family: C(ipv4) or C(ipv6).

    Returns:
        None for None, else the rows without those that name an address of the other version.
    """
    if rows is None:
        return None
    if family == "ipv4":
        return [row for row in rows if not any(_is_ipv6(*text) for text in _texts(row)) and not _foreign(row, 4)]
    return list(_rows_ipv6(rows))


def _set(entry: dict[str, Any]) -> dict[str, Any]:
    addresses = [text for text in map(str, entry["addresses"]) if ":" in text]
    return {"name": f"{entry['name']}{_SUFFIX}", "entries": addresses}


def _rows_ipv6(rows: Records, sets: Collection[str] = ()) -> Iterable[dict[str, Any]]:
    for row in rows:
        if any(_say(*text, sets) is None for text in _texts(row)) or _foreign(row, 6):
            continue
        said = dict(row)
        for key in _PLACES:
            if isinstance(row.get(key), list):
                said[key] = [_say(key, str(text), sets) for text in row[key]]
            elif row.get(key):
                said[key] = _say(key, str(row[key]), sets)
        if row.get("proto"):
            said["proto"] = [_PROTOCOLS.get(str(name), str(name)) for name in row["proto"]]
        yield said


def _part(part: dict[str, Any], file: str) -> dict[str, Any]:
    """Return an interface or hosts without the options that IPv6 does not know, such as those of ARP."""
    kind = FILES_IPV6[file].options["options"]
    return {**part, "options": [option for option in part.get("options") or [] if kind.check(str(option))]}


def _zone(zone: dict[str, Any]) -> dict[str, Any]:
    said = {**zone}
    if zone.get("type"):
        said["type"] = _TYPES.get(zone["type"], zone["type"])
    if zone.get("interfaces") is not None:
        said["interfaces"] = [_part(part, "interfaces") for part in zone["interfaces"]]
    if zone.get("hosts") is not None:
        hosts = [
            {**part, "addresses": [text for text in part.get("addresses") or [] if _parsed(str(text)) is None]}
            for part in zone["hosts"]
        ]
        said["hosts"] = [_part(part, "hosts") for part in hosts if part["addresses"]]
    return said


def _network(network: dict[str, Any]) -> dict[str, Any]:
    view = {key: value for key, value in network.items() if key not in ("address", "dhcp_range")}
    if not network.get("address6"):
        return view
    chosen = network.get("masquerade")
    hidden = IPv6Interface(str(network["address6"])) in _UNIQUE_LOCAL if chosen is None else bool(chosen)
    return {**view, "address": str(network["address6"]), "masquerade": hidden}


# An uplink's traffic is told by IPv4 addresses there.
_IPV4_ONLY = (
    "address",
    "gateway",
    "gateway_mac",
    "number",
    "destinations",
    "sources",
    "targets",
    # Its interface is what counts, and who makes that.
    "manage",
    "sharing",
    "mac",
)


def _uplink(uplink: dict[str, Any]) -> dict[str, Any]:
    view = {key: value for key, value in uplink.items() if key not in _IPV4_ONLY}
    given = {"address": uplink.get("address6"), "gateway": uplink.get("gateway6")}
    return view | {"interface": firewall.link_of(uplink)} | {key: str(value) for key, value in given.items() if value}


def firewall_ipv6(
    networks: Records | None,
    uplinks: Records | None = None,
    management: dict[str, Any] | None = None,
    rules: Records | None = None,
    policies: Records | None = None,
    lists: Records | None = None,
) -> dict[str, Records | None]:
    """Return what follows from the inventory for Shorewall's files of IPv6.

    Args:
        networks: C(kvmnet_networks).
        uplinks: C(kvmnet_uplinks).
        management: C(kvmnet_management).
        rules: C(kvmnet_rules).
        policies: C(kvmnet_policies), for what they leave open.
        lists: C(kvmnet_address_lists).
    """
    inside = None if networks is None else [_network(network) for network in networks]
    outside = None if uplinks is None else [_uplink(uplink) for uplink in uplinks]
    # A provider's table has one name, which is that of IPv4's already.
    ways = (
        None
        if outside is None
        else [{**uplink, "name": f"{uplink['name']}{_SUFFIX}"} for uplink in outside if uplink.get("address")]
    )
    sources = [str(source) for source in (management or {}).get("sources") or [] if _is_ipv6("origdest", str(source))]
    managed = None if management is None else {**management, "sources": sources}
    several = outside if ways and len(ways) > 1 else (outside or [])[:1] if outside is not None else None
    rows = firewall.firewall_rules(inside, several, management=managed, rules=rules, policies=policies)
    sets = [str(entry["name"]) for entry in lists or []]
    return {
        "rules": None if rows is None else list(_rows_ipv6(rows, sets)),
        "ipsets": None if lists is None else [_set(entry) for entry in lists],
        "stoppedrules": rows_of_family(firewall.firewall_stoppedrules(managed, inside, outside), "ipv6"),
        "snat": providers.firewall_snat(inside, ways),
        "providers": providers.firewall_providers(ways),
        "mangle": rows_of_family(providers.firewall_mangle(ways, inside), "ipv6"),
    }


def zones_ipv6(zones: Records | None) -> Records | None:
    """Return the zones of IPv4's firewall as IPv6's has them.

    Args:
        zones: the zones, as M(ursa.kvmnet.shorewall_zone) takes them.
    """
    return None if zones is None else [_zone(zone) for zone in zones]


class FilterModule:
    """Filters that derive the firewall of IPv6."""

    def filters(self) -> dict[str, Any]:
        return {
            "has_ipv6": has_ipv6,
            "rows_of_family": rows_of_family,
            "zones_ipv6": zones_ipv6,
            "firewall_ipv6": firewall_ipv6,
        }
