# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._bridges import address_lines
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._model import (
    Bridge,
    Place,
    Port,
    Uplink,
    normalise_links,
)

AT = Place("bridges", 0)


def body(text: str) -> str:
    """Return a file without its mark."""
    return text.split("\n", 2)[2]


def test_a_bridge_is_pinned_and_forwards_at_once() -> None:
    bridge = Bridge("br0", AT, mac="52:54:00:00:00:01", addresses=("192.168.0.254/24",))
    assert body(networkd.render_bridge_netdev(bridge)) == (
        "[NetDev]\nName=br0\nKind=bridge\nMACAddress=52:54:00:00:00:01\n\n[Bridge]\nSTP=no\nForwardDelaySec=0\n"
    )
    assert body(networkd.render_bridge_network(bridge)) == (
        "[Match]\nName=br0\n\n[Link]\nRequiredForOnline=no-carrier\n\n[Network]\nConfigureWithoutCarrier=yes\n"
        "LinkLocalAddressing=no\nIPv6AcceptRA=no\nLLMNR=no\nMulticastDNS=no\nAddress=192.168.0.254/24\n"
    )


def test_what_is_not_given_is_not_written() -> None:
    full = Bridge("br0", AT, mac="52:54:00:00:00:01", mtu=9000, priority=4096, multicast_snooping=False, max_age=20)
    assert "Priority=4096\nMulticastSnooping=no\n" in networkd.render_bridge_netdev(full)
    assert "MTUBytes=9000" in networkd.render_bridge_network(full)
    bare = Bridge("br0", AT, mac="52:54:00:00:00:01")
    assert "Priority" not in networkd.render_bridge_netdev(bare)
    assert "MTUBytes" not in networkd.render_bridge_network(bare)


def test_a_link_local_address_only_where_there_is_ipv6() -> None:
    bridge = Bridge("br0", AT, mac="52:54:00:00:00:01", addresses=("192.168.0.254/24", "fd00::1/64"))
    assert "LinkLocalAddressing=ipv6" in networkd.render_bridge_network(bridge)


def test_a_bridge_without_ports_has_its_ipv6_address_at_boot() -> None:
    """Without a carrier it would be tentative for ever, and the boot waits for that for two minutes."""
    bridge = Bridge("br0", AT, mac="52:54:00:00:00:01", addresses=("fd00::1/64", "192.168.0.254/24", "fd01::1/64"))
    sections = body(networkd.render_bridge_network(bridge)).split("\n\n")
    assert sections[2].endswith("MulticastDNS=no\nAddress=192.168.0.254/24")
    assert [section.strip() for section in sections[3:]] == [
        f"[Address]\nAddress={address}\nDuplicateAddressDetection=none" for address in ("fd00::1/64", "fd01::1/64")
    ]


def test_an_address_is_set_as_networkd_sets_it() -> None:
    """Whoever comes last decides whether the kernel asks for duplicates: both say the same."""
    assert address_lines("br0", ("192.168.0.254/24", "fd00::1/64"), None) == [
        "address replace 192.168.0.254/24 broadcast + dev br0",
        "address replace fd00::1/64 nodad dev br0",
    ]


def test_a_tap_has_an_owner_and_the_offload_header() -> None:
    port = Port("tap-web", AT, bridge="br0", user="root", group="kvm", multi_queue=True)
    assert body(networkd.render_tap_netdev(port)) == (
        "[NetDev]\nName=tap-web\nKind=tap\n\n[Tap]\nVNetHeader=yes\nMultiQueue=yes\nUser=root\nGroup=kvm\n"
    )


def test_every_flag_of_a_port_is_written_in_networkds_sense() -> None:
    text = networkd.render_port_network(Port("tap-web", AT, bridge="br0", isolated=True, guard=True, cost=5))
    flags = {setting.key: setting.value for setting in networkd.parse(text) if setting.section == "Bridge"}
    assert flags == {
        "Isolated": "yes",
        "HairPin": "no",
        "Learning": "yes",
        "UseBPDU": "no",
        "AllowPortToBeRoot": "yes",
        "Cost": "5",
    }


def test_an_only_uplink_has_its_default_route_in_main_and_one_of_several_beside_it() -> None:
    only = Uplink("eth0", AT, addresses=("172.20.1.130/24",), gateway="172.20.1.1")
    text = networkd.render_uplink(only)
    assert text.endswith("Address=172.20.1.130/24\n\n[Route]\nGateway=172.20.1.1\n")
    assert "ConfigureWithoutCarrier=yes" in text
    several = Uplink("eth0", AT, addresses=("172.20.1.130/24",), gateway="172.20.1.1", table=253)
    assert networkd.render_uplink(several).endswith("[Route]\nGateway=172.20.1.1\nTable=253\n")


