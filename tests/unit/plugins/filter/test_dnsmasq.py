# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.ursa.kvmnet.plugins.filter.dnsmasq import dnsmasq_files, dnsmasq_hosts, dnsmasq_networks
from ansible_collections.ursa.kvmnet.plugins.filter.guests import guest_records

NETWORKS: list[dict[str, Any]] = [
    {"name": "lan", "interface": "eth1", "address": "10.0.0.1/24"},
    {
        "name": "kvm",
        "bridge": "br0",
        "address": "192.168.0.254/24",
        "dhcp_range": ["192.168.0.100", "192.168.0.199"],
        "domain": "kvm.example",
    },
    {"name": "bare", "bridge": "br1"},
]
GUESTS: list[dict[str, Any]] = [
    {"name": "web", "network": "kvm", "address": "192.168.0.2"},
    {"name": "pool", "network": "kvm", "mac": "52:54:00:00:00:05"},
    {"name": "gone", "network": "kvm", "address": "192.168.0.3", "state": "absent"},
    {"name": "elsewhere", "network": "bare"},
]
CONFIGURATION = "/etc/dnsmasq.kvmnet.d/50-kvmnet-dnsmasq.conf"
RESERVATIONS = "/etc/dnsmasq.kvmnet.d/50-kvmnet-reservations"
RECORDS = "/etc/dnsmasq.kvmnet.d/50-kvmnet-hosts"
UPSTREAMS = "/etc/dnsmasq.kvmnet.d/50-kvmnet-upstreams"


def served(**changes: Any) -> list[dict[str, Any]]:
    """The network of the tests, with some keys changed."""
    return [{**(dnsmasq_networks(NETWORKS) or [])[0], **changes}]


def rendered(
    networks: list[dict[str, Any]], hosts: list[dict[str, Any]] | None = None, **settings: Any
) -> dict[str, str]:
    """Return the files by path, those that are there."""
    return {row["path"]: row["content"] for row in dnsmasq_files(networks, hosts, settings) if "content" in row}


def refused(networks: list[dict[str, Any]], hosts: list[dict[str, Any]] | None = None, **settings: Any) -> list[str]:
    """Return the lines of the error."""
    with pytest.raises(AnsibleFilterError) as caught:
        dnsmasq_files(networks, hosts, settings)
    return str(caught.value).splitlines()[1:]


class TestDerivation:
    def test_bridges_with_an_address_are_served_and_keep_their_place_in_the_inventory(self) -> None:
        (network,) = dnsmasq_networks(NETWORKS) or []
        assert network == {"source": "kvmnet_networks[1]", **NETWORKS[1]}

    def test_guests_on_served_networks_get_a_name_and_those_that_go_do_not(self) -> None:
        hosts = dnsmasq_hosts(guest_records(GUESTS, NETWORKS), dnsmasq_networks(NETWORKS)) or []
        assert [(host["source"], host["name"], host["address"]) for host in hosts] == [
            ("kvmnet_guests[0]", "web", "192.168.0.2"),
            ("kvmnet_guests[1]", "pool", None),
        ]

    def test_what_is_not_set_is_not_managed(self) -> None:
        assert dnsmasq_networks(None) is None
        assert dnsmasq_hosts(None, []) is None
        assert dnsmasq_networks([]) == []


