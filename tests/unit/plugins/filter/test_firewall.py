# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The firewall that follows from an inventory: zones, policies, rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.filter.firewall import (
    firewall_ipsets,
    firewall_policies,
    firewall_rules,
    firewall_stoppedrules,
    firewall_zones,
)
from ansible_collections.ursa.kvmnet.plugins.filter.guests import guest_records
from ansible_collections.ursa.kvmnet.plugins.filter.providers import (
    firewall_mangle,
    firewall_providers,
    firewall_rtrules,
    firewall_snat,
)

from ._site import AVVANTA, COMCAST, GUESTS, KVM, MANAGEMENT, SAMPLE, SEPARATE, SHARED, short


def policies(*arguments: Any) -> list[str]:
    rows = firewall_policies(*arguments) or []
    return [" ".join(filter(None, (row["source"], row["dest"], row["policy"], row.get("loglevel")))) for row in rows]


class TestArticle:
    def test_zones(self) -> None:
        assert firewall_zones([KVM], SHARED) == [
            {"name": "fw", "type": "firewall", "interfaces": []},
            {
                "name": "net",
                "type": "ipv4",
                "interfaces": [{"name": "eth0", "options": ["tcpflags", "logmartians", "arp_ignore"]}],
                "origin": "kvmnet_uplinks[0]",
            },
            {
                "name": "kvm",
                "type": "ipv4",
                "interfaces": [{"name": "br0", "options": ["dhcp", "routeback"]}],
                "origin": "kvmnet_networks[0]",
            },
        ]

    def test_policies_in_the_authors_order(self) -> None:
        assert policies([KVM], SHARED) == [
            "net net NONE",
            "fw net ACCEPT",
            "fw kvm ACCEPT",
            "kvm all ACCEPT",
            "net all DROP info",
            "all all REJECT info",
        ]

    def test_rules(self) -> None:
        rows = firewall_rules([KVM], SHARED, guest_records(GUESTS, [KVM]), MANAGEMENT)
        assert short(rows, "action", "source", "dest", "proto", "dport", "origin") == [
            ("ACCEPT", "net:172.20.1.0/24", "$FW", ["tcp"], ["22"], "kvmnet_management.sources"),
            ("NotSyn(REJECT)", "kvm", "net", ["tcp"], None, "kvmnet_uplinks"),
            ("DNAT", "net", "kvm:192.168.0.2:80", ["tcp"], ["8080"], "kvmnet_guests[1]"),
        ]

    def test_providers(self) -> None:
        assert firewall_providers(SHARED) == [
            {
                "name": "comcast",
                "interface": "eth0",
                "address": "172.20.1.130",
                "gateway": "172.20.1.1",
                "gateway_mac": ["learn"],
                "network": "172.20.1.0/24",
                "options": ["track", "loose", "balance"],
                "origin": "kvmnet_uplinks[0]",
            },
            {
                "name": "avvanta",
                "interface": "eth0",
                "address": "172.20.1.130",
                "gateway": "172.20.1.254",
                "gateway_mac": ["learn"],
                "network": "172.20.1.0/24",
                "options": ["track", "loose"],
                "origin": "kvmnet_uplinks[1]",
            },
        ]

    def test_routing_and_marks(self) -> None:
        assert short(firewall_rtrules(SHARED), "source", "dest", "provider", "priority") == [
            (None, ["206.124.146.176/31"], "avvanta", "1000"),
            (None, ["206.124.146.180/32"], "avvanta", "1000"),
        ]
        assert short(firewall_mangle(SHARED), "provider", "source", "dest", "proto", "dport") == [
            ("avvanta", "$FW", "0.0.0.0/0", ["tcp"], ["21"]),
        ]

    def test_one_address_needs_one_masquerade(self) -> None:
        assert short(firewall_snat([KVM], SHARED), "action", "source", "dest") == [
            ("MASQUERADE", ["192.168.0.0/24"], ["eth0"]),
        ]

    def test_stopped_rules_keep_the_way_in(self) -> None:
        assert short(firewall_stoppedrules(MANAGEMENT, [KVM], SHARED), "source", "dest", "proto", "dport") == [
            ("eth0:172.20.1.0/24", "$FW", ["tcp"], ["22"]),
        ]

    def test_is_plain_data(self) -> None:
        """Anything else does not get through Ansible."""
        for result in (
            firewall_zones([KVM], SHARED),
            firewall_policies([KVM], SHARED),
            firewall_rules([KVM], SHARED, guest_records(GUESTS, [KVM]), MANAGEMENT),
            firewall_providers(SHARED),
            firewall_rtrules(SHARED),
            firewall_snat([KVM], SHARED),
            firewall_stoppedrules(MANAGEMENT, [KVM], SHARED),
        ):
            assert json.loads(json.dumps(result)) == result


