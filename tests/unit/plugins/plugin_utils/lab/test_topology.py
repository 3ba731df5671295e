# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's topology is a function of the inventory, so it is tested without a lab."""

from __future__ import annotations

import copy
import json
from ipaddress import ip_interface
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._hosts import stable_mac
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._topology import LabError

from .conftest import FIREWALL, MANAGEMENT, URSA, changed, node, topology, wire_of


def test_is_plain_data_and_does_not_depend_on_order(article: dict[str, Any]) -> None:
    assert json.loads(json.dumps(article)) == article
    assert topology(firewall=FIREWALL, ursa=URSA) == article


def test_who_shares_a_subnet_shares_a_wire(article: dict[str, Any]) -> None:
    shared = {wire_of(article, *place) for place in [("ursa", "eth0"), ("firewall", "eth0"), ("comcast", "lan")]}
    assert shared == {"172.20.1.0/24"} == {wire_of(article, "controller", "eth0")}
    assert wire_of(article, "server", "eth0") == wire_of(article, "firewall", "eth2") == "10.10.11.0/24"


def test_a_bridge_without_ports_has_no_wire(article: dict[str, Any]) -> None:
    assert [n["name"] for n in node(article, "ursa")["nics"]] == ["eth0"]
    assert "192.168.0.0/24" not in [w["label"] for w in article["wires"]]


def test_a_gateway_is_simulated_unless_it_is_a_managed_host(article: dict[str, Any]) -> None:
    assert [s["name"] for s in article["stations"] if s["kind"] == "router"] == ["comcast", "dsl"]
    alone = topology(ursa=URSA)
    routers = {s["name"]: s["nics"][0]["addresses"] for s in alone["stations"] if s["kind"] == "router"}
    assert routers == {"comcast": ["172.20.1.1/24"], "avvanta": ["172.20.1.254/24"]}


def test_a_router_on_a_private_wire_masquerades_and_forwards_what_is_published(article: dict[str, Any]) -> None:
    router = node(article, "comcast")
    assert 'oifname "wan" masquerade' in router["nft"]
    assert 'iifname "wan" tcp dport 8080 dnat to 172.20.1.130' in router["nft"]
    assert "proxy_arp" not in str(router["sysctls"])


def test_a_router_on_a_public_wire_routes(article: dict[str, Any]) -> None:
    router = node(article, "dsl")
    assert router["nft"] == ""
    assert router["sysctls"]["net.ipv4.conf.lan.proxy_arp"] == "1"
    assert "206.124.146.176/32 dev lan" in router["routes"]
    assert "206.124.146.177/32 via 206.124.146.176 dev lan onlink" in router["routes"]


def test_a_published_port_of_one_uplink_is_forwarded_by_that_one_alone() -> None:
    guests = copy.deepcopy(URSA["kvmnet_guests"])
    guests[1]["uplink"] = "avvanta"
    built = topology(ursa=changed(URSA, kvmnet_guests=guests))
    assert "dport" not in node(built, "comcast")["nft"]
    assert "dport 8080 dnat to 172.20.1.130" in node(built, "avvanta")["nft"]


def test_the_internet_has_every_address_but_the_routed_ones(article: dict[str, Any]) -> None:
    routes = node(article, "internet")["routes"]
    assert "local default dev lo" in routes
    assert "unreachable 192.168.0.0/16" in routes
    hop = ip_interface(node(article, "dsl")["nics"][1]["addresses"][0]).ip
    for address in ("176", "177", "254"):
        assert any(r.startswith(f"206.124.146.{address}/32 via {hop} ") for r in routes)
    assert not any("206.124.146.178" in r for r in routes)
    assert node(article, "internet")["programs"][0]["zone"]["unknown"] == ["kvm.example"]


def test_every_line_has_both_ends_in_one_subnet(article: dict[str, Any]) -> None:
    for name in ("comcast", "dsl"):
        wan = node(article, name)["nics"][1]
        far = next(n for n in node(article, "internet")["nics"] if n["wire"] == wan["wire"])
        here, there = ip_interface(wan["addresses"][0]), ip_interface(far["addresses"][0])
        assert here.network == there.network
        assert here.ip != there.ip


