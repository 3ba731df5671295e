# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The providers that follow from an inventory, and what takes which: marks, rules, addresses."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.filter.firewall import (
    firewall_zones,
)
from ansible_collections.ursa.kvmnet.plugins.filter.guests import guest_records
from ansible_collections.ursa.kvmnet.plugins.filter.providers import (
    firewall_conntrack,
    firewall_mangle,
    firewall_providers,
    firewall_rtrules,
    firewall_snat,
)

from ._site import AVVANTA, COMCAST, GUESTS, KVM, SEPARATE, SHARED, short


class TestProviders:
    def test_separate_interfaces(self) -> None:
        rows = firewall_providers(SEPARATE)
        assert short(rows, "interface", "address", "gateway", "gateway_mac", "options") == [
            ("eth0", None, "172.20.1.1", None, ["track", "balance"]),
            ("eth1", None, "detect", None, ["track", "fallback"]),
        ]

    def test_one_that_keeps_its_address_keeps_its_table(self) -> None:
        """Without an address, or a gateway, Shorewall fails to start a persistent provider."""
        uplinks = [
            COMCAST | {"manage": True},
            SEPARATE[1] | {"manage": True},
            {"name": "line", "interface": "ppp0", "address": "10.0.0.1/32", "manage": True, "fallback": True},
        ]
        rows = firewall_providers(uplinks) or []
        assert [row["name"] for row in rows if "persistent" in row["options"]] == ["comcast"]

    def test_weights(self) -> None:
        uplinks = [SEPARATE[0] | {"primary": False, "weight": 3}, SEPARATE[1] | {"fallback": False, "weight": 1}]
        assert short(firewall_providers(uplinks), "options") == [(["track", "balance=3"],), (["track", "balance=1"],)]

    def test_without_a_primary_all_are_balanced(self) -> None:
        uplinks = [SEPARATE[0] | {"primary": False}, SEPARATE[1] | {"fallback": False}]
        assert short(firewall_providers(uplinks), "options") == [(["track", "balance"],), (["track", "balance"],)]

    def test_addresses_of_their_own_tell_providers_apart(self) -> None:
        uplinks = [COMCAST, AVVANTA | {"address": "172.20.1.131/24"}]
        rows = firewall_providers(uplinks)
        assert short(rows, "address", "options") == [
            ("172.20.1.130", ["track", "balance"]),
            ("172.20.1.131", ["track"]),
        ]
        assert short(firewall_snat([KVM], uplinks), "action", "dest") == [
            ("SNAT(172.20.1.130)", ["eth0(comcast)"]),
            ("SNAT(172.20.1.131)", ["eth0(avvanta)"]),
            ("SNAT(172.20.1.130)", ["eth0(comcast)"]),
            ("SNAT(172.20.1.131)", ["eth0(avvanta)"]),
        ]

    def test_a_macvlan_is_an_interface_of_its_own(self) -> None:
        own = AVVANTA | {"sharing": "macvlan", "address": "172.20.1.131/24", "fallback": True}
        uplinks = [COMCAST | {"manage": True}, own]
        rows = firewall_providers(uplinks)
        assert short(rows, "name", "interface", "address", "gateway_mac", "options") == [
            ("comcast", "eth0", None, None, ["track", "balance", "persistent"]),
            ("avvanta", "avvanta", None, None, ["track", "fallback", "persistent"]),
        ]
        assert short(firewall_snat([KVM], uplinks), "action", "source", "dest") == [
            ("MASQUERADE", ["192.168.0.0/24"], ["eth0"]),
            ("MASQUERADE", ["192.168.0.0/24"], ["avvanta"]),
            ("MASQUERADE", ["172.20.1.131"], ["eth0"]),
            ("MASQUERADE", ["172.20.1.130"], ["avvanta"]),
        ]
        zones = {zone["name"]: zone for zone in firewall_zones([KVM], uplinks) or []}
        options = ["tcpflags", "logmartians", "arp_ignore", "optional"]
        assert [(link["name"], link["options"]) for link in zones["net"]["interfaces"]] == [
            ("eth0", options),
            ("avvanta", options),
        ]

    def test_given_numbers_and_addresses_are_taken(self) -> None:
        uplinks = [COMCAST | {"number": 7, "gateway_mac": ["02:00:00:00:00:01", "02:00:00:00:00:02"]}, AVVANTA]
        rows = firewall_providers(uplinks)
        assert short(rows, "number", "gateway_mac") == [
            (7, ["02:00:00:00:00:01", "02:00:00:00:00:02"]),
            (None, ["learn"]),
        ]

    def test_a_guest_with_an_uplink_goes_before_its_network(self) -> None:
        guests = guest_records([GUESTS[0] | {"uplink": "avvanta"}], [KVM])
        rows = firewall_rtrules([COMCAST | {"sources": ["192.168.0.0/24"]}, AVVANTA | {"destinations": []}], guests)
        assert short(rows, "source", "provider", "priority", "origin") == [
            (["192.168.0.0/24"], "comcast", "11500", "kvmnet_uplinks[0]"),
            (["192.168.0.1"], "avvanta", "11000", "kvmnet_guests[0]"),
        ]


