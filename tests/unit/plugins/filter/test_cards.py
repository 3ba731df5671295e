# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest with several cards: one domain; a port, a lease and a name for each card."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.ursa.kvmnet.plugins.filter.dnsmasq import dnsmasq_files, dnsmasq_hosts, dnsmasq_networks
from ansible_collections.ursa.kvmnet.plugins.filter.domains import domains
from ansible_collections.ursa.kvmnet.plugins.filter.firewall import firewall_rules
from ansible_collections.ursa.kvmnet.plugins.filter.guests import cards, guest_records
from ansible_collections.ursa.kvmnet.plugins.filter.links import bridge_ports
from ansible_collections.ursa.kvmnet.plugins.filter.proof import proof_names, proof_problems
from ansible_collections.ursa.kvmnet.plugins.filter.providers import firewall_rtrules
from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import derive_mac, derive_tap
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._read import read_entries

NETWORKS: list[dict[str, Any]] = [
    {
        "name": "kvm",
        "bridge": "br0",
        "address": "192.168.0.254/24",
        "dhcp_range": ["192.168.0.100", "192.168.0.199"],
        "domain": "kvm.example",
    },
    {"name": "dmz", "bridge": "br1", "address": "10.1.0.254/24", "domain": "dmz.example", "mtu": 9000},
    {"name": "disks", "bridge": "br2", "address": "10.2.0.254/24", "dhcp_range": ["10.2.0.100", "10.2.0.199"]},
    {"name": "bare", "bridge": "br3", "isolated": True},
]
PLAIN: dict[str, Any] = {"name": "web", "network": "kvm", "address": "192.168.0.2", "image": "debian-13"}
DMZ: dict[str, Any] = {"network": "dmz", "address": "10.1.0.2", "queues": 2, "anti_spoofing": True}
DISKS: dict[str, Any] = {"network": "disks", "inbound_mbit": 100}
BARE: dict[str, Any] = {"network": "bare", "link": "down"}
WEB: dict[str, Any] = {**PLAIN, "uplink": "isp", "publish": [{"proto": "tcp", "port": 80}], "nics": [DMZ, DISKS, BARE]}


def records(*guests: dict[str, Any]) -> list[dict[str, Any]]:
    return guest_records(list(guests), NETWORKS) or []


def entry(guest: dict[str, Any]) -> dict[str, Any]:
    (found,) = domains(records(guest), NETWORKS) or []
    return found


def test_a_guest_with_one_card_is_what_it_was() -> None:
    assert json.dumps(records(PLAIN)) == json.dumps(
        [
            {
                "source": "kvmnet_guests[0]",
                "name": "web",
                "network": "kvm",
                "bridge": "br0",
                "address": "192.168.0.2",
                "mac": "52:54:56:9c:a6:c3",
                "uuid": "6f36cd3f-6e31-54d4-9554-ab3d0f2458f6",
                "tap": "tap-web",
                "domain": "kvm.example",
                "uplink": None,
                "publish": [],
                "isolated": False,
                "mtu": None,
                "options": {"image": "debian-13"},
            }
        ]
    )
    assert records({**PLAIN, "nics": []}) == records(PLAIN)
    assert "network_config" not in entry(PLAIN)


def test_identity_follows_from_the_names_and_not_from_the_place() -> None:
    # Changing any of these would give every existing card a new MAC address and lease
    assert [(card["mac"], card["tap"]) for card in cards(records(WEB))] == [
        ("52:54:56:9c:a6:c3", "tap-web"),
        (derive_mac("web_dmz"), "tap-web_dmz"),
        (derive_mac("web_disks"), "tap-web_disks"),
        (derive_mac("web_bare"), "tap-web_bare"),
    ]
    assert derive_mac("web", "dmz") == derive_mac("web_dmz") == "52:54:b8:e9:03:e4"
    assert derive_tap("web", "backbone") == "tap-web-7bb4f"
    assert derive_tap("a", "b.c") == "tap-a-654eb"
    fewer = records({**WEB, "nics": [DMZ, BARE]})
    assert {card["network"]: card["mac"] for card in cards(fewer)}.items() <= {
        card["network"]: card["mac"] for card in cards(records(WEB))
    }.items()


def test_another_name_keeps_every_card() -> None:
    renamed = records({**WEB, "name": "www", "renamed_from": "web"})
    assert [(c["mac"], c["tap"]) for c in cards(renamed)] == [(c["mac"], c["tap"]) for c in cards(records(WEB))]


