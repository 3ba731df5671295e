# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Whether the gateways are still those whose MAC addresses are pinned, by what the kernel knows of its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._gateways import normalise_mac

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# In these the kernel holds what was said long ago, or by nobody.
_UNKNOWN = {"FAILED", "INCOMPLETE", "NOARP", "PERMANENT"}


def answering(neighbours: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Return which MAC address stands for which address on which interface.

    Args:
        neighbours: C(ip -j -4 neighbour).
    """
    return {
        (str(entry.get("dev")), str(entry.get("dst"))): str(entry["lladdr"])
        for entry in neighbours
        if "lladdr" in entry and not _UNKNOWN & set(entry.get("state", ()))
    }


def complete(
    uplinks: Iterable[Mapping[str, Any]],
    providers: Iterable[Mapping[str, Any]],
    marks: Iterable[Mapping[str, Any]],
    known: Mapping[tuple[str, str], str],
) -> list[dict[str, Any]]:
    """Return uplinks with the MAC address that is pinned for their gateway, and another one that it has now.

    Args:
        uplinks: what is known of them otherwise.
        providers: Shorewall's.
        marks: its mangle rows, where the further MAC addresses of a gateway are.
        known: what M(answering) returns.
    """
    pinned = {str(row["name"]): row for row in providers if row.get("gateway_mac")}
    sources = [str(row.get("source", "")).partition(":~") for row in marks]
    further = {(interface, normalise_mac(mac)) for interface, _colon, mac in sources if mac}
    found = []
    for uplink in uplinks:
        row = pinned.get(str(uplink["name"]))
        if row is None:
            found.append({**uplink, "gateway_mac": None, "gateway_mac_now": None})
            continue
        mac, interface = normalise_mac(str(row["gateway_mac"])), str(row["interface"])
        now = known.get((interface, str(row.get("gateway"))))
        other = now is not None and now != mac and (interface, now) not in further
        found.append({**uplink, "gateway_mac": mac, "gateway_mac_now": now if other else None})
    return found


def warnings(uplinks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what a person should know of gateways that are not what they were."""
    return [
        f"uplink {uplink['name']}: its gateway {uplink['gateway']} has the MAC address {uplink['gateway_mac_now']} "
        f"now, and {uplink['gateway_mac']} is pinned; if it was replaced, run site.yml once with "
        "shorewall_repin_gateways: true, or set gateway_mac"
        for uplink in uplinks
        if uplink.get("gateway_mac_now")
    ]
