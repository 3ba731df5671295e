# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows from uplinks: providers, routing rules, marks and address translation."""

from __future__ import annotations

from typing import Any

from ansible_collections.ursa.kvmnet.plugins.filter.firewall import SELF, Records, _numbered, link_of, masqueraded
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._networks import cidr

# Before the marks of connections, so that it is absolute; after them, so that replies go back the way they came.
DESTINATIONS = 1000
GUESTS = 11000
SOURCES = 11500


def _sharers(uplink: dict[str, Any], uplinks: Records) -> Records:
    return [other for other in uplinks if link_of(other) == link_of(uplink)]


def _own_address(uplink: dict[str, Any]) -> str | None:
    address = uplink.get("address")
    return None if address in (None, "dhcp") else str(address)


def _shared_address(uplink: dict[str, Any], uplinks: Records) -> str | None:
    """Return the address that a provider on a shared interface uses: its own, else the first one on the wire."""
    return next(filter(None, (_own_address(other) for other in (uplink, *_sharers(uplink, uplinks)))), None)


def _has_own_addresses(uplink: dict[str, Any], uplinks: Records) -> bool:
    """Whether each provider on the wire has an address of its own, so that a source address tells them apart."""
    addresses = [_own_address(other) for other in _sharers(uplink, uplinks)]
    return None not in addresses and len(set(addresses)) == len(addresses)


def _options(uplink: dict[str, Any], uplinks: Records) -> list[str]:
    options = ["track"]
    if len(_sharers(uplink, uplinks)) > 1 and not _has_own_addresses(uplink, uplinks):
        # Rules for the source address would name the same one for each provider, and the first would take everything.
        options.append("loose")
    chosen = any(other.get("primary") or other.get("weight") for other in uplinks)
    if uplink.get("fallback"):
        options.append("fallback")
    elif uplink.get("weight"):
        options.append(f"balance={int(uplink['weight'])}")
    elif uplink.get("primary") or not chosen:
        options.append("balance")
    static = _own_address(uplink) is not None and uplink.get("gateway") not in (None, "dhcp")
    ours = bool(uplink.get("manage")) or uplink.get("sharing") == "macvlan"
    if static and ours and len(_sharers(uplink, uplinks)) == 1:
        # One that was taken out by hand keeps its table, so that its gateway can be asked whether it is back. Where the
        # address may be missing, Shorewall would not even start.
        options.append("persistent")
    return options


def firewall_providers(uplinks: Records | None) -> Records | None:
    """Return the providers; one uplink needs none.

    Args:
        uplinks: C(kvmnet_uplinks).
    """
    if uplinks is None:
        return None
    rows: Records = []
    for origin, uplink in _numbered("kvmnet_uplinks", uplinks if len(uplinks) > 1 else []):
        gateway = uplink.get("gateway")
        row = {
            "name": str(uplink["name"]),
            "number": uplink.get("number"),
            "interface": link_of(uplink),
            "gateway": {None: None, "dhcp": "detect"}.get(gateway, gateway),
            "options": _options(uplink, uplinks),
            "origin": origin,
        }
        shared = len(_sharers(uplink, uplinks)) > 1
        address = _shared_address(uplink, uplinks) if shared else _own_address(uplink)
        if shared:
            row["address"] = None if address is None else address.partition("/")[0]
        if address is not None and "/" in address:
            row["network"] = str(cidr(address))
        given = uplink.get("gateway_mac")
        if given or shared:
            row["gateway_mac"] = [str(mac) for mac in (given if isinstance(given, list) else [given or "learn"])]
        rows.append({key: value for key, value in row.items() if value is not None})
    return rows


def firewall_rtrules(uplinks: Records | None, guests: Records | None = None) -> Records | None:
    """Return the routing rules: destinations that one uplink reaches, sources and guests that use one.

    Args:
        uplinks: C(kvmnet_uplinks).
        guests: the result of P(ursa.kvmnet.guest_records#filter).
    """
    if uplinks is None:
        return None
    rows: Records = []
    if len(uplinks) < 2:
        return rows
    for origin, uplink in _numbered("kvmnet_uplinks", uplinks):
        common = {"provider": str(uplink["name"]), "origin": origin}
        for network in uplink.get("destinations") or []:
            rows.append({"dest": [str(network)], "priority": str(DESTINATIONS), **common})
        for network in uplink.get("sources") or []:
            rows.append({"source": [str(network)], "priority": str(SOURCES), **common})
    for guest in guests or []:
        if guest.get("uplink") and guest.get("address") and guest.get("options", {}).get("state") != "absent":
            row = {"source": [guest["address"]], "provider": str(guest["uplink"]), "priority": str(GUESTS)}
            rows.append(row | {"origin": guest["source"]})
    return rows