def test_what_the_user_says_of_a_card_wins() -> None:
    said = {"network": "bare", "mac": "52:54:00:AA:BB:CC", "tap": "tap9", "isolated": False}
    _first, card = cards(records({**PLAIN, "nics": [said]}))
    assert (card["mac"], card["tap"], card["isolated"]) == ("52:54:00:aa:bb:cc", "tap9", False)


def test_each_card_is_a_port() -> None:
    assert bridge_ports(records(WEB), None) == [
        {"name": "tap-web", "type": "tap", "bridge": "br0", "isolated": False, "source": "kvmnet_guests[0]"},
        {
            "name": "tap-web_dmz",
            "type": "tap",
            "bridge": "br1",
            "isolated": False,
            "source": "kvmnet_guests[0].nics[0]",
            "mtu": 9000,
            "queues": 2,
        },
        {
            "name": "tap-web_disks",
            "type": "tap",
            "bridge": "br2",
            "isolated": False,
            "source": "kvmnet_guests[0].nics[1]",
        },
        {
            "name": "tap-web_bare",
            "type": "tap",
            "bridge": "br3",
            "isolated": True,
            "source": "kvmnet_guests[0].nics[2]",
        },
    ]
    assert bridge_ports(records({**WEB, "state": "absent"}), None) == []


def served(*guests: dict[str, Any]) -> tuple[str, str]:
    """Return reservations and records."""
    networks = dnsmasq_networks(NETWORKS) or []
    files = {
        row["path"]: row.get("content", "")
        for row in dnsmasq_files(networks, dnsmasq_hosts(records(*guests), networks))
    }
    directory = "/etc/dnsmasq.kvmnet.d/50-kvmnet-"
    return files[f"{directory}reservations"], files[f"{directory}hosts"]


def test_each_card_has_its_lease_and_its_name_in_the_domain_of_its_network() -> None:
    reservations, names = served(WEB, {"name": "db", "network": "disks", "nics": [{"network": "kvm"}]})
    # One lease has the name: two would take it from each other
    assert reservations.splitlines() == [
        f"{derive_mac('web')},192.168.0.2,web",
        f"{derive_mac('web_dmz')},set:_further,10.1.0.2",
        f"{derive_mac('web_disks')},set:_further",
        f"{derive_mac('db')},db",
        f"{derive_mac('db_kvm')},set:_further",
    ]
    assert names.splitlines() == ["192.168.0.2 web.kvm.example web", "10.1.0.2 web.dmz.example"]


def test_only_the_first_card_is_told_of_a_way_out() -> None:
    def options(guest: dict[str, Any]) -> list[str]:
        networks = dnsmasq_networks(NETWORKS) or []
        files = dnsmasq_files(networks, dnsmasq_hosts(records(guest), networks))
        (text,) = (row["content"] for row in files if row["path"].endswith("50-kvmnet-dnsmasq.conf"))
        return [line for line in text.splitlines() if line.startswith("dhcp-option")]

    # Of several options that fit the last one counts
    line = "dhcp-option=tag:_further,option:router"
    assert options(WEB)[-1] == line
    assert "dhcp-option=tag:dmz,option:router,10.1.0.254" in options(WEB)
    assert line not in options(PLAIN)


@pytest.mark.parametrize(
    ("guests", "aside"),
    [
        ([PLAIN], []),
        ([WEB], ["br1", "br2"]),
        # Who is there alone has no other router, and takes this one all the same
        ([WEB, {"name": "mail", "network": "disks"}], ["br1", "br2"]),
        # Of some that have another one it is the first: whose turn it is cannot be told by the network
        ([WEB, {"name": "db", "network": "disks", "nics": [{"network": "dmz"}]}], ["br1"]),
        ([{**WEB, "state": "absent"}], []),
    ],
)
def test_a_router_that_is_not_the_first_one_of_those_who_have_several_steps_back(
    guests: list[dict[str, Any]], aside: list[str]
) -> None:
    """All that are in a network hear the same of it by IPv6."""
    given = [{**row, "address6": f"2001:db8:{at}::1/64"} for at, row in enumerate(NETWORKS) if "address" in row]
    files = dnsmasq_files(given, dnsmasq_hosts(records(*guests), given))
    (text,) = (row["content"] for row in files if row["path"].endswith("50-kvmnet-dnsmasq.conf"))
    assert [line for line in text.splitlines() if "ra-param" in line] == [f"ra-param={name},low,0" for name in aside]
    # Without IPv6 there is nothing to step back from
    networks = dnsmasq_networks(NETWORKS) or []
    assert "ra-param" not in str(dnsmasq_files(networks, dnsmasq_hosts(records(*guests), networks)))