def test_a_lease_of_one_of_several_puts_only_its_router_beside_main() -> None:
    uplink = Uplink("eth0", AT, dhcp=True, dhcp_gateway=True, table=253)
    text = networkd.render_uplink(uplink)
    assert "[Route]\nGateway=_dhcp4\nTable=253\n" in text
    # Nor a route to its name server, which would be looked up before every provider.
    assert "UseGateway=no\nUseRoutes=no\nRoutesToDNS=no" in text
    # It would take the route of the network itself along.
    assert "RouteTable" not in text
    assert "RequiredForOnline=no\n" in text


def test_a_lease_of_the_only_uplink_is_taken_whole() -> None:
    text = networkd.render_uplink(Uplink("eth0", AT, dhcp=True, dhcp_gateway=True))
    assert "[Route]" not in text
    assert "UseGateway" not in text
    assert "RoutesToDNS" not in text
    assert "RequiredForOnline=routable\n" in text


def test_without_a_gateway_the_interface_is_the_way_out() -> None:
    text = networkd.render_uplink(Uplink("wg0", AT, addresses=("10.0.0.2/32",), table=253))
    assert text.endswith("[Route]\nDestination=0.0.0.0/0\nScope=link\nTable=253\n")


def test_a_bridge_that_is_the_uplink_carries_both() -> None:
    uplink = Uplink("br0", AT, addresses=("10.0.0.2/24",), gateway="10.0.0.1", dns=("10.0.0.1",))
    bridge = Bridge("br0", AT, mac="52:54:00:00:00:01", addresses=("192.168.0.254/24",), uplink=uplink)
    text = networkd.render_bridge_network(bridge)
    assert "Address=192.168.0.254/24\nAddress=10.0.0.2/24\nDNS=10.0.0.1\n\n[Route]\nGateway=10.0.0.1\n" in text
    assert networkd.owner(text) == "bridge"


@pytest.mark.parametrize(("version", "has"), [(252, False), (257, True)])
def test_next_hops_are_kept_where_networkd_manages_them(version: int, has: bool) -> None:
    assert ("ManageForeignNextHops=no" in networkd.render_foreign(version)) == has


def test_a_file_says_whose_it_is() -> None:
    files = {
        "/etc/systemd/network/50-kvmnet-br0.network": networkd.render_bridge_network(Bridge("br0", AT)),
        "/etc/systemd/network/50-kvmnet-tap-a.network": networkd.render_port_network(Port("tap-a", AT, bridge="br0")),
        "/etc/systemd/network/50-kvmnet-mine.network": "[Match]\nName=mine\n",
        "/run/systemd/network/50-kvmnet-x.network": networkd.render_bridge_network(Bridge("x", AT)),
    }
    assert networkd.own_links(files, "bridge") == ["br0"]
    assert networkd.own_links(files, "port") == ["tap-a"]
    assert networkd.own_links(files, "uplink") == []


def test_differences_name_settings() -> None:
    assert networkd.differences("[Link]\nA=1\nA=2\n[B]\nC=3\n", "# x\n[Link]\nA=1\n[D]\nE=4\n") == {
        "Link.A": ("1, 2", "1"),
        "B.C": ("3", None),
        "D.E": (None, "4"),
    }
    assert networkd.differences("# old\n[A]\nB=1\n", "# new\n[A]\nB=1\n") == {"layout": ("older", "current")}


def test_a_derived_mac_is_the_hosts_own() -> None:
    def mac(machine: str, **entry: str) -> str:
        (bridge,) = normalise_links([{"name": "br0", **entry}], None, machine).bridges or []
        return str(bridge.mac)

    assert mac("one") == mac("one")
    assert mac("one") != mac("two")
    assert mac("one", mac="52-54-00-AB-CD-EF") == "52:54:00:ab:cd:ef"


@pytest.mark.parametrize(("table", "route"), [(254, ["Gateway=fe80::1"]), (253, ["Gateway=fe80::1", "Table=253"])])
def test_the_way_out_of_ipv6_is_a_route_of_its_own(table: int, route: list[str]) -> None:
    addresses = ("172.20.1.130/24", "2001:db8::10/64")
    uplink = Uplink("eth0", AT, addresses=addresses, gateway="172.20.1.1", table=253, gateway6="fe80::1", table6=table)
    sections = networkd.render_uplink(uplink).split("\n\n")
    assert [section.split() for section in sections[-2:]] == [
        ["[Route]", "Gateway=172.20.1.1", "Table=253"],
        ["[Route]", *route],
    ]
    assert "LinkLocalAddressing=ipv6\nIPv6AcceptRA=no" in sections[3]


def test_an_uplink_of_ipv6_alone_has_no_way_out_for_ipv4() -> None:
    uplink = Uplink("eth0", AT, addresses=("2001:db8::10/64",), gateway6="2001:db8::1")
    text = networkd.render_uplink(uplink)
    assert text.count("[Route]") == 1
    assert "0.0.0.0/0" not in text
