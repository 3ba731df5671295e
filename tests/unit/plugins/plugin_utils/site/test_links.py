# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refusals that take several entries to see: uplinks and networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Change = Callable[[dict[str, Any]], object]

UPLINKS: list[tuple[str, Change, str, str]] = [
    ("gateway off-link", lambda v: v["kvmnet_uplinks"][0].update(gateway="172.20.2.1"), "[0].gateway", "172.20.1.0/24"),
    (
        "shared gateway off-link",
        lambda v: v["kvmnet_uplinks"][1].update(gateway="10.9.9.9"),
        "[1].gateway",
        "172.20.1.0/24",
    ),
    (
        "gateway is broadcast",
        lambda v: v["kvmnet_uplinks"][0].update(gateway="172.20.1.255"),
        "[0].gateway",
        "on the link",
    ),
    ("gateway is own", lambda v: v["kvmnet_uplinks"][0].update(gateway="172.20.1.130"), "[0].gateway", "host's own"),
    (
        "gateway is own bridge",
        lambda v: v["kvmnet_uplinks"][1].update(gateway="192.168.0.254"),
        "[1].gateway",
        "networks[0]",
    ),
    ("one gateway twice", lambda v: v["kvmnet_uplinks"][1].update(gateway="172.20.1.1"), "[1].gateway", "uplinks[0]"),
    ("shared without gateway", lambda v: v["kvmnet_uplinks"][1].pop("gateway"), "[1].gateway", "told apart"),
    ("shared by dhcp", lambda v: v["kvmnet_uplinks"][1].update(gateway="dhcp"), "[1].gateway", "told apart"),
    (
        "nothing to share",
        lambda v: v["kvmnet_uplinks"][1].update(interface="eth9"),
        "[1].address",
        "no other uplink on eth9",
    ),
    (
        "one address twice",
        lambda v: v["kvmnet_uplinks"][1].update(address="172.20.1.130/24"),
        "[1].address",
        "none to share",
    ),
    (
        "one MAC for two",
        lambda v: [u.update(gateway_mac="52:54:00:00:00:01") for u in v["kvmnet_uplinks"]],
        "[1].gateway_mac",
        "uplinks[0]",
    ),
    (
        "shared lease",
        lambda v: (
            v["kvmnet_uplinks"][0].update(address="172.20.1.130/24"),
            v["kvmnet_uplinks"][1].update(address="dhcp"),
        ),
        "[1].address",
        "eth0 is shared",
    ),
    ("shell in a name", lambda v: v["kvmnet_uplinks"][1].update(name="a$(reboot)"), "[1].name", "letter"),
    ("dash in a name", lambda v: v["kvmnet_uplinks"][1].update(name="a-b"), "[1].name", "letter"),
    (
        "all fallback",
        lambda v: [u.update(fallback=True, primary=False) for u in v["kvmnet_uplinks"]],
        "[0].primary",
        "at least one",
    ),
    (
        "target inside",
        lambda v: v["kvmnet_uplinks"][1].update(targets=["10.10.12.9"]),
        "[1].targets[0]",
        "kvmnet_networks[2]",
    ),
    (
        "service of no network",
        lambda v: v["kvmnet_uplinks"][1].update(services=[{"proto": "tcp", "port": 25, "from": "lan"}]),
        "[1].services[0].from",
        "kvm, dmz, loc",
    ),
    (
        "helper of another protocol",
        lambda v: v["kvmnet_uplinks"][1].update(services=[{"proto": "udp", "port": 21, "helper": "ftp"}]),
        "[1].services[0].helper",
        "ftp is for tcp",
    ),
    (
        "unknown helper",
        lambda v: v["kvmnet_uplinks"][1].update(services=[{"proto": "tcp", "port": 21, "helper": "ntp"}]),
        "[1].services[0].helper",
        "one of amanda, ftp",
    ),
    (
        "service of a network twice",
        lambda v: v["kvmnet_uplinks"][1].update(
            services=[{"proto": "tcp", "port": "20:30", "from": ["kvm"]}, {"proto": "tcp", "port": 25, "from": "kvm"}]
        ),
        "[1].services[1].port",
        "tcp from kvm",
    ),
    ("name twice", lambda v: v["kvmnet_uplinks"][1].update(name="Comcast"), "[1].name", "uplinks[0]"),
    ("reserved name", lambda v: v["kvmnet_uplinks"][0].update(name="main"), "[0].name", "not local, main"),
    ("number 250", lambda v: v["kvmnet_uplinks"][0].update(number=250), "[0].number", "not 250"),
    ("number 253", lambda v: v["kvmnet_uplinks"][0].update(number=253), "[0].number", "1 to 252"),
    ("number 0", lambda v: v["kvmnet_uplinks"][0].update(number=0), "[0].number", "1 to 252"),
    ("number twice", lambda v: [u.update(number=7) for u in v["kvmnet_uplinks"]], "[1].number", "uplinks[0]"),
    ("no primary", lambda v: v["kvmnet_uplinks"][0].pop("primary"), "[0].primary", "at least one"),
    ("primary and fallback", lambda v: v["kvmnet_uplinks"][0].update(fallback=True), "[0].fallback", "not both"),
    (
        "fallback with weight",
        lambda v: v["kvmnet_uplinks"][1].update(fallback=True, weight=2),
        "[1].weight",
        "fallback",
    ),
    ("weight 0", lambda v: v["kvmnet_uplinks"][1].update(weight=0), "[1].weight", "from 1"),
    (
        "destination twice",
        lambda v: v["kvmnet_uplinks"][0].update(destinations=["206.124.146.180"]),
        "[1].destinations[1]",
        "uplinks[0]",
    ),
    (
        "destination with host bits",
        lambda v: v["kvmnet_uplinks"][1].update(destinations=["206.124.146.177/31"]),
        "[1].destinations[0]",
        "206.124.146.176/31",
    ),
    (
        "service twice",
        lambda v: v["kvmnet_uplinks"][0].update(services=[{"proto": "udp", "port": 6005}]),
        "[1].services[1].port",
        "uplinks[0]",
    ),
    (
        "target inside",
        lambda v: v["kvmnet_uplinks"][0].update(targets=["192.168.0.9"]),
        "[0].targets[0]",
        "beyond the gateway",
    ),
    (
        "dhcp gateway, static address",
        lambda v: v.update(kvmnet_uplinks=[{**v["kvmnet_uplinks"][0], "name": "avvanta", "gateway": "dhcp"}]),
        "[0].gateway",
        "DHCP",
    ),
    (
        "only a fallback",
        lambda v: v.update(kvmnet_uplinks=[{"name": "avvanta", "interface": "ppp0", "fallback": True}]),
        "[0].fallback",
        "only uplink",
    ),
]