class TestTwoInterfaces:
    def test_one_uplink_is_no_provider(self) -> None:
        assert firewall_providers([COMCAST]) == []
        assert firewall_rtrules([COMCAST | {"destinations": ["192.0.2.0/24"]}]) == []
        assert firewall_mangle([COMCAST | {"services": [{"proto": "tcp", "port": 25}]}]) == []
        assert policies([KVM], [COMCAST])[0] == "fw net ACCEPT"

    def test_the_uplink_is_filtered_by_route(self) -> None:
        zones = firewall_zones([KVM], [COMCAST]) or []
        assert zones[1]["interfaces"] == [{"name": "eth0", "options": [*SAMPLE, "sourceroute=0"]}]

    def test_a_network_on_an_interface_too(self) -> None:
        loc = {"name": "loc", "interface": "eth1", "address": "10.1.2.3/16"}
        assert (firewall_zones([loc], [COMCAST]) or [])[2]["interfaces"] == [{"name": "eth1", "options": SAMPLE}]
        several = firewall_zones([loc], SHARED) or []
        assert several[2]["interfaces"][0]["options"] == ["tcpflags", "logmartians", "nosmurfs"]


class TestUnset:
    def test_not_set_is_not_managed(self) -> None:
        assert firewall_zones(None) is None
        assert firewall_policies(None) is None
        assert firewall_rules(None) is None
        assert firewall_snat(None) is None
        assert firewall_providers(None) is None
        assert firewall_rtrules(None) is None
        assert firewall_mangle(None) is None
        assert firewall_stoppedrules(None) is None

    def test_empty_is_none(self) -> None:
        assert firewall_providers([]) == []
        assert firewall_snat([]) == []
        assert [zone["name"] for zone in firewall_zones([]) or []] == ["fw"]


class TestZones:
    def test_networks_can_share_a_zone(self) -> None:
        zones = firewall_zones([KVM, {"name": "lab", "bridge": "br1", "zone": "kvm"}], [COMCAST]) or []
        assert [interface["name"] for interface in zones[2]["interfaces"]] == ["br0", "br1"]

    def test_a_closed_bridge_does_not_hairpin(self) -> None:
        zones = firewall_zones([KVM | {"isolated": True}], [COMCAST]) or []
        assert zones[2]["interfaces"][0]["options"] == ["dhcp", "routeback=0"]

    def test_interfaces_of_their_own_are_optional(self) -> None:
        zones = firewall_zones([KVM], SEPARATE) or []
        assert zones[1]["interfaces"] == [
            {"name": "eth0", "options": ["tcpflags", "logmartians", "arp_ignore", "optional"]},
            {"name": "eth1", "options": ["dhcp", "tcpflags", "logmartians", "arp_ignore", "optional"]},
        ]

    def test_a_macvlan_is_an_interface_of_its_own(self) -> None:
        zones = firewall_zones([KVM], [COMCAST, AVVANTA | {"sharing": "macvlan"}]) or []
        assert [interface["name"] for interface in zones[1]["interfaces"]] == ["eth0", "avvanta"]


class TestPolicies:
    def test_the_sites_own_come_first_and_displace_what_they_cover(self) -> None:
        own = [
            {"from": "kvm", "to": "net", "action": "accept"},
            {"from": "kvm", "to": "all", "action": "REJECT", "log": "info"},
        ]
        assert policies([KVM], [COMCAST], own) == [
            "kvm net ACCEPT",
            "kvm all REJECT info",
            "fw net ACCEPT",
            "fw kvm ACCEPT",
            "net all DROP info",
            "all all REJECT info",
        ]

    def test_a_general_one_displaces_all(self) -> None:
        own = [{"from": "all", "to": "all", "action": "DROP", "log": True}]
        assert policies([KVM], [COMCAST], own) == ["all all DROP info"]

    def test_a_general_one_does_not_let_providers_reach_each_other(self) -> None:
        """Shorewall lets through what stays in a zone, and its "all" does not mean that."""
        own = [{"from": "all", "to": "all", "action": "DROP"}]
        assert policies([KVM], SHARED, own) == ["all all DROP", "net net NONE"]
        assert policies([KVM], SHARED, [{"from": "all+", "to": "all+", "action": "DROP"}]) == ["all+ all+ DROP"]
        assert policies([KVM], SHARED, [{"from": "net", "to": "all+", "action": "DROP"}])[:2] == [
            "net all+ DROP",
            "fw net ACCEPT",
        ]

    def test_can_hold_floods_back(self) -> None:
        own = [{"from": "net", "to": "all", "action": "DROP", "rate": "s:10/sec:20"}]
        assert (firewall_policies([KVM], [COMCAST], own) or [])[0]["rate"] == "s:10/sec:20"

    def test_a_closed_network_reaches_the_internet_only(self) -> None:
        lines = policies([KVM | {"isolated": True}], [COMCAST])
        assert "kvm net ACCEPT" in lines
        assert "kvm all ACCEPT" not in lines

    def test_a_closed_network_still_gets_names(self) -> None:
        rows = firewall_rules([KVM | {"isolated": True}], [COMCAST])
        assert short(rows, "action", "source", "dest") == [("DNS(ACCEPT)", "kvm", "$FW")]