class TestFiles:
    def test_a_guest_becomes_a_reservation_and_its_records(self) -> None:
        hosts = dnsmasq_hosts(guest_records(GUESTS, NETWORKS), served())
        files = rendered(served(), hosts)
        assert files[RESERVATIONS] == "52:54:56:9c:a6:c3,192.168.0.2,web\n52:54:00:00:00:05,pool\n"
        assert files[RECORDS] == "192.168.0.2 web.kvm.example web\n"

    def test_the_configuration_serves_the_bridge_and_nothing_else(self) -> None:
        lines = rendered(served(), [])[CONFIGURATION].splitlines()
        assert [line for line in lines if "interface" in line or line == "bind-dynamic"] == [
            "bind-dynamic",
            "except-interface=lo",
            "interface=br0",
        ]
        assert "dhcp-range=set:kvm,192.168.0.100,192.168.0.199,255.255.255.0,12h" in lines
        assert "dhcp-option=tag:kvm,option:router,192.168.0.254" in lines
        assert "local=/kvm.example/" in lines
        assert "domain=kvm.example,192.168.0.0/24" in lines
        assert "dhcp-authoritative" in lines
        assert "dnssec" not in lines
        assert "no-resolv" not in lines

    def test_another_guest_changes_no_file_that_needs_a_restart(self) -> None:
        one = [{"name": "a", "network": "kvm", "mac": "52:54:00:00:00:01", "address": "192.168.0.1"}]
        two = [*one, {"name": "b", "network": "kvm", "mac": "52:54:00:00:00:02", "address": "192.168.0.2"}]
        before, after = rendered(served(), one), rendered(served(), two)
        assert {path for path in before if before[path] != after[path]} == {RESERVATIONS, RECORDS}

    def test_the_lease_limit_is_what_the_networks_can_hold(self) -> None:
        big = served(address="10.0.0.1/16", dhcp_range=["10.0.1.0", "10.0.200.0"])
        assert "dhcp-lease-max=65536" in rendered(big, [])[CONFIGURATION].splitlines()
        assert "dhcp-lease-max=7" in rendered(big, [], lease_max=7)[CONFIGURATION].splitlines()

    def test_a_network_without_a_range_serves_reservations_only(self) -> None:
        host = {"name": "a", "network": "kvm", "mac": "52:54:00:00:00:01", "address": "192.168.0.1"}
        with_one = rendered(served(dhcp_range=None), [host])[CONFIGURATION].splitlines()
        assert "dhcp-range=set:kvm,192.168.0.0,static,255.255.255.0,12h" in with_one
        with_none = rendered(served(dhcp_range=None), [])[CONFIGURATION].splitlines()
        assert "no-dhcp-interface=br0" in with_none
        assert [line for line in with_none if line.startswith("dhcp-")] == []

    def test_upstreams_stand_in_a_file_of_their_own(self) -> None:
        corporate = {"domain": "corp.example", "server": "10.0.0.53#5353"}
        files = rendered(served(upstreams=["192.0.2.53"]), [], upstreams=[corporate])
        assert files[UPSTREAMS] == "server=/corp.example/10.0.0.53#5353\nserver=192.0.2.53\n"
        assert "no-resolv" in files[CONFIGURATION].splitlines()
        assert "no-resolv" not in rendered(served(), [], upstreams=[corporate])[CONFIGURATION].splitlines()

    def test_dnssec_brings_its_trust_anchors(self) -> None:
        lines = rendered(served(), [], dnssec=True, trust_anchors=[".,1,8,2,AB"])[CONFIGURATION].splitlines()
        assert {"dnssec", "trust-anchor=.,1,8,2,AB"} <= set(lines)

    def test_options_of_a_network(self) -> None:
        network = served(mtu=1400, lease_time="1h", dhcp_options={"ntp-server": ["192.0.2.1", "192.0.2.2"], 252: "x"})
        lines = rendered(network, [])[CONFIGURATION].splitlines()
        assert "dhcp-option=tag:kvm,option:ntp-server,192.0.2.1,192.0.2.2" in lines
        assert "dhcp-option=tag:kvm,252,x" in lines
        assert "dhcp-option=tag:kvm,option:mtu,1400" in lines
        assert any(line.endswith(",1h") for line in lines)

    def test_hosts_that_are_not_managed_are_left_as_they_are(self) -> None:
        forced = {row["path"]: row.get("force", True) for row in dnsmasq_files(served(), None)}
        assert [path for path, force in forced.items() if not force] == [RESERVATIONS, RECORDS]

    def test_no_network_leaves_nothing_behind(self) -> None:
        assert dnsmasq_files([], []) == [{"path": "/etc/default/dnsmasq.kvmnet", "state": "absent"}]


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"address": "192.168.0.254"}, "address"),
            ({"address": "192.168.0.0/24"}, "address"),
            ({"address": "fe80::1/64"}, "address"),
            ({"dhcp_range": ["192.168.0.100"]}, "dhcp_range"),
            ({"dhcp_range": ["192.168.1.100", "192.168.1.110"]}, "dhcp_range"),
            ({"dhcp_range": ["192.168.0.110", "192.168.0.100"]}, "dhcp_range"),
            ({"dhcp_range": ["192.168.0.0", "192.168.0.100"]}, "dhcp_range"),
            ({"dhcp_range": ["192.168.0.250", "192.168.0.254"]}, "dhcp_range"),
            ({"domain": "kvm example"}, "domain"),
            ({"lease_time": "90"}, "lease_time"),
            ({"lease_time": "soon"}, "lease_time"),
            ({"upstreams": ["dns.example"]}, "upstreams"),
            ({"upstreams": [{"domain": "a b", "server": "192.0.2.1"}]}, "upstreams"),
            ({"mtu": 20}, "mtu"),
            ({"dhcp_options": {"ntp server": "x"}}, "dhcp_options"),
            ({"bridge": "a-name-of-more-than-15"}, "bridge"),
        ],
    )
    def test_a_wrong_network(self, changes: dict[str, Any], said: str) -> None:
        (line,) = refused(served(**changes), [])
        assert line.startswith(f"- kvmnet_networks[1].{said}: ")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"address": "192.168.1.2"}, "address"),
            ({"address": "192.168.0.254"}, "address"),
            ({"address": "192.168.0.255"}, "address"),
            ({"address": "192.168.0.150"}, "address"),
            ({"address": "web"}, "address"),
            ({"address": None, "mac": None}, "address"),
            ({"mac": "52:54:00"}, "mac"),
            ({"name": "web.kvm"}, "name"),
            ({"network": "kwm"}, "network"),
        ],
    )
    def test_a_wrong_host(self, changes: dict[str, Any], said: str) -> None:
        host = {"name": "web", "network": "kvm", "mac": "52:54:00:00:00:01", "address": "192.168.0.2", **changes}
        (line,) = refused(served(), [host])
        assert line.startswith(f"- dnsmasq_hosts[0].{said}: ")

    def test_everything_at_once_and_what_is_there_twice_with_both_places(self) -> None:
        host = {"name": "web", "network": "kvm", "mac": "52:54:00:00:00:0a", "address": "192.168.0.2"}
        again = {"name": "WEB", "network": "kvm", "mac": "52:54:00:00:00:0A", "address": "192.168.0.2"}
        lines = refused(served(lease_time="1"), [host, {**again, "source": "kvmnet_guests[7]"}], options=["two words"])
        assert [line.split(": ")[0] for line in lines] == [
            "- kvmnet_networks[1].lease_time",
            "- kvmnet_guests[7].name",
            "- kvmnet_guests[7].mac",
            "- kvmnet_guests[7].address",
            "- dnsmasq_options[0]",
        ]
        assert "dnsmasq_hosts[0] has this one" in lines[1]