NETWORKS: list[tuple[str, Change, str, str]] = [
    (
        "bridge and interface",
        lambda v: v["kvmnet_networks"][0].update(interface="eth7"),
        "[0].interface",
        "exactly one",
    ),
    ("neither", lambda v: v["kvmnet_networks"][1].pop("bridge"), "[1].bridge", "exactly one"),
    ("ports of an interface", lambda v: v["kvmnet_networks"][2].update(ports=["eth7"]), "[2].ports", "beside a bridge"),
    (
        "range on an interface",
        lambda v: v["kvmnet_networks"][2].update(dhcp_range=["10.10.12.5", "10.10.12.9"]),
        "[2].dhcp_range",
        "beside a bridge",
    ),
    (
        "name twice",
        lambda v: v["kvmnet_networks"].append({"name": "kvm", "bridge": "br9", "zone": "other"}),
        "[3].name",
        "networks[0]",
    ),
    ("bridge twice", lambda v: v["kvmnet_networks"][1].update(bridge="br0"), "[1].bridge", "networks[0]"),
    (
        "interface twice",
        lambda v: v["kvmnet_networks"].append({"name": "x", "interface": "eth1"}),
        "[3].interface",
        "networks[2]",
    ),
    (
        "zone shared by chance",
        lambda v: v["kvmnet_networks"][1].update(name="a", zone="kvm"),
        "[0].name",
        "not the zone of kvmnet_networks[1], or zone: kvm on both",
    ),
    ("zone too long", lambda v: v["kvmnet_networks"][0].update(zone="kvmmachines"), "[0].zone", "this one has 11"),
    (
        "name too long for a zone",
        lambda v: v["kvmnet_networks"].append({"name": "kvm-machines", "bridge": "br9"}),
        "[3].name",
        "or a zone beside the name",
    ),
    (
        "zone of the uplinks",
        lambda v: v["kvmnet_networks"].append({"name": "net", "bridge": "br9"}),
        "[3].name",
        "net the uplinks",
    ),
    ("given zone of the host", lambda v: v["kvmnet_networks"][0].update(zone="fw"), "[0].zone", "fw is the host"),
    (
        "zone of the host",
        lambda v: v["kvmnet_networks"].append({"name": "fw", "bridge": "br9"}),
        "[3].name",
        "fw is the host",
    ),
    ("reserved zone", lambda v: v["kvmnet_networks"][0].update(zone="all"), "[0].zone", "not all"),
    (
        "range reversed",
        lambda v: v["kvmnet_networks"][0].update(dhcp_range=["192.168.0.199", "192.168.0.100"]),
        "[0].dhcp_range",
        "[192.168.0.100, 192.168.0.199]",
    ),
    (
        "range outside",
        lambda v: v["kvmnet_networks"][0].update(dhcp_range=["192.168.0.100", "192.168.1.9"]),
        "[0].dhcp_range",
        "192.168.0.1 to 192.168.0.254",
    ),
    (
        "range of one",
        lambda v: v["kvmnet_networks"][0].update(dhcp_range=["192.168.0.7"]),
        "[0].dhcp_range",
        "exactly 2",
    ),
    (
        "range over own address",
        lambda v: v["kvmnet_networks"][0].update(dhcp_range=["192.168.0.200", "192.168.0.254"]),
        "[0].dhcp_range",
        "own address 192.168.0.254",
    ),
    (
        "range without address",
        lambda v: v["kvmnet_networks"].append({"name": "x", "bridge": "br9", "dhcp_range": ["10.0.0.5", "10.0.0.9"]}),
        "[3].address",
        "beside dhcp_range",
    ),
    (
        "network address",
        lambda v: v["kvmnet_networks"][1].update(address="10.10.11.0/24"),
        "[1].address",
        "is the network address",
    ),
    (
        "broadcast address",
        lambda v: v["kvmnet_networks"][1].update(address="10.10.11.255/24"),
        "[1].address",
        "is the broadcast address",
    ),
    ("no room", lambda v: v["kvmnet_networks"][1].update(address="10.10.11.1/32"), "[1].address", "at most 30"),
    (
        "networks overlap",
        lambda v: v["kvmnet_networks"][1].update(address="10.10.12.9/16"),
        "[2].address",
        "does not overlap 10.10.0.0/16",
    ),
    (
        "over an uplink",
        lambda v: v["kvmnet_networks"][1].update(address="172.20.1.7/24"),
        "[1].address",
        "of kvmnet_uplinks[0]",
    ),
    (
        "address of an uplink",
        lambda v: v["kvmnet_networks"][1].update(address="172.20.1.130/24"),
        "[1].address",
        "kvmnet_uplinks[0] does not have",
    ),
    (
        "port of two bridges",
        lambda v: v["kvmnet_networks"][0].update(ports=["eth2"]),
        "[1].ports[0]",
        "kvmnet_networks[0].ports",
    ),
    (
        "port is an uplink",
        lambda v: v["kvmnet_networks"][1].update(ports=["eth0"]),
        "[1].ports[0]",
        "kvmnet_uplinks[0].interface",
    ),
    (
        "port is a network",
        lambda v: v["kvmnet_networks"][1].update(ports=["eth1"]),
        "[1].ports[0]",
        "kvmnet_networks[2].interface",
    ),
    (
        "interface is an uplink",
        lambda v: v["kvmnet_networks"][2].update(interface="eth0"),
        "[2].interface",
        "kvmnet_uplinks[0].interface",
    ),
    ("upstream", lambda v: v["kvmnet_networks"][0].update(upstreams=["dns.example"]), "[0].upstreams[0]", "#port"),
    ("mtu", lambda v: v["kvmnet_networks"][0].update(mtu=100), "[0].mtu", "from 576"),
]


