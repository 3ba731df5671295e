# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall that follows from uplinks, networks and guests: zones, policies, rules, masquerading."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._networks import cidr

Records = list[dict[str, Any]]

FIREWALL = "fw"
NET = "net"
# The firewall itself, where a zone's name is not taken.
SELF = "$FW"
# Also from a zone to itself, which "all" is not.
EVERYONE = "all+"
_LOG = "info"
# Rules have them in capitals; macros and actions have names of their own.
_VERDICTS = ("ACCEPT", "DROP", "REJECT", "DNAT", "REDIRECT", "LOG")


def _numbered(name: str, records: Records | None) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, record in enumerate(records or []):
        yield f"{name}[{index}]", record


def link_of(uplink: dict[str, Any]) -> str:
    """Return the interface that an uplink's traffic crosses: a macvlan has the uplink's name."""
    return str(uplink["name"] if uplink.get("sharing") == "macvlan" else uplink["interface"])


def zone_of(network: dict[str, Any]) -> str:
    """Return a network's zone."""
    return str(network.get("zone") or network["name"])


def _link_of_network(network: dict[str, Any]) -> str:
    return str(network.get("bridge") or network["interface"])


def _uplink_options(uplinks: Records, link: str) -> list[str]:
    here = [uplink for uplink in uplinks if link_of(uplink) == link]
    options = ["dhcp"] if any(uplink.get("address") == "dhcp" for uplink in here) else []
    options += ["tcpflags", "logmartians"]
    if len(uplinks) == 1:
        return [*options, "nosmurfs", "routefilter", "sourceroute=0"]
    # Several interfaces can stand on one wire: each answers for its own addresses only.
    if any(uplink.get("gateway") for uplink in here):
        options.append("arp_ignore")
    # Shorewall refuses it where providers share the interface.
    return options if len(here) > 1 else [*options, "optional"]


def _network_options(network: dict[str, Any], uplinks: Records) -> list[str]:
    if not network.get("bridge"):
        options = (["dhcp"] if network.get("dhcp_range") else []) + ["tcpflags", "logmartians", "nosmurfs"]
        # With several uplinks the way back is not the one in the main table
        return options if len(uplinks) > 1 else [*options, "routefilter"]
    # Without a value it would be decided by what is installed on the compiling host.
    return ["dhcp", "routeback=0" if network.get("isolated") else "routeback"]


def firewall_zones(networks: Records | None, uplinks: Records | None = None) -> Records | None:
    """Return the zones with their interfaces: the firewall, the networks behind the uplinks, one for each network.

    Args:
        networks: C(kvmnet_networks).
        uplinks: C(kvmnet_uplinks).

    Returns:
        None when neither is set.
    """
    if networks is None and uplinks is None:
        return None
    zones: Records = [{"name": FIREWALL, "type": "firewall", "interfaces": []}]
    by_name: dict[str, dict[str, Any]] = {}

    def add(zone: str, interface: dict[str, Any], origin: str) -> None:
        if zone not in by_name:
            by_name[zone] = {"name": zone, "type": "ipv4", "interfaces": [], "origin": origin}
            zones.append(by_name[zone])
        if interface["name"] not in [other["name"] for other in by_name[zone]["interfaces"]]:
            by_name[zone]["interfaces"].append(interface)

    for origin, uplink in _numbered("kvmnet_uplinks", uplinks):
        link = link_of(uplink)
        add(NET, {"name": link, "options": _uplink_options(uplinks or [], link)}, origin)
    for origin, network in _numbered("kvmnet_networks", networks):
        options = _network_options(network, uplinks or [])
        add(zone_of(network), {"name": _link_of_network(network), "options": options}, origin)
    return zones


def _split(names: Any) -> list[str]:
    return [str(name) for name in (names if isinstance(names, list) else str(names).split(","))]


