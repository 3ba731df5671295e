# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.filter.guests import guest_records
from ansible_collections.ursa.kvmnet.plugins.filter.proof import proof_names, proof_problems, proof_warnings
from ansible_collections.ursa.kvmnet.plugins.filter.uplinks import monitor_uplinks
from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import derive_mac, derive_uuid

NETWORKS = [
    {"name": "kvm", "bridge": "br0", "address": "192.168.0.254/24", "domain": "kvm.example"},
    {"name": "bare", "bridge": "br1"},
]
GUESTS: list[dict[str, Any]] = [
    {"name": "web", "network": "kvm", "address": "192.168.0.2"},
    {"name": "pool", "network": "kvm"},
    {"name": "bare", "network": "bare"},
    {"name": "off", "network": "kvm", "address": "192.168.0.9", "state": "stopped"},
    {"name": "gone", "network": "kvm", "address": "192.168.0.8", "state": "absent"},
]
UPLINKS = [
    {"name": "comcast", "interface": "eth0", "gateway": "172.20.1.1"},
    {"name": "avvanta", "interface": "eth0", "gateway": "172.20.1.254"},
]
RECORDS = guest_records(GUESTS, NETWORKS)


def uplink(name: str, gateway: str, **changes: Any) -> dict[str, Any]:
    route = {"interface": "eth0", "gateway": gateway}
    found = {"name": name, "interface": "eth0", "gateway": gateway, "route": route}
    return {**found, "state": "up", "carries_traffic": False, **changes}


def card(name: str, carrier: bool = True) -> dict[str, Any]:
    return {"name": name, "carrier": carrier}


def answer(name: str, address: str) -> dict[str, Any]:
    asked = {"server": "192.168.0.254", "name": name, "address": address}
    return {**asked, "addresses": [address], "names": [name], "error": None, "reverse_error": None}


@pytest.fixture(name="info")
def fixture_info() -> dict[str, Any]:
    """A host where all is as it should be."""
    leases = [
        {"mac": derive_mac("web"), "address": "192.168.0.2"},
        {"mac": derive_mac("pool"), "address": "192.168.0.101"},
    ]
    running = ["web", "pool", "bare"]
    domains = [{"name": name, "state": "running"} for name in running] + [{"name": "off", "state": "stopped"}]
    return {
        "dnsmasq": {"state": "running", "leases": leases},
        "guests": {"state": "running", "message": "", "domains": domains},
        "uplinks": [uplink("comcast", "172.20.1.1", carries_traffic=True), uplink("avvanta", "172.20.1.254")],
        "monitor": {"state": "running"},
        "resolved": [answer("web.kvm.example", "192.168.0.2")],
    }


def problems(info: dict[str, Any]) -> list[str]:
    return proof_problems(info, RECORDS, NETWORKS, UPLINKS)


def test_names_are_asked_for_at_their_own_bridge() -> None:
    assert proof_names(RECORDS, NETWORKS) == [
        {"server": "192.168.0.254", "name": "web.kvm.example", "address": "192.168.0.2"},
        {"server": "192.168.0.254", "name": "off.kvm.example", "address": "192.168.0.9"},
    ]
    assert proof_names(None, NETWORKS) == proof_names(RECORDS, None) == []


def test_a_host_as_it_should_be(info: dict[str, Any]) -> None:
    assert problems(info) == []


def test_what_is_not_managed_is_not_checked() -> None:
    info = {"dnsmasq": {"state": "not installed", "leases": []}, "guests": {"state": "not installed"}, "uplinks": []}
    assert proof_problems(info, None, None, None) == []
    assert proof_problems(info, [], [], []) == []


class TestGuests:
    def test_the_lease_of_another_address(self, info: dict[str, Any]) -> None:
        info["dnsmasq"]["leases"][0]["address"] = "192.168.0.150"
        assert problems(info) == ["guest web: has 192.168.0.150, should have exactly 192.168.0.2"]

    def test_one_lease_too_many(self, info: dict[str, Any]) -> None:
        info["dnsmasq"]["leases"].append({"mac": derive_mac("web"), "address": "192.168.0.3"})
        assert problems(info) == ["guest web: has 192.168.0.2, 192.168.0.3, should have exactly 192.168.0.2"]

    def test_no_lease_at_all(self, info: dict[str, Any]) -> None:
        info["dnsmasq"]["leases"] = []
        assert problems(info) == ["guest web: has no lease, should have 192.168.0.2", "guest pool: has no lease"]

    def test_a_guest_that_waits_for_its_new_name(self, info: dict[str, Any]) -> None:
        renamed = [{**GUESTS[0], "name": "www", "renamed_from": "web"}, *GUESTS[1:]]
        info["guests"]["domains"][0]["options"] = {"uuid": derive_uuid("web")}
        records = guest_records(renamed, NETWORKS)
        assert proof_problems(info, records, NETWORKS, UPLINKS) == []

    def test_one_that_does_not_run(self, info: dict[str, Any]) -> None:
        info["guests"]["domains"][0]["state"] = "stopped"
        del info["guests"]["domains"][2]
        assert problems(info) == [
            "guest web: is stopped, should be running",
            "guest bare: is not there, should be running",
        ]

    def test_libvirt_away(self, info: dict[str, Any]) -> None:
        info["guests"] = {"state": "not installed", "message": "python3-libvirt is not installed", "domains": []}
        assert problems(info) == ["guests: libvirt is not installed: python3-libvirt is not installed"]


