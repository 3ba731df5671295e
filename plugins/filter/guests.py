# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest records: everything that follows from one entry of C(kvmnet_guests), in one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import derive_mac, derive_tap, derive_uuid

# Keys of the inventory's guest record that are wiring; all others are options of the kvm_guest module.
_WIRING = ("name", "network", "address", "mac", "tap", "uplink", "publish", "isolated", "nics")


def _wire(
    entry: dict[str, Any], networks: dict[Any, dict[str, Any]], origin: str, further: str | None = None
) -> dict[str, Any]:
    """Join a card with its network, and derive what it does not say."""
    network = networks.get(entry.get("network"), {})
    address = entry.get("address")
    return {
        "network": entry.get("network"),
        "bridge": network.get("bridge"),
        "address": None if address is None else str(address).partition("/")[0],
        "mac": str(entry.get("mac") or derive_mac(origin, further)).lower(),
        "tap": str(entry.get("tap") or derive_tap(origin, further)),
        "domain": network.get("domain"),
        "isolated": bool(entry.get("isolated", network.get("isolated", False))),
        "mtu": network.get("mtu"),
        "options": {key: value for key, value in entry.items() if key not in _WIRING},
    }


def guest_records(
    guests: list[dict[str, Any]] | None, networks: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]] | None:
    """Join each guest with its network and derive what it does not say.

    Args:
        guests: C(kvmnet_guests), or None when guests are not managed.
        networks: C(kvmnet_networks).

    Returns:
        None for None, else one plain dict for each guest, in order: source (its place in the inventory), name,
        network, bridge, address (without prefix) or None, mac, uuid, tap, domain or None, uplink or None, publish,
        isolated, mtu or None, options. One with further cards has nics, each with the keys that a card has of these.
    """
    if guests is None:
        return None
    by_name = {network["name"]: network for network in networks or []}
    records = []
    for index, guest in enumerate(guests):
        name = str(guest["name"])
        # A guest that has another name now keeps what followed from the old one
        origin = str(guest.get("renamed_from") or name)
        own = _wire(guest, by_name, origin)
        record = {
            "source": f"kvmnet_guests[{index}]",
            "name": name,
            "network": own["network"],
            "bridge": own["bridge"],
            "address": own["address"],
            "mac": own["mac"],
            "uuid": str(guest.get("uuid") or derive_uuid(origin)),
            "tap": own["tap"],
            "domain": own["domain"],
            "uplink": guest.get("uplink"),
            "publish": [dict(entry) for entry in guest.get("publish") or []],
            "isolated": own["isolated"],
            "mtu": own["mtu"],
            "options": own["options"],
        }
        if guest.get("nics"):
            record["nics"] = [_wire(card, by_name, origin, str(card["network"])) for card in guest["nics"]]
        records.append(record)
    return records


def cards(records: Iterable[Mapping[str, Any]] | None) -> Iterator[dict[str, Any]]:
    """Yield a record for each card: the guest's, and for each further card one with what is that card's instead."""
    for record in records or []:
        yield dict(record)
        for number, card in enumerate(record.get("nics") or []):
            options = {key: value for key, value in record["options"].items() if key == "state"} | card["options"]
            place = f"{record['source']}.nics[{number}]"
            yield {**record, "uplink": None, "publish": [], "nics": [], **card, "options": options, "source": place}


class FilterModule:
    """Filters on C(kvmnet_guests)."""

    def filters(self) -> dict[str, Any]:
        return {"guest_records": guest_records}
