# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall of IPv6 follows from the same inventory as that of IPv4."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.filter.firewall import firewall_ipsets, firewall_rules, firewall_zones
from ansible_collections.ursa.kvmnet.plugins.filter.firewall_ipv6 import (
    firewall_ipv6,
    has_ipv6,
    rows_of_family,
    zones_ipv6,
)

NETWORK = {"name": "kvm", "bridge": "br0", "address": "192.168.0.254/24", "address6": "2001:db8:1::1/64"}
UPLINK = {"name": "isp", "interface": "eth0", "address": "192.0.2.10/24", "address6": "2001:db8::10/64"}
MANAGEMENT = {"sources": ["192.0.2.0/24", "2001:db8::/64"], "port": 22}


def described(rows: list[dict[str, Any]] | None) -> list[str]:
    return [
        " ".join(
            [
                row["action"],
                row["source"],
                row.get("dest") or "-",
                *row.get("proto", []),
                *map(str, row.get("dport", [])),
            ]
        )
        for row in rows or []
    ]


def test_ipv6_is_managed_once_anything_has_an_address() -> None:
    assert not has_ipv6(None)
    assert not has_ipv6([{"name": "kvm", "bridge": "br0", "address": "192.168.0.254/24"}], [])
    assert has_ipv6([NETWORK])
    assert has_ipv6([], [UPLINK])


class TestZones:
    def test_are_the_same_without_the_options_of_arp(self) -> None:
        four = firewall_zones([NETWORK], [UPLINK]) or []
        six = zones_ipv6(four) or []
        assert [zone["name"] for zone in six] == [zone["name"] for zone in four]
        assert [zone["type"] for zone in six] == ["firewall", "ipv6", "ipv6"]
        assert six[1]["interfaces"][0]["name"] == "eth0"
        assert not {"logmartians", "routefilter", "arp_ignore"} & set(six[1]["interfaces"][0]["options"])
        assert six[2]["interfaces"] == [{"name": "br0", "options": ["dhcp", "routeback"]}]

    def test_leave_out_hosts_that_are_told_by_ipv4_addresses(self) -> None:
        zones = [{"name": "a", "type": "ipv4", "hosts": [{"interface": "br0", "addresses": ["192.168.0.0/25"]}]}]
        assert zones_ipv6(zones) == [{"name": "a", "type": "ipv6", "hosts": []}]

    def test_are_not_managed_when_those_of_ipv4_are_not(self) -> None:
        assert zones_ipv6(None) is None