def test_a_guest_without_an_address_of_its_own_has_the_name_of_its_first_lease_alone() -> None:
    guest = {"name": "db", "network": "kvm", "nics": [{"network": "dmz", "address": "10.1.0.3"}]}
    # dnsmasq would give the name of such a record to the second lease and take it from the first
    assert served(guest) == (f"{derive_mac('db')},db\n{derive_mac('db', 'dmz')},set:_further,10.1.0.3\n", "")
    assert proof_names(records(guest), NETWORKS) == []


def test_a_name_is_in_a_domain_once() -> None:
    networks = [{**network, "domain": "kvm.example"} for network in dnsmasq_networks(NETWORKS) or []]
    with pytest.raises(AnsibleFilterError, match=r"kvmnet_guests\[0\].nics\[0\].name: 'web' is wrong"):
        dnsmasq_files(networks, dnsmasq_hosts(records(WEB), networks))


def test_one_domain_has_all_cards() -> None:
    found = entry(WEB)
    assert (found["name"], found["address"], found["fqdn"], found["network"]) == (
        "web",
        "192.168.0.2",
        "web.kvm.example",
        "kvm",
    )
    assert found["nics"] == [
        {"mac": derive_mac("web"), "tap": "tap-web", "mtu": None},
        {
            "mac": derive_mac("web_dmz"),
            "tap": "tap-web_dmz",
            "mtu": 9000,
            "queues": 2,
            "anti_spoofing": True,
            "address": "10.1.0.2",
            "lease": True,
        },
        {"mac": derive_mac("web_disks"), "tap": "tap-web_disks", "mtu": None, "inbound_mbit": 100, "lease": True},
        {"mac": derive_mac("web_bare"), "tap": "tap-web_bare", "mtu": None, "link": "down"},
    ]
    assert read_entries([found])[1] == []


def test_cloud_init_is_told_of_all_cards() -> None:
    further = {"dhcp4": True, "optional": True}
    assert entry(WEB)["network_config"] == {
        "version": 2,
        "ethernets": {
            "eth0": {"match": {"macaddress": derive_mac("web")}, "dhcp4": True},
            "eth1": {"match": {"macaddress": derive_mac("web_dmz")}, **further},
            "eth2": {"match": {"macaddress": derive_mac("web_disks")}, **further},
            "eth3": {"match": {"macaddress": derive_mac("web_bare")}, "dhcp4": False, "optional": True},
        },
    }
    assert entry({**WEB, "network_config": {"version": 1}})["network_config"] == {"version": 1}


def test_what_leads_to_a_guest_or_out_of_it_goes_by_its_first_card() -> None:
    uplinks = [{"name": name, "interface": name, "gateway": "192.0.2.1"} for name in ("isp", "other")]
    rules = firewall_rules(NETWORKS, uplinks, records(WEB), None, [], [])
    assert [row["dest"] for row in rules or [] if row["action"] == "DNAT"] == ["kvm:192.168.0.2"]
    rows = firewall_rtrules(uplinks, records(WEB)) or []
    assert [row["source"] for row in rows if "source" in row] == [["192.168.0.2"]]


def test_each_card_is_proven() -> None:
    names = proof_names(records(WEB), NETWORKS)
    assert names == [
        {"server": "192.168.0.254", "name": "web.kvm.example", "address": "192.168.0.2"},
        {"server": "10.1.0.254", "name": "web.dmz.example", "address": "10.1.0.2"},
    ]
    leases = [
        {"mac": derive_mac("web"), "address": "192.168.0.2"},
        {"mac": derive_mac("web_dmz"), "address": "10.1.0.9"},
    ]
    info = {
        "dnsmasq": {"state": "running", "leases": leases},
        "guests": {"state": "running", "message": "", "domains": [{"name": "web", "state": "running"}]},
    }
    assert proof_problems(info, records(WEB), NETWORKS) == [
        "guest web in dmz: has 10.1.0.9, should have exactly 10.1.0.2",
        "guest web in disks: has no lease",
    ]
