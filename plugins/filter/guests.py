# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guest records: everything that follows from one entry of C(kvmnet_guests), in one place."""

from __future__ import annotations

from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import derive_mac, derive_tap, derive_uuid

# Keys of the inventory's guest record that are wiring; all others are options of the kvm_guest module.
_WIRING = ("name", "network", "address", "mac", "tap", "uplink", "publish", "isolated")


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
        isolated, mtu or None, options.
    """
    if guests is None:
        return None
    by_name = {network["name"]: network for network in networks or []}
    records = []
    for index, guest in enumerate(guests):
        name = str(guest["name"])
        network = by_name.get(guest.get("network"), {})
        address = guest.get("address")
        # A guest that has another name now keeps what followed from the old one
        origin = str(guest.get("renamed_from") or name)
        records.append(
            {
                "source": f"kvmnet_guests[{index}]",
                "name": name,
                "network": guest.get("network"),
                "bridge": network.get("bridge"),
                "address": None if address is None else str(address).partition("/")[0],
                "mac": str(guest.get("mac") or derive_mac(origin)).lower(),
                "uuid": str(guest.get("uuid") or derive_uuid(origin)),
                "tap": str(guest.get("tap") or derive_tap(origin)),
                "domain": network.get("domain"),
                "uplink": guest.get("uplink"),
                "publish": [dict(entry) for entry in guest.get("publish") or []],
                "isolated": bool(guest.get("isolated", network.get("isolated", False))),
                "mtu": network.get("mtu"),
                "options": {key: value for key, value in guest.items() if key not in _WIRING},
            }
        )
    return records


class FilterModule:
    """Filters on C(kvmnet_guests)."""

    def filters(self) -> dict[str, Any]:
        return {"guest_records": guest_records}
