# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of the article, and those of other inventories."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._topology import build

SETTINGS = {"packages_base": ["systemd"], "packages": ["shorewall"], "virt_type": "qemu"}
MANAGEMENT = {"sources": ["172.20.1.0/24"], "port": 22}
URSA: dict[str, Any] = {
    "ansible_host": "172.20.1.130",
    "kvmnet_management": MANAGEMENT,
    "lab_controller_address": "172.20.1.107",
    "kvmnet_uplinks": [
        {
            "name": "comcast",
            "interface": "eth0",
            "address": "172.20.1.130/24",
            "gateway": "172.20.1.1",
            "primary": True,
        },
        {"name": "avvanta", "interface": "eth0", "gateway": "172.20.1.254"},
    ],
    "kvmnet_networks": [{"name": "kvm", "bridge": "br0", "address": "192.168.0.254/24", "domain": "kvm.example"}],
    "kvmnet_guests": [
        {"name": "deb", "network": "kvm", "image": "debian-12"},
        {"name": "web", "network": "kvm", "image": "ubuntu-24", "publish": [{"proto": "tcp", "port": 8080, "to": 80}]},
    ],
    "kvmnet_users": [{"name": "tom", "ssh_keys": ["ssh-rsa AAAA"]}],
}
FIREWALL: dict[str, Any] = {
    "ansible_host": "172.20.1.254",
    "kvmnet_management": MANAGEMENT,
    "kvmnet_uplinks": [
        {"name": "dsl", "interface": "eth1", "address": "206.124.146.176/24", "gateway": "206.124.146.254"}
    ],
    "kvmnet_networks": [
        {"name": "loc", "interface": "eth0", "address": "172.20.1.254/24"},
        {"name": "dmz", "bridge": "br0", "ports": ["eth2"], "address": "10.10.11.254/24"},
    ],
    "kvmnet_rules": [
        {
            "from": "net",
            "to": "dmz:10.10.11.1",
            "action": "DNAT",
            "proto": "tcp",
            "port": 80,
            "address": "206.124.146.177",
        }
    ],
    "lab_servers": [{"name": "server", "bridge": "br0", "address": "10.10.11.1"}],
}


def topology(**hosts: dict[str, Any]) -> dict[str, Any]:
    """Return the lab of an inventory."""
    return build(copy.deepcopy(hosts), SETTINGS)


@pytest.fixture(name="article")
def fixture_article() -> dict[str, Any]:
    """Give the lab of the article."""
    return topology(ursa=URSA, firewall=FIREWALL)


def node(built: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a machine of the lab."""
    return next(n for n in [*built["stations"], *built["machines"]] if n["name"] == name)


def wire_of(built: dict[str, Any], name: str, card: str) -> str:
    """Return the wire that a card is plugged into."""
    nic = next(n for n in node(built, name)["nics"] if n["name"] == card)
    return next(w["label"] for w in built["wires"] if w["name"] == nic["wire"])


def changed(host: dict[str, Any], **variables: Any) -> dict[str, Any]:
    """Return a host with other variables."""
    return {**copy.deepcopy(host), **variables}
