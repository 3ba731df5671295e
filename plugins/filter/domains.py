# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest records as the entries that M(ursa.kvmnet.kvm_guest) takes."""

from __future__ import annotations

from typing import Any

from ansible_collections.ursa.kvmnet.plugins.filter.guests import cards

# Key of the guest's record -> key of its card
_CARD = {
    "nic_model": "model",
    **{key: key for key in ("queues", "link", "inbound_mbit", "outbound_mbit", "anti_spoofing")},
}


def _serves_leases(record: dict[str, Any], networks: list[dict[str, Any]]) -> bool:
    """Return whether this host gives the guest a lease: by its reservation, or from the network's range."""
    for network in networks:
        if network.get("name") == record["network"] and network.get("bridge"):
            return bool(network.get("address") and (network.get("dhcp_range") or record["address"]))
    return False


def _nic(card: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Take what is said of a card out of options, and return it as the module takes it."""
    nic = {"mac": card["mac"], "tap": card["tap"], "mtu": card["mtu"]}
    nic |= {key: options.pop(name) for name, key in _CARD.items() if options.get(name) is not None}
    if nic.get("anti_spoofing") and card["address"]:
        nic["address"] = card["address"]
    return nic


def _network_config(found: list[dict[str, Any]], networks: list[dict[str, Any]]) -> dict[str, Any]:
    """Tell cloud-init of several cards: by itself it asks for a lease on the first one only.

    Only the first card's lease has a way out: with one on each, an answer could leave by another card than it came.
    """
    ethernets: dict[str, Any] = {}
    for number, card in enumerate(found):
        entry: dict[str, Any] = {"match": {"macaddress": card["mac"]}, "dhcp4": _serves_leases(card, networks)}
        ethernets[f"eth{number}"] = entry | ({"optional": True} if number else {})
    return {"version": 2, "ethernets": ethernets}


def domains(
    records: list[dict[str, Any]] | None, networks: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]] | None:
    """Turn guest records into domains.

    Args:
        records: what C(guest_records) returns.
        networks: C(kvmnet_networks); a guest whose network has DHCP is waited for until it has its lease.

    Returns:
        None for None, else one entry for each guest; an option that the guest's record names is never overruled.
    """
    if records is None:
        return None
    entries = []
    for record in records:
        options = dict(record["options"])
        first, *further = cards([record])
        nics = [_nic(first, options), *(_nic(card, dict(card["options"])) for card in further)]
        for card, nic in zip(further, nics[1:], strict=True):
            if _serves_leases(card, networks or []):
                nic |= {"lease": True, **({"address": card["address"]} if card["address"] else {})}
        derived: dict[str, Any] = {
            "source": record["source"],
            "name": record["name"],
            "network": record["network"],
            "uuid": record["uuid"],
            "nics": nics,
            "address": record["address"],
            "fqdn": f"{record['name']}.{record['domain']}" if record["domain"] else None,
            "wait_for": ["lease"] if _serves_leases(record, networks or []) else [],
        }
        if further:
            derived["network_config"] = _network_config([first, *further], networks or [])
        entry = {**derived, **options}
        entries.append({key: value for key, value in entry.items() if value is not None})
    return entries


class FilterModule:
    """Filters on guest records."""

    def filters(self) -> dict[str, Any]:
        return {"domains": domains}
