# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _model, _port_model
from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._kernel import parse_default_routes, parse_links
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem


def said(problems: list[Problem]) -> list[str]:
    """Return where problems are, and the value."""
    return [f"{problem.place()}={problem.value}" for problem in problems]


@pytest.mark.parametrize(
    ("entry", "places"),
    [
        ({"name": "a" * 16}, ["bridges[0].name=" + "a" * 16]),
        ({"name": "a/b"}, ["bridges[0].name=a/b"]),
        ({"name": "42"}, ["bridges[0].name=42"]),
        ({"name": "lo"}, ["bridges[0].name=lo"]),
        ({"name": "br0", "addresses": ["192.168.0.254"]}, ["bridges[0].addresses=192.168.0.254"]),
        ({"name": "br0", "addresses": ["192.168.0.0/24"]}, ["bridges[0].addresses=192.168.0.0/24"]),
        ({"name": "br0", "addresses": ["192.168.0.255/24"]}, ["bridges[0].addresses=192.168.0.255/24"]),
        ({"name": "br0", "addresses": ["10.0.0.0/31", "10.0.0.9/32"]}, []),
        ({"name": "br0", "stp": True, "forward_delay": 1}, ["bridges[0].forward_delay=1"]),
        ({"name": "br0", "stp": True}, []),
        ({"name": "br0", "mac": "03:00:00:00:00:01"}, ["bridges[0].mac=03:00:00:00:00:01"]),
        ({"name": "br0", "mtu": 100}, ["bridges[0].mtu=100"]),
        ({"name": "br0", "mtu": 100, "source": "kvmnet_networks[7]"}, ["kvmnet_networks[7].mtu=100"]),
        ({"name": "br0", "state": "absent", "mtu": 100}, []),
    ],
)
def test_bridges(entry: dict[str, Any], places: list[str]) -> None:
    assert said(_model.normalise_links([entry], None, "m").problems) == places


@pytest.mark.parametrize(
    ("entry", "places"),
    [
        ({"manage": True}, ["uplinks[0].address=None"]),
        ({"addresses": ["10.0.0.2/24"], "gateway": "10.0.1.1"}, ["uplinks[0].gateway=10.0.1.1"]),
        ({"addresses": ["10.0.0.2/24"], "gateway": "10.0.0.2"}, ["uplinks[0].gateway=10.0.0.2"]),
        ({"addresses": ["10.0.0.2/24"], "gateway": "dhcp"}, ["uplinks[0].gateway=dhcp"]),
        ({"addresses": ["10.0.0.2/24"], "gateway": "x"}, ["uplinks[0].gateway=x"]),
        ({"addresses": ["dhcp"], "gateway": "10.0.0.1"}, []),
        ({"addresses": ["10.0.0.2/24"], "dns": ["ns.example"]}, ["uplinks[0].dns=ns.example"]),
        ({"gateway": "10.0.0.1"}, []),
        ({"addresses": ["2001:db8::2/64"], "gateway6": "2001:db8::1"}, []),
        ({"addresses": ["2001:db8::2/64"], "gateway6": "fe80::1"}, []),
        ({"addresses": ["2001:db8::2/64"], "gateway6": "2001:db8:1::1"}, ["uplinks[0].gateway6=2001:db8:1::1"]),
        ({"addresses": ["2001:db8::2/64"], "gateway6": "10.0.0.1"}, ["uplinks[0].gateway6=10.0.0.1"]),
    ],
)
def test_uplinks(entry: dict[str, Any], places: list[str]) -> None:
    assert said(_model.normalise_links(None, [{"interface": "eth0", **entry}], "m").problems) == places


def test_an_address_by_dhcp_brings_its_router_unless_another_is_named() -> None:
    def uplink(**entry: Any) -> _model.Uplink:
        (found,) = _model.normalise_links(None, [{"interface": "eth0", **entry}], "m").uplinks or []
        assert isinstance(found, _model.Uplink)
        return found

    assert uplink(addresses=["dhcp"]).dhcp_gateway
    assert not uplink(addresses=["dhcp"], gateway="10.0.0.1").dhcp_gateway
    assert not uplink(addresses=["10.0.0.2/24"]).dhcp_gateway