def firewall_mangle(uplinks: Records | None, networks: Records | None = None) -> Records | None:
    """Return the marks for services that the firewall itself, or a network behind it, uses over one uplink.

    Args:
        uplinks: C(kvmnet_uplinks).
        networks: C(kvmnet_networks).
    """
    if uplinks is None:
        return None
    links = {str(network["name"]): str(network.get("bridge") or network["interface"]) for network in networks or []}
    rows: Records = []
    for origin, uplink in _numbered("kvmnet_uplinks", uplinks if len(uplinks) > 1 else []):
        for service in uplink.get("services") or []:
            row = {"provider": str(uplink["name"]), "dest": "0.0.0.0/0", "proto": [str(service["proto"])]}
            for name in _several(service.get("from")) or [SELF]:
                found = {**row, "source": links.get(name, name), "origin": origin}
                rows.append(found | {"dport": [str(service["port"])]})
                if service.get("helper"):
                    # The connections that the first one announces go to other ports.
                    rows.append(found | {"helper": str(service["helper"])})
    return rows


def _several(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value] if value else [])]


def firewall_conntrack(uplinks: Records | None) -> Records | None:
    """Return which connections are followed by a helper, without which its connections have no mark.

    Args:
        uplinks: C(kvmnet_uplinks).
    """
    if uplinks is None:
        return None
    rows: Records = []
    for origin, uplink in _numbered("kvmnet_uplinks", uplinks if len(uplinks) > 1 else []):
        for service in uplink.get("services") or []:
            if service.get("helper"):
                row = {"action": f"CT:helper:{service['helper']}:PO", "proto": [str(service["proto"])]}
                rows.append(row | {"dport": [str(service["port"])], "origin": origin})
    return rows


def firewall_snat(networks: Records | None, uplinks: Records | None = None) -> Records | None:
    """Return the address translation of the networks behind each uplink.

    Args:
        networks: C(kvmnet_networks).
        uplinks: C(kvmnet_uplinks).
    """
    if networks is None and uplinks is None:
        return None
    hidden = [
        (origin, str(cidr(network["address"])), str(network.get("bridge") or network.get("interface")))
        for origin, network in _numbered("kvmnet_networks", networks)
        if masqueraded(network)
    ]
    rows: Records = []
    for uplink in uplinks or []:
        link = link_of(uplink)
        qualified = len(_sharers(uplink, uplinks or [])) > 1 and _has_own_addresses(uplink, uplinks or [])
        for origin, source, inside in hidden:
            row: dict[str, Any] = {"action": "MASQUERADE", "source": [source], "dest": [link], "origin": origin}
            if qualified:
                address = str(_own_address(uplink)).partition("/")[0]
                row |= {"action": f"SNAT({address})", "dest": [f"{link}({uplink['name']})"]}
            if inside != link and row not in rows:
                rows.append(row)
    return rows + _own_traffic(uplinks or [])


def _own_traffic(uplinks: Records) -> Records:
    """Return the translation of what the host itself sends: its socket has an address before a mark moves it."""
    rows: Records = []
    for origin, uplink in _numbered("kvmnet_uplinks", uplinks):
        link, action, dest = link_of(uplink), "MASQUERADE", link_of(uplink)
        own = _own_address(uplink)
        others = [other for other in uplinks if link_of(other) != link]
        if len(_sharers(uplink, uplinks)) > 1 and _has_own_addresses(uplink, uplinks):
            others = [other for other in uplinks if other is not uplink]
            action, dest = f"SNAT({str(own).partition('/')[0]})", f"{link}({uplink['name']})"
        static = [_own_address(other) for other in others]
        fixed = list(dict.fromkeys(address.partition("/")[0] for address in static if address is not None))
        # An address that is known on the host only; a row of its own, because it may be missing there.
        leased = [f"&{link_of(other)}" for other in others if other.get("address") == "dhcp"]
        for source in [fixed, *([name] for name in dict.fromkeys(leased))]:
            row = {"action": action, "source": source, "dest": [dest], "origin": origin}
            if source and not any({**row, "origin": known["origin"]} == known for known in rows):
                rows.append(row)
    return rows


# With several uplinks networkd keeps their default routes out of the main table, which is where Shorewall looks. What
# it noted of the lease is right whoever empties the table that they are in.
_FIND_GATEWAY = """\
lease=/run/systemd/netif/leases/$(cat "/sys/class/net/$1/ifindex" 2> /dev/null)
found=$(sed -n 's/^ROUTER=\\([0-9.]*\\).*/\\1/p' "$lease" 2> /dev/null)
[ -n "$found" ] || found=$(ip -4 route show table 253 dev "$1" default | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')
[ -z "$found" ] || echo "$found" | head -n 1
"""


def firewall_scripts(uplinks: Records | None) -> dict[str, str]:
    """Return the extension scripts: how the gateway of a provider is found that is known by DHCP only.

    Args:
        uplinks: C(kvmnet_uplinks).
    """
    several = len(uplinks or []) > 1
    return {"findgw": _FIND_GATEWAY} if several and any(u.get("gateway") == "dhcp" for u in uplinks or []) else {}


class FilterModule:
    """Filters that derive multi-ISP routing from the inventory."""

    def filters(self) -> dict[str, Any]:
        return {
            "firewall_providers": firewall_providers,
            "firewall_rtrules": firewall_rtrules,
            "firewall_mangle": firewall_mangle,
            "firewall_conntrack": firewall_conntrack,
            "firewall_scripts": firewall_scripts,
            "firewall_snat": firewall_snat,
        }
