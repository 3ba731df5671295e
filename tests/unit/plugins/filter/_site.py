# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A site that the firewall's filters are asked about: that of the article, and with one uplink, or separate ones."""

from __future__ import annotations

from typing import Any

MANAGEMENT = {"sources": ["172.20.1.0/24"], "port": 22}
COMCAST = {
    "name": "comcast",
    "interface": "eth0",
    "address": "172.20.1.130/24",
    "gateway": "172.20.1.1",
    "primary": True,
}
AVVANTA = {
    "name": "avvanta",
    "interface": "eth0",
    "gateway": "172.20.1.254",
    "destinations": ["206.124.146.176/31", "206.124.146.180/32"],
    "services": [{"proto": "tcp", "port": 21}],
}
SHARED = [COMCAST, AVVANTA]
# What Shorewall's own samples say of an interface
SAMPLE = ["tcpflags", "logmartians", "nosmurfs", "routefilter"]
SEPARATE = [COMCAST, {"name": "avvanta", "interface": "eth1", "address": "dhcp", "gateway": "dhcp", "fallback": True}]
KVM = {"name": "kvm", "bridge": "br0", "address": "192.168.0.254/24"}
GUESTS = [
    {"name": "debian32", "network": "kvm", "address": "192.168.0.1"},
    {
        "name": "web",
        "network": "kvm",
        "address": "192.168.0.2",
        "publish": [{"proto": "tcp", "port": 8080, "to": 80}],
    },
]


def short(rows: list[dict[str, Any]] | None, *keys: str) -> list[tuple[Any, ...]]:
    """Return some columns of rows."""
    return [tuple(row.get(key) for key in keys) for row in rows or []]