class TestServices:
    FTP = AVVANTA | {"services": [{"proto": "tcp", "port": 21, "helper": "ftp"}, {"proto": "tcp", "port": 119}]}

    def test_what_a_helper_follows_takes_the_uplink_too(self) -> None:
        """The article's three rows."""
        rows = firewall_mangle([COMCAST, self.FTP])
        assert short(rows, "provider", "source", "dest", "proto", "dport", "helper") == [
            ("avvanta", "$FW", "0.0.0.0/0", ["tcp"], ["21"], None),
            ("avvanta", "$FW", "0.0.0.0/0", ["tcp"], None, "ftp"),
            ("avvanta", "$FW", "0.0.0.0/0", ["tcp"], ["119"], None),
        ]
        assert short(firewall_conntrack([COMCAST, self.FTP]), "action", "proto", "dport") == [
            ("CT:helper:ftp:PO", ["tcp"], ["21"]),
        ]

    @pytest.mark.parametrize(("uplinks", "rows"), [(None, None), ([], []), (SHARED, []), ([FTP], [])])
    def test_no_helper_is_attached_without_need(self, uplinks: Any, rows: Any) -> None:
        assert firewall_conntrack(uplinks) == rows

    def test_of_networks(self) -> None:
        mail = {"proto": "tcp", "port": 25, "from": ["kvm", "loc"]}
        networks = [KVM, {"name": "loc", "interface": "eth2", "address": "10.1.2.3/16"}]
        rows = firewall_mangle([COMCAST, AVVANTA | {"services": [mail]}], networks)
        assert short(rows, "provider", "source", "dport") == [("avvanta", "br0", ["25"]), ("avvanta", "eth2", ["25"])]

    def test_of_one_network(self) -> None:
        rows = firewall_mangle(
            [COMCAST, AVVANTA | {"services": [{"proto": "udp", "port": "5060", "from": "kvm"}]}], [KVM]
        )
        assert short(rows, "source", "proto") == [("br0", ["udp"])]


class TestSnat:
    def test_public_networks_keep_their_addresses(self) -> None:
        assert firewall_snat([KVM | {"address": "206.124.146.1/28"}], [COMCAST]) == []

    def test_can_be_decided(self) -> None:
        assert firewall_snat([KVM | {"masquerade": False}], [COMCAST]) == []
        assert firewall_snat([KVM | {"address": "206.124.146.1/28", "masquerade": True}], [COMCAST]) != []

    def test_each_interface_hides_each_network(self) -> None:
        rows = firewall_snat([KVM, {"name": "b", "interface": "eth2", "address": "10.1.2.3/16"}], SEPARATE)
        assert short(rows, "source", "dest") == [
            (["192.168.0.0/24"], ["eth0"]),
            (["10.1.0.0/16"], ["eth0"]),
            (["192.168.0.0/24"], ["eth1"]),
            (["10.1.0.0/16"], ["eth1"]),
            # What the host itself sends, after a mark has moved it to the other one
            (["&eth1"], ["eth0"]),
            (["172.20.1.130"], ["eth1"]),
        ]
