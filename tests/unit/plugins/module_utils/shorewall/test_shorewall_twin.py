# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces that the compiler sees are those of the host, in a network of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._twin import commands, describe

SHOWN: list[dict[str, Any]] = [
    {
        "ifname": "lo",
        "link_type": "loopback",
        "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"}],
    },
    {
        "ifname": "eth0",
        "link_type": "ether",
        "address": "52:54:00:00:00:01",
        "addr_info": [
            {"family": "inet", "local": "192.0.2.9", "prefixlen": 24, "broadcast": "192.0.2.255", "scope": "global"},
            {"family": "inet6", "local": "2001:db8::9", "prefixlen": 64, "scope": "global"},
        ],
    },
    {"ifname": "br0", "link_type": "ether", "linkinfo": {"info_kind": "bridge"}, "addr_info": []},
    {"ifname": "tap-web", "link_type": "ether", "linkinfo": {"info_kind": "tun"}, "addr_info": []},
    {
        "ifname": "ppp0",
        "link_type": "ppp",
        "addr_info": [
            {"family": "inet", "local": "198.51.100.7", "address": "203.0.113.1", "prefixlen": 32, "scope": "global"}
        ],
    },
]


def test_a_tap_without_an_address_is_left_out() -> None:
    lines = list(describe(SHOWN))
    assert "link add name eth0 address 52:54:00:00:00:01 type veth peer name kvmnet1" in lines
    assert "address replace 2001:db8::9/64 scope global nodad dev eth0" in lines
    assert "address replace 198.51.100.7 peer 203.0.113.1/32 scope global dev ppp0" in lines
    assert not [line for line in lines if "tap-web" in line]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a network namespace needs root")
def test_a_network_of_its_own_looks_like_that() -> None:
    script = "ip -force -batch - && ip -j -d address && ip -4 route"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script],
        input="\n".join([*describe(SHOWN), "route replace default via 192.0.2.1 dev eth0"]),
        capture_output=True,
        text=True,
        check=True,
    )
    shown, *routes = done.stdout.splitlines()
    links = {link["ifname"]: link for link in json.loads(shown)}
    found = {
        name: [entry["local"] for entry in link["addr_info"] if entry["scope"] == "global"]
        for name, link in links.items()
        if not name.startswith("kvmnet")
    }
    assert found == {"lo": [], "eth0": ["192.0.2.9", "2001:db8::9"], "br0": [], "ppp0": ["198.51.100.7"]}
    assert links["br0"]["linkinfo"]["info_kind"] == "bridge"
    assert any(line.startswith("default via 192.0.2.1 dev eth0") for line in routes)


def test_this_machine_can_be_described() -> None:
    assert "link set lo up" in commands().splitlines()