@pytest.mark.parametrize(
    ("change", "place", "allowed"), [case[1:] for case in UPLINKS], ids=[case[0] for case in UPLINKS]
)
def test_uplinks(change: Change, place: str, allowed: str, ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    # A guest names an uplink, which one of the changes renames
    del ursa["kvmnet_guests"][3]["uplink"]
    change(ursa)
    found = refused(ursa)
    assert [(host, where) for host, where, _allowed in found] == [("h1", f"kvmnet_uplinks{place}")]
    assert allowed in found[0][2]


@pytest.mark.parametrize(
    ("change", "place", "allowed"), [case[1:] for case in NETWORKS], ids=[case[0] for case in NETWORKS]
)
def test_networks(change: Change, place: str, allowed: str, ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    # Rules and policies name zones, which some of the changes rename
    ursa["kvmnet_policies"] = ursa["kvmnet_rules"] = []
    change(ursa)
    found = refused(ursa)
    assert [(host, where) for host, where, _allowed in found] == [("h1", f"kvmnet_networks{place}")]
    assert allowed in found[0][2]


def test_uplinks_that_are_right(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_uplinks"] += [
        {
            "name": "wireless",
            "interface": "wlan0",
            "address": "172.20.1.102/24",
            "gateway": "172.20.1.1",
            "fallback": True,
        },
        {"name": "mobile", "interface": "wwan0", "address": "dhcp", "gateway": "dhcp", "weight": 1, "number": 9},
        {"name": "dsl", "interface": "ppp0", "gateway_mac": ["52:54:00:00:00:01", "learn"]},
    ]
    assert refused(ursa) == []


def test_a_service_of_the_host_and_of_networks_is_right(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_uplinks"][1]["services"] = [
        {"proto": "tcp", "port": 21, "helper": "ftp"},
        {"proto": "tcp", "port": 21, "helper": "ftp", "from": ["kvm", "loc"]},
        {"proto": "tcp", "port": 25, "from": "dmz"},
    ]
    assert refused(ursa) == []


def test_two_addresses_on_one_interface_are_right(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_uplinks"][1]["address"] = "172.20.1.131/24"
    assert refused(ursa) == []


def test_without_a_bridge_address_nothing_is_said_about_guests(
    ursa: dict[str, Any], refused: Callable[..., Any]
) -> None:
    ursa["kvmnet_networks"][0] = {"name": "kvm", "bridge": "br0", "ports": ["eth5"], "zone": "kvm"}
    assert refused(ursa) == []


def test_networks_share_a_zone_when_both_say_so(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_networks"][0]["zone"] = ursa["kvmnet_networks"][1]["zone"] = "guests"
    ursa["kvmnet_rules"][0]["to"] = "guests:10.10.11.1:80"
    assert refused(ursa) == []


def test_guests_on_the_wire_of_an_uplink(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    for uplink in ursa["kvmnet_uplinks"]:
        uplink["interface"] = "br2"
    wire = {"name": "wire", "bridge": "br2", "ports": ["eth0"], "zone": "net"}
    ursa["kvmnet_networks"].append(wire)
    assert refused(ursa) == []
    wire["zone"] = "wire"
    found = refused(ursa)
    assert [place for _host, place, _allowed in found] == ["kvmnet_networks[3].bridge"]
    assert "zone: net" in found[0][2]
