# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Bridges, ports and addresses, in the words of the modules bridge and bridge_port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import Link

_FLAGS = ("isolated", "hairpin", "learning", "guard", "root_block")


def describe(links: Iterable[Link]) -> dict[str, Any]:
    """Return what the kernel has."""
    known = [link for link in links if link.name != "lo"]
    bridges = [
        {"name": link.name, "addresses": list(link.addresses), "mac": link.mac, "mtu": link.mtu, "up": link.up}
        for link in known
        if link.kind == "bridge"
    ]
    names = {bridge["name"] for bridge in bridges}
    ports = [
        {
            "name": link.name,
            "bridge": link.master,
            "type": "tap" if link.tap else "interface",
            "carrier": link.carrier,
            "mtu": link.mtu,
            **{flag: bool(link.port.get(flag)) for flag in _FLAGS},
            **{key: link.port[key] for key in ("cost", "priority") if key in link.port},
            # Not to be given back where it is off: most releases of networkd cannot set it.
            **({"locked": True} if link.port.get("locked") else {}),
        }
        for link in known
        if link.master in names
    ]
    interfaces = [
        {
            "name": link.name,
            "kind": link.shown_kind,
            "up": link.up,
            "carrier": link.carrier,
            "mac": link.mac,
            "mtu": link.mtu,
            "addresses": list(link.addresses),
        }
        for link in known
        if link.master not in names and link.kind != "bridge"
    ]
    return {"bridges": bridges, "ports": ports, "interfaces": interfaces}