class TestRules:
    def test_each_family_admits_those_who_manage_it_by_its_own_addresses(self) -> None:
        six = firewall_ipv6([NETWORK], [UPLINK], MANAGEMENT)
        assert described(six["rules"]) == ["ACCEPT net:[2001:db8::]/64 $FW tcp 22"]
        assert described(six["stoppedrules"]) == ["ACCEPT eth0:[2001:db8::]/64 $FW tcp 22"]
        four = rows_of_family(firewall_rules([NETWORK], [UPLINK], management=MANAGEMENT), "ipv4")
        assert described(four) == ["ACCEPT net:192.0.2.0/24 $FW tcp 22"]

    @pytest.mark.parametrize(
        ("rule", "four", "six"),
        [
            ({"from": "net", "to": "fw", "action": "Ping(ACCEPT)"}, "Ping(ACCEPT) net $FW", "Ping(ACCEPT) net $FW"),
            (
                {"from": "net", "to": "fw", "action": "ACCEPT", "proto": "icmp"},
                "ACCEPT net $FW icmp",
                "ACCEPT net $FW ipv6-icmp",
            ),
            (
                {"from": "net", "to": "kvm:192.168.0.2", "action": "ACCEPT", "proto": "tcp", "port": 80},
                "ACCEPT net kvm:192.168.0.2 tcp 80",
                None,
            ),
            (
                {"from": "net", "to": "kvm:[2001:db8:1::2]", "action": "ACCEPT", "proto": "tcp", "port": 80},
                None,
                "ACCEPT net kvm:[2001:db8:1::2] tcp 80",
            ),
            (
                {"from": "kvm", "to": "fw:3128", "action": "REDIRECT", "proto": "tcp", "port": 80},
                "REDIRECT kvm $FW::3128 tcp 80",
                "REDIRECT kvm $FW::3128 tcp 80",
            ),
            ({"from": "net:+friends", "to": "fw", "action": "ACCEPT"}, "ACCEPT net:+friends $FW", None),
            ({"from": "net", "to": "fw", "action": "ACCEPT", "proto": "igmp"}, "ACCEPT net $FW igmp", None),
        ],
    )
    def test_a_rule_goes_where_its_addresses_are(self, rule: dict[str, Any], four: str | None, six: str | None) -> None:
        rows = firewall_rules([NETWORK], [UPLINK], rules=[rule])
        assert described(rows_of_family(rows, "ipv4")) == ([four] if four else [])
        assert described(firewall_ipv6([NETWORK], [UPLINK], rules=[rule])["rules"]) == ([six] if six else [])

    def test_a_list_is_a_set_for_each_family(self) -> None:
        lists = [{"name": "friends", "addresses": ["192.0.2.7", "2001:db8:7::/48"]}]
        rule = {"from": "net:+friends", "to": "fw", "action": "SSH(ACCEPT)"}
        six = firewall_ipv6([NETWORK], [UPLINK], rules=[rule], lists=lists)
        assert six["ipsets"] == [{"name": "friends_6", "entries": ["2001:db8:7::/48"]}]
        assert described(six["rules"]) == ["SSH(ACCEPT) net:+friends_6 $FW"]
        assert firewall_ipsets(lists) == [{"name": "friends", "entries": ["192.0.2.7"]}]

    def test_a_zone_whose_name_could_be_a_number_stays_a_zone(self) -> None:
        rows = [{"action": "ACCEPT", "source": "face:2001:db8::/64", "dest": "$FW"}]
        assert described(rows_of_family(rows, "ipv6")) == ["ACCEPT face:[2001:db8::]/64 $FW"]

    def test_everywhere_is_everywhere(self) -> None:
        rows = [{"action": "MARK(1)", "source": "$FW", "dest": "0.0.0.0/0"}]
        assert described(rows_of_family(rows, "ipv6")) == ["MARK(1) $FW ::/0"]


class TestUplinks:
    @pytest.mark.parametrize(
        ("network", "masqueraded"),
        [
            ({"address6": "fd00:1::1/64"}, True),
            ({"address6": "2001:db8:1::1/64"}, False),
            ({"address6": "2001:db8:1::1/64", "masquerade": True}, True),
            ({"address6": "fd00:1::1/64", "masquerade": False}, False),
            ({}, False),
        ],
    )
    def test_hide_unique_local_addresses(self, network: dict[str, Any], masqueraded: bool) -> None:
        entry = {"name": "kvm", "bridge": "br0", "address": "192.168.0.254/24", **network}
        snat = firewall_ipv6([entry], [UPLINK])["snat"]
        assert [row["dest"] for row in snat or []] == ([["eth0"]] if masqueraded else [])

    def test_connections_of_a_dead_uplink_are_reset_where_another_one_is_there(self) -> None:
        other = UPLINK | {"name": "other", "interface": "eth9"}
        four_only = {key: value for key, value in other.items() if not key.endswith("6")}
        found = [
            [row["action"] for row in firewall_ipv6([NETWORK], [UPLINK, more])["rules"] or []].count("NotSyn(REJECT)")
            for more in (other, four_only)
        ]
        assert found == [1, 0]

    def test_one_that_has_no_ipv6_is_no_provider(self) -> None:
        second = {"name": "other", "interface": "eth1", "address": "198.51.100.2/24", "gateway": "198.51.100.1"}
        assert firewall_ipv6([], [{**UPLINK, "primary": True}, second])["providers"] == []

    def test_several_are_providers_with_names_of_their_own(self) -> None:
        second = {"name": "other", "interface": "eth1", "address6": "2001:db8:2::2/64", "gateway6": "fe80::1"}
        uplinks = [{**UPLINK, "gateway6": "2001:db8::1", "primary": True, "number": 1}, second]
        found = firewall_ipv6([], uplinks)["providers"] or []
        assert [(row["name"], row["gateway"], row.get("number")) for row in found] == [
            ("isp_6", "2001:db8::1", None),
            ("other_6", "fe80::1", None),
        ]
