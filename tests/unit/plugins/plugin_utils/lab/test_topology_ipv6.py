# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 in the lab, where the inventory has it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._topology import LabError

from .conftest import URSA, node, topology

DUAL: dict[str, Any] = {
    "ansible_host": "192.0.2.10",
    "kvmnet_management": {"sources": ["192.0.2.0/24", "2001:db8:0:1::100", "2001:db8:9::/64"]},
    "kvmnet_uplinks": [
        {
            "name": "isp",
            "interface": "eth0",
            "address": "192.0.2.10/24",
            "gateway": "192.0.2.1",
            "address6": "2001:db8:0:1::10/64",
            "gateway6": "fe80::1",
        }
    ],
    "kvmnet_networks": [
        {"name": "kvm", "bridge": "br0", "ports": ["eth1"], "address": "10.1.0.1/24", "address6": "2001:db8:1::1/64"},
        {"name": "dmz", "interface": "eth2", "address": "10.2.0.1/24", "address6": "2001:db8:2::1/64"},
        {"name": "lab", "interface": "eth3", "address": "10.3.0.1/24", "address6": "fd00::1/64"},
    ],
    "lab_servers": [
        {"name": "desk", "bridge": "br0", "address": "10.1.0.2"},
        {"name": "server", "interface": "eth2", "address": "10.2.0.2", "address6": "2001:db8:2::2"},
    ],
}


def test_ipv6_stands_beside_ipv4_where_the_inventory_has_it() -> None:
    built = topology(one=DUAL)
    addresses = {name: node(built, name)["nics"][0]["addresses"] for name in ("isp", "controller", "desk", "server")}
    assert "fe80::1/64" in addresses["isp"]
    assert "2001:db8:0:1::100/64" in addresses["controller"]
    assert addresses["desk"] == ["10.1.0.2/24"], "it learns one from the bridge"
    assert addresses["server"][1:] == ["2001:db8:2::2/64"]
    assert "::/0 via 2001:db8:2::1 dev eth0" in node(built, "server")["routes"]
    files = node(built, "one")["files"]
    uplink = files["/etc/systemd/network/80-wire-eth0.network"]
    assert "Address=2001:db8:0:1::10/64" in uplink
    assert "Gateway=fe80::1" in uplink
    assert "Address=fd00::1/64" in files["/etc/systemd/network/80-wire-eth3.network"]
    assert not any("2001:db8:1::1" in text for text in files.values()), "the bridge is not there yet"


def test_who_has_public_ipv6_networks_is_reached_by_the_internet_and_who_has_not_is_not() -> None:
    built = topology(one=DUAL)
    routes = "\n".join(node(built, "isp")["routes"])
    assert "2001:db8:1::/64 via 2001:db8:0:1::10 dev lan" in routes
    assert "2001:db8:2::/64 via 2001:db8:0:1::10 dev lan" in routes
    assert "fd00" not in routes
    assert "2001:db8:1::/64 via 2001:2:0:1::2 dev isp1" in node(built, "internet")["routes"]
    only4 = copy.deepcopy(URSA)
    assert "::" not in json.dumps([node(topology(ursa=only4), "comcast")["routes"]])


def test_a_wrong_ipv6_address_is_named() -> None:
    wrong = copy.deepcopy(DUAL)
    wrong["kvmnet_networks"][1]["address6"] = "10.0.0.1"
    with pytest.raises(LabError, match=r"kvmnet_networks\[1\]\.address6: '10\.0\.0\.1' is wrong"):
        topology(one=wrong)
