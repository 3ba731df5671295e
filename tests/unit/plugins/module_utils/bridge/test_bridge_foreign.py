# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _foreign
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import Link

INTERFACES = """\
# comment
auto lo
iface lo inet loopback

allow-hotplug eth0
iface eth0 inet static
    address 10.0.0.2/24
    gateway 10.0.0.1

iface eth1 inet dhcp
iface eth2 inet manual
iface br9 inet manual
    bridge_ports eth2
iface eth3 inet static
    address 10.3.0.2/24
source interfaces.d/*
iface eth4 inet6 auto
iface eth3:1 inet static
    address 10.3.1.2/24
"""


def test_ifupdown_is_named_by_the_line_that_matters() -> None:
    claims = _foreign.parse_ifupdown("/etc/network/interfaces", INTERFACES)
    assert [(claim.interface, claim.line, claim.text, claim.default_route) for claim in claims] == [
        ("eth0", 8, "gateway 10.0.0.1", True),
        ("eth1", 10, "iface eth1 inet dhcp", True),
        ("br9", 12, "iface br9 inet manual", False),
        ("eth3", 14, "iface eth3 inet static", False),
        ("eth4", 17, "iface eth4 inet6 auto", False),
        # An alias is another address of the same interface
        ("eth3", 18, "iface eth3:1 inet static", False),
    ]
    assert str(claims[0]) == "ifupdown: /etc/network/interfaces line 8 says 'gateway 10.0.0.1'"


@pytest.mark.parametrize(
    ("ipv4", "line", "leads_out"),
    [
        ("method=auto", 4, True),
        ("method=manual\naddress1=10.0.0.2/24,10.0.0.1", 5, True),
        ("method=manual\naddress1=10.0.0.2/24\ngateway=10.0.0.1", 6, True),
        ("method=manual\naddress1=10.0.0.2/24", 2, False),
        ("method=auto\nnever-default=true", 2, False),
        ("method=auto\nroute-table=100", 2, False),
        ("method=disabled", 2, False),
    ],
)
def test_network_manager(ipv4: str, line: int, leads_out: bool) -> None:
    (claim,) = _foreign.parse_network_manager("/x", f"[connection]\ninterface-name=eth0\n[ipv4]\n{ipv4}\n")
    assert (claim.interface, claim.line, claim.default_route) == ("eth0", line, leads_out)


def test_a_connection_of_network_manager_for_any_interface_claims_none() -> None:
    assert _foreign.parse_network_manager("/x", "[connection]\nid=wifi\n") == []


@pytest.mark.parametrize(
    ("match", "name", "expected"),
    [
        ("Name=eth0", "eth0", True),
        ("Name=en* eth*", "eth0", True),
        ("Name=eth1", "eth0", False),
        ("Name=!eth0", "eth0", False),
        ("Name=!eth1 eth2", "eth0", True),
        ("Name=eth0\nName=", "eth0", False),
        ("Kind=bridge", "br0", True),
        ("Kind=bridge", "eth0", False),
        ("Type=ether", "eth0", True),
        ("Type=wlan", "eth0", False),
        ("MACAddress=02:00:00:00:00:10", "eth0", True),
        ("MACAddress=02-00-00-00-00-11", "eth0", False),
        ("Driver=virtio_net", "eth0", False),
        ("Name=eth*\nDriver=virtio_net", "eth0", True),
    ],
)
def test_whom_a_network_file_matches(match: str, name: str, expected: bool) -> None:
    links = {"eth0": Link("eth0", mac="02:00:00:00:00:10"), "br0": Link("br0", kind="bridge")}
    assert _foreign.matches(f"[Match]\n{match}\n", name, links[name]) == expected


def test_only_a_file_that_wins_counts() -> None:
    files = {
        "/etc/systemd/network/10-all.network": "[Match]\nName=en*\n",
        "/etc/systemd/network/80-wire.network": "[Match]\nName=eth0\n",
    }
    ours = "50-kvmnet-eth0.network"
    assert _foreign.networkd_claim(_foreign.visible(files), "eth0", None, ours) is None
    files["/usr/lib/systemd/network/20-eth.network"] = "[Match]\nName=eth*\n"
    claim = _foreign.networkd_claim(_foreign.visible(files), "eth0", None, ours)
    assert claim is not None
    assert (claim.path, claim.line) == ("/usr/lib/systemd/network/20-eth.network", 2)
    # An empty file of the same name in /etc hides it.
    files["/etc/systemd/network/20-eth.network"] = ""
    assert _foreign.networkd_claim(_foreign.visible(files), "eth0", None, ours) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[Network]\nAddress=10.0.0.2/24\nGateway=10.0.0.1", 5),
        ("[Network]\nGateway=fe80::1", None),
        ("[Network]\nDHCP=yes", 4),
        ("[Network]\nDHCP=ipv6", None),
        ("[Network]\nDHCP=ipv4\n[DHCPv4]\nUseGateway=no", None),
        ("[Network]\nDHCP=ipv4\n[DHCPv4]\nRouteTable=253", None),
        ("[Route]\nGateway=10.0.0.1", 4),
        ("[Route]\nGateway=10.0.0.1\nTable=253", None),
        ("[Route]\nGateway=10.0.0.1\nTable=253\n[Route]\nGateway=10.0.0.9", 7),
        ("[Route]\nGateway=10.0.0.1\nDestination=10.9.0.0/16", None),
    ],
)
def test_the_line_that_puts_a_default_route_into_main(text: str, line: int | None) -> None:
    files = {"/etc/systemd/network/80-wire.network": f"[Match]\nName=eth0\n{text}\n"}
    claim = _foreign.networkd_claim(_foreign.visible(files), "eth0", None)
    assert claim is not None
    assert (claim.default_route, claim.line) == (line is not None, line or 2)