class TestRules:
    @pytest.mark.parametrize(
        ("entry", "row"),
        [
            (
                {"from": "net", "to": "fw", "action": "accept", "proto": "udp", "port": 51820},
                {"action": "ACCEPT", "source": "net", "dest": "$FW", "proto": ["udp"], "dport": ["51820"]},
            ),
            (
                {"from": "fw:10.0.0.1", "to": "net", "action": "drop", "log": True},
                {"action": "DROP:info", "source": "$FW:10.0.0.1", "dest": "net"},
            ),
            (
                {"from": "net", "to": "kvm", "action": "Ping(ACCEPT)", "log": "notice"},
                {"action": "Ping(ACCEPT):notice", "source": "net", "dest": "kvm"},
            ),
            (
                {"from": "net", "to": "kvm", "action": "ACCEPT", "proto": "tcp", "port": "80,8000-8010"},
                {"action": "ACCEPT", "source": "net", "dest": "kvm", "proto": ["tcp"], "dport": ["80", "8000:8010"]},
            ),
            (
                {"from": "net", "to": "kvm:192.168.0.2:80", "action": "DNAT", "proto": "tcp", "address": "192.0.2.1"},
                {
                    "action": "DNAT",
                    "source": "net",
                    "dest": "kvm:192.168.0.2:80",
                    "proto": ["tcp"],
                    "origdest": ["192.0.2.1"],
                },
            ),
            (
                {"from": "kvm", "to": "fw:3128", "action": "redirect", "proto": "tcp", "port": 80},
                {"action": "REDIRECT", "source": "kvm", "dest": "$FW::3128", "proto": ["tcp"], "dport": ["80"]},
            ),
            (
                {"from": "kvm", "to": "fw", "action": "Web(REDIRECT)", "address": "192.0.2.1"},
                {"action": "Web(REDIRECT)", "source": "kvm", "origdest": ["192.0.2.1"]},
            ),
            (
                {"from": "net", "to": "kvm", "action": "log", "proto": "udp", "sport": [53, "67-68"]},
                {"action": "LOG:info", "source": "net", "dest": "kvm", "proto": ["udp"], "sport": ["53", "67:68"]},
            ),
            (
                {"from": "net", "to": "fw", "action": "SSH(ACCEPT)", "rate": "s:3/min:3", "log": "NFLOG(1)"},
                {"action": "SSH(ACCEPT):NFLOG(1)", "source": "net", "dest": "$FW", "rate": "s:3/min:3"},
            ),
        ],
    )
    def test_the_sites_own(self, entry: dict[str, Any], row: dict[str, Any]) -> None:
        assert firewall_rules([KVM], [COMCAST], rules=[entry]) == [row | {"origin": "kvmnet_rules[0]"}]

    def test_lists_are_sets(self) -> None:
        lists = [{"name": "friends", "addresses": ["192.0.2.7"]}]
        assert firewall_ipsets(lists) == [{"name": "friends", "entries": ["192.0.2.7"]}]
        assert (firewall_ipsets(None), firewall_ipsets([])) == (None, [])
        rule = {"from": "net:+friends", "to": "fw", "action": "SSH(ACCEPT)"}
        assert short(firewall_rules([KVM], [COMCAST], rules=[rule]), "source") == [("net:+friends",)]

    def test_managers_come_from_wherever_they_can_stand(self) -> None:
        local = [KVM | {"name": "loc", "address": "172.20.1.254/24"}, KVM | {"name": "dmz", "address": "10.0.0.1/8"}]
        rows = firewall_rules(local, [COMCAST], management={"sources": ["172.20.1.107"], "port": 2222})
        assert short(rows, "source", "dport") == [("net:172.20.1.107/32", ["2222"]), ("loc:172.20.1.107/32", ["2222"])]

    def test_everyone_is_a_zone(self) -> None:
        rows = firewall_rules([], [COMCAST], management={"sources": ["0.0.0.0/0"]})
        assert short(rows, "source") == [("net",)]

    def test_a_guest_that_goes_publishes_nothing(self) -> None:
        gone = guest_records([GUESTS[1] | {"state": "absent"}], [KVM])
        assert firewall_rules([KVM], [COMCAST], gone) == []

    def test_a_guests_network_says_its_zone(self) -> None:
        network = KVM | {"zone": "dmz"}
        rows = firewall_rules([network], [COMCAST], guest_records(GUESTS, [network]))
        assert short(rows, "dest") == [("dmz:192.168.0.2:80",)]
