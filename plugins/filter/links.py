# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role host_bridge makes, derived from the inventory: bridges, their ports, and the interfaces of uplinks."""

from __future__ import annotations

from typing import Any

from ansible_collections.ursa.kvmnet.plugins.filter.firewall import link_of
from ansible_collections.ursa.kvmnet.plugins.filter.guests import cards

# With several providers a default route in main (254) would be looked up before theirs; 253 is looked up last.
_TABLE_MAIN = 254
_TABLE_BESIDE_PROVIDERS = 253


def _addresses(entry: dict[str, Any]) -> list[str]:
    return [str(entry[key]) for key in ("address", "address6") if entry.get(key)]


def bridges(networks: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Choose the networks that are bridges.

    Args:
        networks: C(kvmnet_networks), or None when networks are not managed.

    Returns:
        None for None, else entries of the bridge module's option C(bridges).
    """
    if networks is None:
        return None
    found = []
    for index, network in enumerate(networks):
        if not network.get("bridge"):
            continue
        entry: dict[str, Any] = {
            "name": str(network["bridge"]),
            "addresses": _addresses(network),
            "source": f"kvmnet_networks[{index}]",
        }
        if network.get("mtu") is not None:
            entry["mtu"] = int(network["mtu"])
        found.append(entry)
    return found


def bridge_ports(
    records: list[dict[str, Any]] | None, networks: list[dict[str, Any]] | None
) -> list[dict[str, Any]] | None:
    """Give each guest on a bridge its tap, and each bridge the host's interfaces that belong to it.

    Args:
        records: what the filter C(guest_records) returns.
        networks: C(kvmnet_networks).

    Returns:
        None when neither guests nor networks are managed, else entries of the bridge_port module's option C(ports).
    """
    if records is None and networks is None:
        return None
    found = []
    for index, network in enumerate(networks or []):
        for name in network.get("ports") or [] if network.get("bridge") else []:
            entry: dict[str, Any] = {
                "name": str(name),
                "type": "interface",
                "bridge": str(network["bridge"]),
                "source": f"kvmnet_networks[{index}].ports",
            }
            if network.get("mtu") is not None:
                entry["mtu"] = int(network["mtu"])
            found.append(entry)
    for record in cards(records):
        if not record.get("bridge") or record["options"].get("state") == "absent":
            continue
        entry = {
            "name": str(record["tap"]),
            "type": "tap",
            "bridge": str(record["bridge"]),
            "isolated": bool(record.get("isolated")),
            "source": str(record["source"]),
        }
        if record.get("mtu") is not None:
            entry["mtu"] = int(record["mtu"])
        if record["options"].get("queues") is not None:
            entry["queues"] = int(record["options"]["queues"])
        found.append(entry)
    return found


def bridge_port_types(records: list[dict[str, Any]] | None, networks: list[dict[str, Any]] | None) -> list[str]:
    """Return the types of port of which the inventory names all, so that one it does not name may go."""
    return [*(["tap"] if records is not None else []), *(["interface"] if networks is not None else [])]


def uplink_links(uplinks: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Join the uplinks that share an interface; a macvlan is one of its own.

    Args:
        uplinks: C(kvmnet_uplinks), or None when uplinks are not managed.

    Returns:
        None for None, else entries of the bridge module's option C(uplinks), one for each interface.
    """
    if uplinks is None:
        return None
    by_interface: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for index, uplink in enumerate(uplinks):
        by_interface.setdefault(link_of(uplink), []).append((index, uplink))
    found = []
    providers6 = [uplink for uplink in uplinks if uplink.get("address6")]
    for interface, entries in by_interface.items():
        addressed = [(index, uplink) for index, uplink in entries if _addresses(uplink)]
        # Without Shorewall the host itself goes by one of the gateways: the primary uplink's.
        ranked = sorted(entries, key=lambda item: (not item[1].get("primary"), not item[1].get("address"), item[0]))
        gateway = next((uplink["gateway"] for _index, uplink in ranked if uplink.get("gateway")), None)
        source, _uplink = (addressed or entries)[0]
        entry: dict[str, Any] = {
            "interface": interface,
            "manage": any(bool(uplink.get("manage")) for _index, uplink in entries),
            "addresses": list(dict.fromkeys(text for _index, uplink in addressed for text in _addresses(uplink))),
            "table": _TABLE_BESIDE_PROVIDERS if len(uplinks) > 1 else _TABLE_MAIN,
            "source": f"kvmnet_uplinks[{source}]",
        }
        if gateway is not None:
            entry["gateway"] = str(gateway)
        if len(uplinks) > 1 and len(entries) == 1:
            # The others carry the traffic; several on one interface stand or fall with it.
            entry["optional"] = True
        first = entries[0][1]
        if first.get("sharing") == "macvlan":
            entry |= {"manage": True, "parent": str(first["interface"])}
            entry |= {"mac": str(first["mac"])} if first.get("mac") else {}
        gateway6 = next((uplink["gateway6"] for _index, uplink in entries if uplink.get("gateway6")), None)
        if gateway6 is not None:
            entry["gateway6"] = str(gateway6)
            entry["table6"] = _TABLE_BESIDE_PROVIDERS if len(providers6) > 1 else _TABLE_MAIN
        found.append(entry)
    return found


class FilterModule:
    """Filters from the inventory to the role host_bridge."""

    def filters(self) -> dict[str, Any]:
        return {
            "bridges": bridges,
            "bridge_ports": bridge_ports,
            "bridge_port_types": bridge_port_types,
            "uplink_links": uplink_links,
        }