def test_outside_stands_where_no_wire_is() -> None:
    built = topology(ursa=URSA, firewall=FIREWALL)
    assert (built["client"], built["dns"]) == ("203.0.113.10", "203.0.113.53")
    uplink = {"name": "dsl", "interface": "eth1", "address": "203.0.113.9/24", "gateway": "203.0.113.1"}
    built = topology(ursa=URSA, firewall=changed(FIREWALL, kvmnet_uplinks=[uplink]))
    assert built["client"] == "198.51.100.10"


def test_a_host_boots_as_it_was_installed(article: dict[str, Any]) -> None:
    files = node(article, "firewall")["files"]
    assert sorted(files) == [f"/etc/systemd/network/80-wire-{card}.network" for card in ("eth0", "eth1")]
    gateways = [line for text in files.values() for line in text.splitlines() if line.startswith("Gateway=")]
    assert gateways == ["Gateway=206.124.146.254"]
    text = node(article, "ursa")["files"]["/etc/systemd/network/80-wire-eth0.network"]
    assert "Address=172.20.1.130/24\nGateway=172.20.1.1\nDNS=203.0.113.53\n" in text


def test_a_macvlan_uplink_is_not_there_at_boot() -> None:
    uplinks = [*URSA["kvmnet_uplinks"][:1]]
    uplinks.append(
        {**uplinks[0], "name": "second", "address": "172.20.1.131/24", "sharing": "macvlan", "primary": False}
    )
    text = node(topology(ursa=changed(URSA, kvmnet_uplinks=uplinks)), "ursa")["files"]
    assert "172.20.1.131" not in str(text)
    assert "Address=172.20.1.130/24" in str(text)


def macvlans(*uplinks: dict[str, Any]) -> dict[str, Any]:
    """A host with macvlans beside, or instead of, what it has of its own on the card."""
    return topology(ursa=changed(URSA, kvmnet_uplinks=list(uplinks)))


def test_what_is_published_comes_in_by_the_address_of_the_uplink() -> None:
    own = {"name": "avvanta", "interface": "eth0", "sharing": "macvlan"}
    built = macvlans(URSA["kvmnet_uplinks"][0], {**own, "address": "172.20.1.131/24", "gateway": "172.20.1.254"})
    assert "dport 8080 dnat to 172.20.1.131" in node(built, "avvanta")["nft"]
    assert "dport 8080 dnat to 172.20.1.130" in node(built, "comcast")["nft"]
    assert wire_of(built, "ursa", "eth0") == wire_of(built, "avvanta", "lan") == wire_of(built, "comcast", "lan")


def test_a_macvlan_that_asks_is_answered_by_its_own_gateway_alone() -> None:
    own = {"name": "avvanta", "interface": "eth0", "sharing": "macvlan"}
    built = macvlans(URSA["kvmnet_uplinks"][0], {**own, "address": "dhcp", "gateway": "172.20.1.254"})
    assert [program["name"] for program in node(built, "avvanta")["programs"]] == ["dhcp"]
    assert node(built, "comcast")["programs"] == []
    # The card itself has its address as ever
    assert "DHCP" not in str(node(built, "ursa")["files"])


def test_a_card_with_macvlans_only_boots_with_the_first_address() -> None:
    first = {**URSA["kvmnet_uplinks"][0], "sharing": "macvlan"}
    second = {**first, "name": "avvanta", "address": "dhcp", "gateway": "172.20.1.254", "primary": False}
    text = str(node(macvlans(first, second), "ursa")["files"])
    assert "Address=172.20.1.130/24" in text
    assert "DHCP" not in text


def test_a_line_has_an_address_at_either_end() -> None:
    line = {"name": "line", "interface": "eth1", "address": "198.51.100.2/32"}
    built = macvlans(URSA["kvmnet_uplinks"][0], line)
    (card,) = [nic for nic in node(built, "ursa-eth1")["nics"] if nic["name"] == "lan"]
    assert card["addresses"] == ["198.51.100.3/32"]
    assert node(built, "ursa-eth1")["sysctls"]["net.ipv4.conf.lan.proxy_arp"] == "1"
    assert "198.51.100.2/32 dev lan" in node(built, "ursa-eth1")["routes"]