class TestRouter:
    ADDRESS = "2001:db8:2::1/64"

    def lines(self, **changes: Any) -> list[str]:
        return rendered(served(**changes), [])[CONFIGURATION].splitlines()

    def test_guests_learn_prefix_router_and_names(self) -> None:
        lines = self.lines(address6=self.ADDRESS)
        assert "enable-ra" in lines
        assert "dhcp-range=set:kvm,2001:db8:2::,ra-stateless,ra-names,64,12h" in lines
        assert "dhcp-option=tag:kvm,option6:domain-search,kvm.example" in lines
        assert {"rev-server=2001:db8:2::/64", "domain=kvm.example,2001:db8:2::/64"} <= set(lines)

    def test_nothing_is_said_about_ipv6_without_an_address(self) -> None:
        assert not [line for line in self.lines() if "ra-" in line or "option6" in line or "::" in line]

    def test_without_dhcp_it_is_still_a_router(self) -> None:
        lines = self.lines(address6=self.ADDRESS, dhcp_range=None)
        assert "no-dhcp-interface=br0" not in lines
        assert "dhcp-range=set:kvm,2001:db8:2::,ra-stateless,64,12h" in lines
        # Debian's own instance has the other one
        assert "dhcp-leasefile=/var/lib/misc/dnsmasq.kvmnet.leases" in lines

    @pytest.mark.parametrize("address", ["2001:db8:2::1", "2001:db8:2::1/56", "192.168.0.1/24", "x"])
    def test_refused(self, address: str) -> None:
        (line,) = refused(served(address6=address))
        assert "kvmnet_networks[1].address6" in line
        assert "prefix length 64" in line
