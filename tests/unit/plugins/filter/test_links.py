# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

from ansible_collections.ursa.kvmnet.plugins.filter.guests import guest_records
from ansible_collections.ursa.kvmnet.plugins.filter.links import (
    bridge_port_types,
    bridge_ports,
    bridges,
    uplink_links,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import derive_tap

NETWORKS: list[dict[str, Any]] = [
    {"name": "loc", "interface": "eth0", "address": "172.20.1.254/24"},
    {"name": "kvm", "bridge": "br0", "address": "192.168.0.254/24", "ports": ["eth2"], "mtu": 9000},
    {"name": "bare", "bridge": "br1", "isolated": True},
]
COMCAST: dict[str, Any] = {
    "name": "comcast",
    "interface": "eth0",
    "address": "172.20.1.130/24",
    "gateway": "172.20.1.1",
    "primary": True,
    "manage": True,
}
AVVANTA: dict[str, Any] = {"name": "avvanta", "interface": "eth0", "gateway": "172.20.1.254"}


def test_nothing_given_is_nothing_managed() -> None:
    assert bridges(None) is None
    assert uplink_links(None) is None
    assert bridge_ports(None, None) is None
    assert bridge_port_types(None, None) == []


def test_nothing_wanted_is_an_empty_list() -> None:
    assert bridges([]) == []
    assert uplink_links([]) == []
    assert bridge_ports([], []) == []
    assert bridge_port_types([], []) == ["tap", "interface"]


def test_networks_with_a_bridge() -> None:
    assert bridges(NETWORKS) == [
        {"name": "br0", "addresses": ["192.168.0.254/24"], "source": "kvmnet_networks[1]", "mtu": 9000},
        {"name": "br1", "addresses": [], "source": "kvmnet_networks[2]"},
    ]


def test_guests_have_taps_and_networks_cards() -> None:
    guests = [
        {"name": "web", "network": "kvm"},
        {"name": "gone", "network": "kvm", "state": "absent"},
        {"name": "elsewhere", "network": "loc"},
        {"name": "a-guest-with-a-long-name", "network": "bare", "queues": 2},
    ]
    assert bridge_ports(guest_records(guests, NETWORKS), NETWORKS) == [
        {"name": "eth2", "type": "interface", "bridge": "br0", "source": "kvmnet_networks[1].ports", "mtu": 9000},
        {
            "name": "tap-web",
            "type": "tap",
            "bridge": "br0",
            "isolated": False,
            "source": "kvmnet_guests[0]",
            "mtu": 9000,
        },
        {
            "name": derive_tap("a-guest-with-a-long-name"),
            "type": "tap",
            "bridge": "br1",
            "isolated": True,
            "source": "kvmnet_guests[3]",
            "queues": 2,
        },
    ]


def test_a_host_whose_guests_are_not_managed_keeps_its_taps() -> None:
    ports = bridge_ports(None, NETWORKS) or []
    assert [port["name"] for port in ports] == ["eth2"]
    assert bridge_port_types(None, NETWORKS) == ["interface"]


def test_uplinks_that_share_an_interface_are_one_link_with_the_primarys_gateway() -> None:
    expected = {
        "interface": "eth0",
        "manage": True,
        "addresses": ["172.20.1.130/24"],
        "table": 253,
        "source": "kvmnet_uplinks[1]",
        "gateway": "172.20.1.1",
    }
    assert uplink_links([AVVANTA, COMCAST]) == [expected]
    assert uplink_links([COMCAST, AVVANTA]) == [{**expected, "source": "kvmnet_uplinks[0]"}]


def test_an_only_uplink_has_its_default_route_in_main() -> None:
    (link,) = uplink_links([{"name": "isp", "interface": "ppp0"}]) or []
    assert link == {
        "interface": "ppp0",
        "manage": False,
        "addresses": [],
        "table": 254,
        "source": "kvmnet_uplinks[0]",
    }


def test_uplinks_on_interfaces_of_their_own_stay_apart() -> None:
    other = {"name": "lte", "interface": "wwan0", "address": "dhcp", "gateway": "dhcp"}
    found = uplink_links([COMCAST, other]) or []
    assert [(link["interface"], link["table"], link["gateway"]) for link in found] == [
        ("eth0", 253, "172.20.1.1"),
        ("wwan0", 253, "dhcp"),
    ]


def test_a_macvlan_is_a_link_of_its_own() -> None:
    own = {"name": "isp2", "interface": "eth0", "sharing": "macvlan"}
    own |= {"address": "172.20.1.131/24", "gateway": "172.20.1.9"}
    found = uplink_links([COMCAST, own, AVVANTA]) or []
    assert [(link["interface"], link.get("parent"), link["manage"]) for link in found] == [
        ("eth0", None, True),
        ("isp2", "eth0", True),
    ]
    assert (found[1]["addresses"], found[1]["gateway"], found[1]["table"]) == (["172.20.1.131/24"], "172.20.1.9", 253)
    assert "mac" not in found[1]
    (_unused, given) = uplink_links([COMCAST, own | {"mac": "52:54:00:00:00:07"}]) or []
    assert given["mac"] == "52:54:00:00:00:07"


def test_one_of_several_may_be_missing_unless_others_share_its_interface() -> None:
    other = {"name": "lte", "interface": "wwan0", "address": "dhcp", "gateway": "dhcp"}
    shared = uplink_links([COMCAST, AVVANTA, other]) or []
    assert [(link["interface"], link.get("optional", False)) for link in shared] == [("eth0", False), ("wwan0", True)]
    assert "optional" not in (uplink_links([other]) or [{}])[0]


def test_both_kinds_of_addresses_stand_on_one_link() -> None:
    networks = [{"name": "kvm", "bridge": "br0", "address": "192.168.0.254/24", "address6": "2001:db8:2::1/64"}]
    assert [bridge["addresses"] for bridge in bridges(networks) or []] == [["192.168.0.254/24", "2001:db8:2::1/64"]]
    first = {**COMCAST, "address6": "2001:db8:1::10/64", "gateway6": "fe80::1"}
    (link,) = uplink_links([first, AVVANTA]) or []
    assert (link["addresses"], link["gateway"]) == (["172.20.1.130/24", "2001:db8:1::10/64"], "172.20.1.1")
    # Several ways out in IPv4, one in IPv6
    assert (link["table"], link["gateway6"], link["table6"]) == (253, "fe80::1", 254)


def test_several_ways_out_in_ipv6_stand_beside_main() -> None:
    uplinks = [
        {"name": name, "interface": name, "address6": f"2001:db8:{number}::2/64", "gateway6": "fe80::1"}
        for number, name in enumerate(("eth0", "eth1"))
    ]
    assert [link["table6"] for link in uplink_links(uplinks) or []] == [253, 253]
