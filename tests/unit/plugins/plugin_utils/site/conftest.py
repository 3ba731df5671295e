# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A site that is right, to be made wrong in one way by each test."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._check import check_site
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._read import read_host

URSA: dict[str, Any] = {
    "kvmnet_management": {"sources": ["172.20.1.0/24"], "port": 22},
    "kvmnet_uplinks": [
        {
            "name": "comcast",
            "interface": "eth0",
            "address": "172.20.1.130/24",
            "gateway": "172.20.1.1",
            "primary": True,
            "manage": True,
        },
        {
            "name": "avvanta",
            "interface": "eth0",
            "gateway": "172.20.1.254",
            "destinations": ["206.124.146.176/31", "206.124.146.180"],
            "services": [{"proto": "tcp", "port": 21}, {"proto": "udp", "port": "6000:6010"}],
        },
    ],
    "kvmnet_networks": [
        {
            "name": "kvm",
            "bridge": "br0",
            "address": "192.168.0.254/24",
            "dhcp_range": ["192.168.0.100", "192.168.0.199"],
            "domain": "kvm.example",
        },
        {"name": "dmz", "bridge": "br1", "ports": ["eth2"], "address": "10.10.11.254/24"},
        {"name": "loc", "interface": "eth1", "address": "10.10.12.1/24"},
    ],
    "kvmnet_guests": [
        {"name": "debian32", "network": "kvm", "address": "192.168.0.1", "image": "debian-12", "memory_mib": 512},
        {
            "name": "web",
            "network": "kvm",
            "address": "192.168.0.2",
            "image": "tiny",
            "publish": [{"proto": "tcp", "port": 8080, "to": 80}],
        },
        {"name": "pool", "network": "kvm"},
        {"name": "mail", "network": "kvm", "address": "192.168.0.3", "uplink": "avvanta"},
    ],
    "kvmnet_images": {
        "debian-12": {"path": "/var/lib/libvirt/images/debian-12.qcow2"},
        "tiny": {"kernel": "/srv/k", "initrd": "/srv/i", "cmdline": "quiet"},
    },
    "kvmnet_users": [
        {"name": "admin", "ssh_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ0ZXN0dGVzdHRlc3Q me@here"]}
    ],
    "kvmnet_policies": [{"from": "loc", "to": "net", "action": "ACCEPT"}],
    "kvmnet_rules": [
        {"from": "net", "to": "dmz:10.10.11.1:80", "action": "DNAT", "proto": "tcp", "port": 8000},
        {"from": "loc:10.10.12.7", "to": "fw", "action": "ACCEPT", "proto": "tcp", "port": [53, "6000:6010"]},
    ],
}

Variables = dict[str, Any]
Found = list[tuple[str, str, str]]


@pytest.fixture
def ursa() -> Variables:
    """The variables of one host, all right, to be changed at will."""
    return copy.deepcopy(URSA)


@pytest.fixture
def refused() -> Callable[..., Found]:
    """A function from hosts' variables to what is wrong with them: host, place, and what is allowed."""

    def check(*hosts: Variables, groups: tuple[str, ...] = ("kvm_hosts",)) -> Found:
        read = [read_host(f"h{number}", variables, (), groups) for number, variables in enumerate(hosts, 1)]
        return [(problem.host or "", problem.place(), problem.allowed) for problem in check_site(read)]

    return check