@pytest.mark.parametrize(
    ("entry", "places"),
    [
        ({"name": "tap-a"}, ["ports[0].bridge=None"]),
        ({"name": "tap-a", "state": "absent"}, []),
        ({"name": "eth1", "bridge": "br0", "type": "interface", "user": "root"}, ["ports[0].user=root"]),
        ({"name": "tap-a", "bridge": "br0", "user": "a b"}, ["ports[0].user=a b"]),
        ({"name": "tap-a", "bridge": "br0", "queues": 0}, ["ports[0].queues=0"]),
        ({"name": "tap-a", "bridge": "br0", "priority": 64, "cost": 0}, ["ports[0].cost=0", "ports[0].priority=64"]),
        ({"name": "tap-a", "bridge": "br0", "locked": False}, ["ports[0].locked=False"]),
    ],
)
def test_ports(entry: dict[str, Any], places: list[str]) -> None:
    problems: list[Problem] = []
    _port_model.normalise_ports([entry], 252, problems)
    assert said(problems) == places


def test_a_port_can_be_locked_where_networkd_locks_it_again_at_boot() -> None:
    problems: list[Problem] = []
    (port,) = _port_model.normalise_ports([{"name": "tap-a", "bridge": "br0", "locked": True}], 258, problems)
    assert (problems, port.locked) == ([], True)


def test_a_name_used_twice_is_named_with_the_other_place() -> None:
    entries = [{"name": "br0"}, {"name": "br1"}, {"name": "br0", "source": "kvmnet_networks[2]"}]
    (problem,) = _model.normalise_links(entries, None, "m").problems
    assert problem.place() == "kvmnet_networks[2].name"
    assert "bridges[0]" in problem.allowed


def test_all_problems_are_found_at_once() -> None:
    found = _model.normalise_links([{"name": "a b", "mtu": 1}], [{"interface": "!", "manage": True}], "m").problems
    assert len(found) == 4


def test_a_list_that_is_not_given_is_not_managed() -> None:
    wanted = _model.normalise_links(None, [], "m")
    assert (wanted.bridges, wanted.uplinks) == (None, [])


def test_links_of_the_kernel() -> None:
    links = parse_links(
        [
            {},
            {
                "ifname": "br0",
                "flags": ["NO-CARRIER", "BROADCAST", "UP"],
                "mtu": 1500,
                "address": "52:54:00:00:00:01",
                "linkinfo": {"info_kind": "bridge", "info_data": {"stp_state": 0, "forward_delay": 0}},
                "addr_info": [
                    {"family": "inet", "local": "192.168.0.254", "prefixlen": 24, "scope": "global"},
                    {"family": "inet6", "local": "2001:db8::1", "prefixlen": 64, "scope": "global", "nodad": True},
                    {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
                ],
            },
            {
                "ifname": "tap-web",
                "flags": ["BROADCAST", "UP", "LOWER_UP"],
                "master": "br0",
                "linkinfo": {
                    "info_kind": "tun",
                    "info_data": {"type": "tap", "multi_queue": False, "user": "root"},
                    "info_slave_kind": "bridge",
                    "info_slave_data": {"isolated": True},
                },
            },
            {"ifname": "eth0", "flags": [], "addr_info": [{"local": "10.0.0.2", "prefixlen": 8, "dynamic": True}]},
        ]
    )
    assert list(links) == ["br0", "tap-web", "eth0"]
    assert links["br0"].addresses == ("192.168.0.254/24", "2001:db8::1/64")
    assert (links["br0"].nodad, links["br0"].link_local) == (("2001:db8::1/64",), ("fe80::1/64",))
    assert (links["br0"].up, links["br0"].carrier) == (True, False)
    assert (links["tap-web"].tap, links["tap-web"].carrier, links["tap-web"].port) == (True, True, {"isolated": True})
    assert (links["eth0"].dynamic, links["eth0"].up, links["eth0"].shown_kind) == (True, False, "network card")


def test_default_routes_of_every_table_and_next_hop() -> None:
    routes = parse_default_routes(
        [
            {"dst": "default", "gateway": "10.0.0.1", "dev": "eth0"},
            {"dst": "default", "gateway": "10.0.0.1", "dev": "eth0", "table": "default"},
            {
                "dst": "default",
                "table": "balance",
                "nexthops": [{"gateway": "10.0.0.1", "dev": "eth0"}, {"dev": "ppp0"}],
            },
            {"dst": "default", "type": "unreachable", "table": "7"},
            {"dst": "10.0.0.0/8", "dev": "eth0"},
        ]
    )
    assert [(route.device, route.gateway, route.table) for route in routes] == [
        ("eth0", "10.0.0.1", 254),
        ("eth0", "10.0.0.1", 253),
        ("eth0", "10.0.0.1", 0),
        ("ppp0", None, 0),
    ]