def _covers(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    """Whether a policy leaves nothing to a later one: Shorewall refuses such a pair."""
    general = False
    for key in ("source", "dest"):
        names = [_plain(name) for name in _split(earlier[key])]
        if _plain(later[key]) not in names and EVERYONE not in names:
            general = True
            if "all" not in names:
                return False
    # What stays in a zone is in "all+" alone: to "all" it is not a matter of policy, and let through
    return not general or later["source"] != later["dest"] or later["source"] == "all"


def _plain(name: Any) -> str:
    return FIREWALL if name == SELF else str(name)


def _local_zones(networks: Records | None) -> list[tuple[str, str, bool]]:
    """Return zone, origin and whether its networks are closed to each other, once for each zone."""
    zones: dict[str, tuple[str, bool]] = {}
    for origin, network in _numbered("kvmnet_networks", networks):
        zone = zone_of(network)
        if zone != NET:
            first = zones.get(zone, (origin, True))
            zones[zone] = (first[0], first[1] and bool(network.get("isolated")))
    return [(zone, origin, isolated) for zone, (origin, isolated) in zones.items()]


def _policy(source: str, dest: str, policy: str, log: str | None = None, origin: str | None = None) -> dict[str, Any]:
    row = {"source": source, "dest": dest, "policy": policy, "loglevel": log, "origin": origin}
    return {key: value for key, value in row.items() if value is not None}


def firewall_policies(
    networks: Records | None, uplinks: Records | None = None, policies: Records | None = None
) -> Records | None:
    """Return the policies: the site's own first, then what goes in and out by default.

    Args:
        networks: C(kvmnet_networks).
        uplinks: C(kvmnet_uplinks).
        policies: C(kvmnet_policies).
    """
    if networks is None and uplinks is None:
        return None
    rows = []
    for origin, entry in _numbered("kvmnet_policies", policies):
        log = _LOG if entry.get("log") is True else entry.get("log") or None
        for source in _split(entry["from"]):
            for dest in _split(entry["to"]):
                row = _policy(source, dest, str(entry["action"]).upper(), log, origin)
                rows.append(row | ({"rate": str(entry["rate"])} if entry.get("rate") else {}))
    local = _local_zones(networks)
    derived = []
    if uplinks:
        # Providers are no way through: what comes from one of them never leaves by another.
        derived += [_policy(NET, NET, "NONE")] if len(uplinks) > 1 else []
        derived.append(_policy(FIREWALL, NET, "ACCEPT"))
    derived += [_policy(FIREWALL, zone, "ACCEPT", origin=origin) for zone, origin, _unused in local]
    for zone, origin, isolated in local:
        if not isolated:
            derived.append(_policy(zone, "all", "ACCEPT", origin=origin))
        elif uplinks:
            derived.append(_policy(zone, NET, "ACCEPT", origin=origin))
    derived += [_policy(NET, "all", "DROP", _LOG)] if uplinks else []
    derived.append(_policy("all", "all", "REJECT", _LOG))
    return rows + [row for row in derived if not any(_covers(own, row) for own in rows)]


def _verdict(policies: Iterable[dict[str, Any]], source: str, dest: str) -> str:
    pair = {"source": source, "dest": dest}
    return next((str(row["policy"]) for row in policies if _covers(row, pair)), "REJECT")


def arrival_zones(source: str, networks: Records | None, uplinks: Records | None) -> list[str]:
    """Return the zones that packets from a network can come from."""
    zones = [NET] if uplinks else []
    overlapping, unknown = [], []
    for network in networks or []:
        if not network.get("address"):
            unknown.append(zone_of(network))
        elif cidr(network["address"]) in cidr(source) or cidr(source) in cidr(network["address"]):
            overlapping.append(zone_of(network))
    return list(dict.fromkeys([*zones, *overlapping, *unknown]))


def _located(zone: str, address: str) -> str:
    return zone if address == "0.0.0.0/0" else f"{zone}:{address}"


def _management_rules(
    management: dict[str, Any], networks: Records | None, uplinks: Records | None
) -> Iterator[dict[str, Any]]:
    for source in management.get("sources") or []:
        for zone in arrival_zones(str(source), networks, uplinks):
            yield {
                "action": "ACCEPT",
                "source": _located(zone, str(cidr(source))),
                "dest": SELF,
                "proto": ["tcp"],
                "dport": [str(management.get("port", 22))],
                "origin": "kvmnet_management.sources",
            }


def _reconnect_rules(networks: Records | None, uplinks: Records | None) -> Iterator[dict[str, Any]]:
    """Yield what resets a connection that its uplink took along: another one cannot carry it on."""
    if len(uplinks or []) > 1:
        for zone, _unused, _isolated in _local_zones(networks):
            row = {"action": "NotSyn(REJECT)", "source": zone, "dest": NET, "proto": ["tcp"]}
            yield row | {"origin": "kvmnet_uplinks"}


def _ports(value: Any) -> list[str]:
    return [] if value is None else [port.replace("-", ":") if port[0].isdigit() else port for port in _split(value)]


def _published(guests: Records | None, zones: dict[str, str]) -> Iterator[dict[str, Any]]:
    for guest in guests or []:
        if guest.get("options", {}).get("state") == "absent":
            continue
        target = ":".join(
            filter(None, (zones.get(str(guest.get("network")), str(guest.get("network"))), guest.get("address")))
        )
        for entry in guest.get("publish") or []:
            row = {
                "action": "DNAT",
                "source": _located(NET, str(entry.get("source") or "0.0.0.0/0")),
                "dest": target + (f":{entry['to']}" if entry.get("to") else ""),
                "proto": [str(entry.get("proto") or "tcp")],
                "dport": _ports(entry["port"]),
                "origin": guest["source"],
            }
            yield row | ({"origdest": [str(entry["address"])]} if entry.get("address") else {})


def _side(value: Any) -> str:
    text = str(value)
    zone, colon, rest = text.partition(":")
    return SELF + colon + rest if zone == FIREWALL else text


def _action(entry: dict[str, Any]) -> str:
    action = str(entry["action"])
    action = action.upper() if action.upper() in _VERDICTS else action
    # To log is all that LOG does, so it is not to be said twice
    level = entry.get("log") or action == "LOG"
    return f"{action}:{_LOG if level is True else level}" if level else action


def _dest(entry: dict[str, Any]) -> str | None:
    """Return where a rule leads to; a redirect leads to a port of the firewall's own, by default the one asked for."""
    if not re.search(r"\bREDIRECT\b", str(entry["action"]), re.IGNORECASE):
        return _side(entry["to"])
    port = str(entry.get("to") or "").rpartition(":")[2]
    return f"{SELF}::{port}" if port.isdigit() else None


def _site_rules(rules: Records | None) -> Iterator[dict[str, Any]]:
    for origin, entry in _numbered("kvmnet_rules", rules):
        row: dict[str, Any] = {
            "action": _action(entry),
            "source": _side(entry["from"]),
            "dest": _dest(entry),
            "proto": _split(entry["proto"]) if entry.get("proto") else None,
            "dport": _ports(entry.get("port")) or None,
            "sport": _ports(entry.get("sport")) or None,
            "origdest": _split(entry["address"]) if entry.get("address") else None,
            "rate": str(entry["rate"]) if entry.get("rate") else None,
            "origin": origin,
        }
        yield {key: value for key, value in row.items() if value is not None}


def firewall_rules(
    networks: Records | None,
    uplinks: Records | None = None,
    guests: Records | None = None,
    management: dict[str, Any] | None = None,
    rules: Records | None = None,
    policies: Records | None = None,
) -> Records | None:
    """Return the rules: those who manage the host first, then the site's own, then the guests' published ports.

    With several uplinks, what does not begin a connection is refused on its way out: a connection whose uplink died
    is reset, so that it is made anew over another, instead of hanging.

    Args:
        networks: C(kvmnet_networks).
        uplinks: C(kvmnet_uplinks).
        guests: the result of P(ursa.kvmnet.guest_records#filter).
        management: C(kvmnet_management).
        rules: C(kvmnet_rules).
        policies: C(kvmnet_policies), for what they leave open.
    """
    if networks is None and uplinks is None:
        return None
    rows = [*_management_rules(management or {}, networks, uplinks), *_reconnect_rules(networks, uplinks)]
    rows += _site_rules(rules)
    effective = firewall_policies(networks, uplinks, policies) or []
    for zone, origin, _unused in _local_zones(networks):
        served = [
            network
            for network in networks or []
            if zone_of(network) == zone and (network.get("bridge") or network.get("dhcp_range"))
        ]
        # A closed zone can still ask the name server that its leases name.
        if served and _verdict(effective, zone, FIREWALL) != "ACCEPT":
            rows.append({"action": "DNS(ACCEPT)", "source": zone, "dest": SELF, "origin": origin})
    zones = {str(network["name"]): zone_of(network) for network in networks or []}
    return rows + list(_published(guests, zones))


def firewall_stoppedrules(
    management: dict[str, Any] | None, networks: Records | None = None, uplinks: Records | None = None
) -> Records | None:
    """Return what is admitted while the firewall is stopped: those who manage the host.

    Args:
        management: C(kvmnet_management).
        networks: C(kvmnet_networks).
        uplinks: C(kvmnet_uplinks).
    """
    if management is None:
        return None
    rows = []
    for source in management.get("sources") or []:
        zones = arrival_zones(str(source), networks, uplinks)
        links = [link_of(uplink) for uplink in uplinks or []]
        links += [_link_of_network(network) for network in networks or [] if zone_of(network) in zones]
        for link in dict.fromkeys(links):
            rows.append(
                {
                    "action": "ACCEPT",
                    "source": f"{link}:{cidr(source)}",
                    "dest": SELF,
                    "proto": ["tcp"],
                    "dport": [str(management.get("port", 22))],
                    "origin": "kvmnet_management.sources",
                }
            )
    return rows


def firewall_ipsets(lists: Records | None) -> Records | None:
    """Return the sets of addresses that rules name with a plus sign.

    Args:
        lists: C(kvmnet_address_lists).
    """
    if lists is None:
        return None
    return [
        {"name": str(entry["name"]), "entries": [text for text in map(str, entry["addresses"]) if ":" not in text]}
        for entry in lists
    ]


def masqueraded(network: dict[str, Any]) -> bool:
    """Whether a network's addresses mean nothing outside and are hidden behind the uplink's."""
    if not network.get("address"):
        return False
    chosen = network.get("masquerade")
    return cidr(network["address"]).network.is_ipv4_private_use() if chosen is None else bool(chosen)


class FilterModule:
    """Filters that derive a firewall from the inventory."""

    def filters(self) -> dict[str, Any]:
        return {
            "firewall_zones": firewall_zones,
            "firewall_policies": firewall_policies,
            "firewall_rules": firewall_rules,
            "firewall_ipsets": firewall_ipsets,
            "firewall_stoppedrules": firewall_stoppedrules,
        }