def test_a_cable_that_is_not_plugged_in_does_not_hold_up_the_boot() -> None:
    wireless = {"name": "wireless", "interface": "wlan0", "address": "dhcp", "gateway": "dhcp"}
    built = topology(ursa=changed(URSA, kvmnet_uplinks=[URSA["kvmnet_uplinks"][0], wireless], lab_unplugged=["wlan0"]))
    plugged = {nic["name"]: nic["plugged"] for nic in node(built, "ursa")["nics"]}
    assert plugged == {"eth0": True, "wlan0": False}
    text = node(built, "ursa")["files"]["/etc/systemd/network/80-wire-wlan0.network"]
    assert "[Link]\nRequiredForOnline=no\n" in text
    assert node(built, "ursa-wlan0")["programs"][0]["name"] == "dhcp"


def test_an_uplink_on_a_bridge_boots_on_its_port() -> None:
    built = topology(
        ursa=changed(
            URSA,
            kvmnet_uplinks=[{**URSA["kvmnet_uplinks"][0], "interface": "br0"}],
            kvmnet_networks=[{"name": "lan", "bridge": "br0", "ports": ["eth0"]}],
        )
    )
    assert list(node(built, "ursa")["files"]) == ["/etc/systemd/network/80-wire-eth0.network"]
    assert wire_of(built, "ursa", "eth0") == "172.20.1.0/24"


def test_dhcp_is_served_on_the_wire_with_the_address_ansible_expects() -> None:
    built = topology(
        ursa=changed(
            URSA,
            kvmnet_uplinks=[{"name": "isp", "interface": "eth0", "address": "dhcp", "gateway": "dhcp"}],
        )
    )
    machine = node(built, "ursa")
    assert "DHCP=ipv4" in str(machine["files"])
    (program,) = node(built, "ursa-eth0")["programs"]
    assert f"--dhcp-host={machine['nics'][0]['mac']},172.20.1.130" in program["argv"]
    assert "--dhcp-option=option:router,172.20.1.1" in program["argv"]


def test_dhcp_comes_from_the_gateway_that_others_name() -> None:
    uplink = {"name": "isp", "interface": "eth0", "address": "dhcp", "gateway": "dhcp", "primary": True}
    other = {"name": "dsl", "interface": "eth1", "address": "10.9.0.2/24", "gateway": "10.9.0.1"}
    mobile = {"ansible_host": "172.20.1.131", "kvmnet_management": MANAGEMENT, "kvmnet_uplinks": [uplink, other]}
    built = topology(ursa=URSA, mobile=mobile)
    assert [s["name"] for s in built["stations"] if s["kind"] == "router"] == ["dsl", "comcast", "avvanta"]
    assert any(word.startswith("--dhcp-range=172.20.1.") for word in node(built, "comcast")["programs"][0]["argv"])
    assert "Gateway=" not in str(node(built, "mobile")["files"])


def test_a_pinned_gateway_has_the_pinned_mac() -> None:
    uplink = {**URSA["kvmnet_uplinks"][0], "gateway_mac": "00:11:22:33:44:55"}
    built = topology(ursa=changed(URSA, kvmnet_uplinks=[uplink]))
    assert node(built, "comcast")["nics"][0]["mac"] == "00:11:22:33:44:55"


def test_macs_are_unicast_local_stable_and_apart(article: dict[str, Any]) -> None:
    macs = [nic["mac"] for n in [*article["stations"], *article["machines"]] for nic in n["nics"]]
    assert len(set(macs)) == len(macs)
    assert stable_mac("ursa", "eth0") == "02:4b:fc:42:a0:64"
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)


def test_the_controller_stands_at_a_free_address_that_may_manage() -> None:
    host = changed(URSA, kvmnet_management={"sources": ["172.20.1.128/30"], "port": 22})
    del host["lab_controller_address"]
    built = topology(ursa=host)
    assert node(built, "controller")["nics"][0]["addresses"] == ["172.20.1.131/24"]