class TestNames:
    def test_both_ways(self, info: dict[str, Any]) -> None:
        info["resolved"][0] |= {"addresses": [], "error": "no such name", "names": ["db.kvm.example"]}
        assert problems(info) == [
            "name web.kvm.example: is no such name at 192.168.0.254, should be 192.168.0.2",
            "address 192.168.0.2: is db.kvm.example at 192.168.0.254, should be web.kvm.example",
        ]

    def test_dnsmasq_away(self, info: dict[str, Any]) -> None:
        info["dnsmasq"]["state"] = "stopped"
        assert problems(info) == ["dnsmasq: is stopped, should be running"]


class TestUplinks:
    def test_without_a_default_route(self, info: dict[str, Any]) -> None:
        info["uplinks"][1] |= {"route": None, "state": "down"}
        assert problems(info) == ["uplink avvanta: has no default route"]
        del info["uplinks"][1]
        assert problems(info) == ["uplink avvanta: has no default route"]

    def test_with_another_gateway_than_the_inventory(self, info: dict[str, Any]) -> None:
        info["uplinks"][1]["gateway"] = "172.20.1.9"
        assert problems(info) == ["uplink avvanta: leads to 172.20.1.9, should lead to 172.20.1.254"]

    def test_none_in_use(self, info: dict[str, Any]) -> None:
        info["uplinks"][0]["carries_traffic"] = False
        assert problems(info) == ["uplinks: none of them carries traffic"]

    def test_a_single_one_is_known_by_its_interface(self, info: dict[str, Any]) -> None:
        info["uplinks"] = [uplink("eth0", "172.20.1.1", carries_traffic=True)]
        assert proof_problems(info, None, None, UPLINKS[:1]) == []
        assert proof_problems(info, None, None, UPLINKS) != []

    def test_a_gateway_from_a_lease_is_not_compared(self, info: dict[str, Any]) -> None:
        info["uplinks"] = [uplink("eth0", "10.0.0.1", carries_traffic=True)]
        assert proof_problems(info, None, None, [{**UPLINKS[0], "gateway": "dhcp"}]) == []

    @pytest.mark.parametrize("cards", [[card("eth0"), card("wlan0", False)], [card("eth0")]])
    def test_one_whose_own_interface_leads_nowhere_is_left_out(
        self, info: dict[str, Any], cards: list[dict[str, Any]]
    ) -> None:
        info["uplinks"] = [info["uplinks"][0], uplink("wireless", "10.0.0.1", route=None, state="down")]
        info["links"] = {"interfaces": cards, "bridges": [], "ports": []}
        uplinks = [UPLINKS[0], {"name": "wireless", "interface": "wlan0", "gateway": "dhcp"}]
        assert proof_problems(info, None, None, uplinks) == []
        # With a carrier something should have come of it
        info["links"]["interfaces"] = [card("eth0"), card("wlan0")]
        assert proof_problems(info, None, None, uplinks) == ["uplink wireless: has no default route"]

    @pytest.mark.parametrize("state", ["down", "absent", "forced"])
    def test_one_that_is_known_to_be_out_is_a_warning(self, info: dict[str, Any], state: str) -> None:
        info["uplinks"][1] |= {
            "state": state,
            "route": None,
            "reason": "nothing came back for 1 s",
            "since": 1764000000,
        }
        assert problems(info) == []
        said = "held by a drill" if state == "forced" else state
        assert proof_warnings(info) == [f"uplink avvanta: is {said}, nothing came back for 1 s"]
        info["monitor"]["state"] = "stopped"
        assert problems(info) == ["uplink avvanta: has no default route"], "nobody takes care of it"
        assert proof_warnings(info) == []

    def test_one_that_foolsm_took_out(self, info: dict[str, Any]) -> None:
        info["uplinks"][1] |= {"state": "down", "route": None}
        info["monitor"] = {"state": "running", "program": "foolsm"}
        assert problems(info) == []
        assert proof_warnings(info) == ["uplink avvanta: is down"]

    def test_several_have_to_be_watched(self, info: dict[str, Any]) -> None:
        watched = monitor_uplinks(UPLINKS)
        assert proof_problems(info, RECORDS, NETWORKS, UPLINKS, watched) == []
        assert proof_warnings(info) == []
        info["monitor"]["state"] = "silent"
        said = ["uplinks: nobody watches them: the monitor is silent"]
        assert proof_problems(info, RECORDS, NETWORKS, UPLINKS, watched) == said
        assert problems(info) == []

    def test_all_that_share_an_interface_are_asked_for(self, info: dict[str, Any]) -> None:
        info["uplinks"][1]["route"] = None
        info["links"] = {"interfaces": [card("eth0", False)], "bridges": [], "ports": []}
        assert proof_problems(info, None, None, UPLINKS) == ["uplink avvanta: has no default route"]