def test_an_image_the_lab_cannot_make_has_a_stand_in(article: dict[str, Any]) -> None:
    machine = node(article, "ursa")
    assert machine["guest_images"] == ["debian-12", "tiny"] == article["guest_images"]
    assert machine["host_vars"]["kvmnet_images"]["ubuntu-24"]["kernel"].endswith("/tiny-vmlinuz")
    assert machine["host_vars"]["kvmnet_images"]["debian-12"] == {"path": "/srv/kvmnet/images/debian-12.qcow2"}
    assert machine["users"] == [{"name": "tom"}]
    chosen = topology(ursa=changed(URSA, lab_images={"ubuntu-24": "debian-13"}))
    assert chosen["guest_images"] == ["debian-12", "debian-13"]


def test_a_bare_host_has_no_packages_of_the_roles() -> None:
    assert node(topology(ursa=URSA), "ursa")["image"]["packages"] == ["shorewall", "systemd"]
    bare = changed(URSA, lab_bare=True, lab_packages_extra=["vim"], lab_suite="trixie")
    assert node(topology(ursa=bare), "ursa")["image"] == {
        "name": "host-trixie",
        "suite": "trixie",
        "packages": ["linux-sysctl-defaults", "systemd", "vim"],
    }


def test_routers_and_wires_can_be_named() -> None:
    built = topology(ursa=changed(URSA, lab_routers={"172.20.1.1": {"name": "linksys"}}), firewall=FIREWALL)
    assert [s["name"] for s in built["stations"] if s["kind"] == "router"] == ["linksys", "dsl"]
    outside = changed(FIREWALL, ansible_host="206.124.146.176", kvmnet_management={"sources": ["206.124.146.0/24"]})
    apart = topology(ursa=changed(URSA, lab_wires={"eth0": "cellar"}), firewall=outside)
    assert wire_of(apart, "ursa", "eth0") == "cellar"
    assert wire_of(apart, "firewall", "eth0") == "172.20.1.0/24"


def test_two_subnets_on_one_card_are_one_wire() -> None:
    second = {"name": "old", "interface": "eth0", "address": "10.1.0.5/16", "gateway": "10.1.0.1"}
    other = {"ansible_host": "10.1.0.6", "kvmnet_uplinks": [{**second, "address": "10.1.0.6/16"}]}
    built = topology(ursa=changed(URSA, kvmnet_uplinks=[*URSA["kvmnet_uplinks"], second]), other=other)
    assert wire_of(built, "other", "eth0") == wire_of(built, "ursa", "eth0")


def test_a_router_gives_way_when_its_name_is_a_hosts() -> None:
    uplinks = [{**URSA["kvmnet_uplinks"][0], "name": "ursa"}]
    built = topology(ursa=changed(URSA, kvmnet_uplinks=uplinks))
    assert [s["name"] for s in built["stations"] if s["kind"] == "router"] == ["ursa-router"]


def test_all_problems_are_told_at_once() -> None:
    broken = {
        "ansible_host": "ursa.example",
        "kvmnet_uplinks": [{"name": "a", "interface": "eth0", "address": "172.20.1.300/24", "gateway": "nowhere"}],
        "lab_servers": [{"name": "s", "bridge": "br9", "address": "10.0.0.1"}],
        "lab_suite": "sid",
        "lab_images": {"big": "debian-11"},
    }
    with pytest.raises(LabError) as caught:
        topology(internet=broken)
    told = "\n".join(caught.value.problems)
    for part in (
        "kvmnet_uplinks[0].address: '172.20.1.300/24'",
        "kvmnet_uplinks[0].gateway: 'nowhere'",
        "ansible_host: 'ursa.example'",
        "lab_servers[0]: 'br9'",
        "this name is the lab's own",
        "lab_suite: 'sid' is wrong; allowed: bookworm, trixie",
        "lab_images.big: 'debian-11' is wrong; allowed: tiny, debian-12, debian-13",
    ):
        assert part in told


def test_a_server_says_a_line_on_the_ports_asked_for() -> None:
    servers = [FIREWALL["lab_servers"][0] | {"ports": [22, 25]}]
    stations = topology(ursa=URSA, firewall=FIREWALL | {"lab_servers": servers})["stations"]
    (program,) = next(station["programs"] for station in stations if station["name"] == "server")
    assert program["argv"][-2:] == ["--echo", "22,25"]


def test_no_hosts_is_a_problem() -> None:
    with pytest.raises(LabError, match="no host is in the groups"):
        topology()
