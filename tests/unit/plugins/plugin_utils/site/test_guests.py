# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refusals of guests: in their network, beside each other, and across hosts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._identity import derive_mac, derive_tap

Change = Callable[[dict[str, Any]], object]

GUESTS: list[tuple[str, Change, str, str]] = [
    (
        "outside",
        lambda v: v["kvmnet_guests"][0].update(address="192.168.1.1"),
        "guests[0].address",
        "192.168.0.0/24 (kvmnet_networks[0])",
    ),
    (
        "bridge's own",
        lambda v: v["kvmnet_guests"][0].update(address="192.168.0.254"),
        "guests[0].address",
        "host's own",
    ),
    (
        "network address",
        lambda v: v["kvmnet_guests"][0].update(address="192.168.0.0"),
        "guests[0].address",
        "network address",
    ),
    (
        "broadcast address",
        lambda v: v["kvmnet_guests"][0].update(address="192.168.0.255"),
        "guests[0].address",
        "broadcast address",
    ),
    (
        "in the range",
        lambda v: v["kvmnet_guests"][0].update(address="192.168.0.100"),
        "guests[0].address",
        "192.168.0.100 to 192.168.0.199",
    ),
    (
        "with a prefix",
        lambda v: v["kvmnet_guests"][0].update(address="192.168.0.1/24"),
        "guests[0].address",
        "without a prefix",
    ),
    (
        "no range to draw from",
        lambda v: v["kvmnet_guests"].append({"name": "x", "network": "dmz"}),
        "guests[4].address",
        "has no dhcp_range",
    ),
    (
        "address twice",
        lambda v: v["kvmnet_guests"][1].update(address="192.168.0.1"),
        "guests[1].address",
        "guests[0] (debian32)",
    ),
    ("name twice", lambda v: v["kvmnet_guests"][1].update(name="debian32"), "guests[1].name", "guests[0] (debian32)"),
    (
        "MAC twice",
        lambda v: [g.update(mac="52:54:00:00:00:0A") for g in v["kvmnet_guests"][:2]],
        "guests[1].mac",
        "guests[0]",
    ),
    (
        "MAC of another's name",
        lambda v: v["kvmnet_guests"][1].update(mac=derive_mac("debian32")),
        "guests[1].mac",
        "guests[0]",
    ),
    ("tap twice", lambda v: [g.update(tap="t1") for g in v["kvmnet_guests"][:2]], "guests[1].tap", "guests[0]"),
    (
        "tap of another's name",
        lambda v: v["kvmnet_guests"][1].update(tap=derive_tap("debian32")),
        "guests[1].tap",
        "guests[0]",
    ),
    (
        "tap too long",
        lambda v: v["kvmnet_guests"][1].update(tap="tap-of-the-webserver"),
        "guests[1].tap",
        "this one has 20",
    ),
    ("tap illegal", lambda v: v["kvmnet_guests"][1].update(tap="tap/web"), "guests[1].tap", "at most 15 characters"),
    (
        "tap is the bridge",
        lambda v: v["kvmnet_guests"][1].update(tap="br0"),
        "guests[1].tap",
        "kvmnet_networks[0].bridge",
    ),
    ("tap is a port", lambda v: v["kvmnet_guests"][1].update(tap="eth2"), "guests[1].tap", "kvmnet_networks[1].ports"),
    (
        "unknown network",
        lambda v: v["kvmnet_guests"][0].update(network="kwm"),
        "guests[0].network",
        "kvm is probably meant",
    ),
    (
        "network without bridge",
        lambda v: v["kvmnet_guests"][0].update(network="loc", address="10.10.12.9"),
        "guests[0].network",
        "with a bridge",
    ),
    (
        "unknown uplink",
        lambda v: v["kvmnet_guests"][3].update(uplink="avanta"),
        "guests[3].uplink",
        "avvanta is probably meant",
    ),
    (
        "unknown image",
        lambda v: v["kvmnet_guests"][0].update(image="debian-13"),
        "guests[0].image",
        "debian-12 is probably meant",
    ),
    (
        "no image defined",
        lambda v: (v.pop("kvmnet_images"), v["kvmnet_guests"][1].pop("image")),
        "guests[0].image",
        "which has none",
    ),
    (
        "published twice",
        lambda v: v["kvmnet_guests"][0].update(publish=[{"proto": "tcp", "port": "8080"}]),
        "guests[1].publish[0].port",
        "guests[0] (debian32)",
    ),
    (
        "published twice by one",
        lambda v: v["kvmnet_guests"][1]["publish"].append({"proto": "tcp", "port": 8080}),
        "guests[1].publish[1].port",
        "guests[1] (web)",
    ),
    (
        "management published",
        lambda v: v["kvmnet_guests"][1]["publish"][0].update(port=22),
        "guests[1].publish[0].port",
        "kvmnet_management.port",
    ),
    (
        "published by rule too",
        lambda v: v["kvmnet_rules"][0].update(port="8000:9000"),
        "rules[0].port",
        "guests[1] (web)",
    ),
    (
        "publish without address",
        lambda v: v["kvmnet_guests"][2].update(publish=[{"proto": "tcp", "port": 1}]),
        "guests[2].address",
        "beside publish",
    ),
    (
        "bad protocol",
        lambda v: v["kvmnet_guests"][1]["publish"][0].update(proto="icmp"),
        "guests[1].publish[0].proto",
        "one of tcp, udp",
    ),
    ("bad option", lambda v: v["kvmnet_guests"][0].update(memory_mib="512M"), "guests[0].memory_mib", "whole number"),
    ("bad state", lambda v: v["kvmnet_guests"][0].update(state="started"), "guests[0].state", "running"),
    (
        "image of two kinds",
        lambda v: v["kvmnet_images"]["debian-12"].update(url="https://example.org/x"),
        "images.debian-12.url",
        "not both",
    ),
    ("image of no kind", lambda v: v["kvmnet_images"].update(tiny={}), "images.tiny.path", "or a kernel"),
    (
        "initrd without kernel",
        lambda v: v["kvmnet_images"]["debian-12"].update(initrd="/i"),
        "images.debian-12.initrd",
        "beside kernel",
    ),
    ("user twice", lambda v: v["kvmnet_users"].append({"name": "admin"}), "users[1].name", "users[0]"),
    (
        "not a key",
        lambda v: v["kvmnet_users"][0].update(ssh_keys=["~/.ssh/id_rsa.pub"]),
        "users[0].ssh_keys[0]",
        "public key",
    ),
]


@pytest.mark.parametrize(
    ("change", "place", "allowed"), [case[1:] for case in GUESTS], ids=[case[0] for case in GUESTS]
)
def test_guests(change: Change, place: str, allowed: str, ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    change(ursa)
    found = refused(ursa)
    assert [(host, where) for host, where, _allowed in found] == [("h1", f"kvmnet_{place}")]
    assert allowed in found[0][2]


def test_derived_taps_that_clash_are_refused(
    ursa: dict[str, Any], refused: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._guests.derive_tap", lambda *_names: "t"
    )
    assert [(place, "tap of its own" in allowed) for _host, place, allowed in refused(ursa)] == [
        ("kvmnet_guests[1].tap", True),
        ("kvmnet_guests[2].tap", True),
        ("kvmnet_guests[3].tap", True),
    ]


def test_management_from_a_network_behind_the_host_leaves_its_port_free(
    ursa: dict[str, Any], refused: Callable[..., Any]
) -> None:
    ursa["kvmnet_guests"][1]["publish"][0]["port"] = 22
    ursa["kvmnet_management"]["sources"] = ["10.10.12.0/24"]
    assert refused(ursa) == []


def test_a_guest_that_goes_frees_what_it_had(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_guests"].insert(
        0,
        {
            "name": "old",
            "network": "gone",
            "address": "192.168.0.1",
            "mac": derive_mac("debian32"),
            "tap": "tap-web",
            "publish": [{"proto": "tcp", "port": 8080}],
            "state": "absent",
        },
    )
    assert refused(ursa) == []
    ursa["kvmnet_guests"][0]["name"] = "web"
    assert [place for _host, place, _allowed in refused(ursa)] == ["kvmnet_guests[2].name"]


def test_guests_on_a_firewall_are_refused(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    found = refused(ursa, groups=("firewalls",))
    assert found == [("h1", "kvmnet_guests", "guests on hosts of the group kvm_hosts only")]
    assert refused(ursa, groups=("firewalls", "kvm_hosts")) == []


def test_more_guests_than_a_bridge_has_ports(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_networks"][0] |= {"address": "10.8.0.1/16", "dhcp_range": ["10.8.1.0", "10.8.9.0"]}
    ursa["kvmnet_guests"] = [{"name": f"g{number}", "network": "kvm"} for number in range(1024)]
    assert refused(ursa) == [
        ("h1", "kvmnet_networks[0].bridge", "at most 1023 ports on a bridge; guests and ports are 1024 here")
    ]
    del ursa["kvmnet_guests"][0]
    assert refused(ursa) == []


def second(**guest: object) -> dict[str, Any]:
    return {
        "kvmnet_management": {"sources": ["172.20.1.0/24"]},
        "kvmnet_networks": [{"name": "kvm", "bridge": "br0", "address": "192.168.0.253/24"}],
        "kvmnet_guests": [{"name": "other", "network": "kvm", "address": "192.168.0.9", **guest}],
    }


@pytest.mark.parametrize(
    ("guest", "key", "allowed"),
    [
        ({"name": "web"}, "name", "kvmnet_guests[1] (web) of h1 has it"),
        ({"mac": derive_mac("web")}, "mac", "kvmnet_guests[1] (web) of h1 has it"),
    ],
)
def test_names_and_macs_are_unique_in_the_site(
    guest: dict[str, str], key: str, allowed: str, ursa: dict[str, Any], refused: Callable[..., Any]
) -> None:
    found = refused(ursa, second(**guest))
    assert [(host, place) for host, place, _allowed in found] == [("h2", f"kvmnet_guests[0].{key}")]
    assert allowed in found[0][2]


@pytest.mark.parametrize(
    ("network", "clash"),
    [({}, False), ({"masquerade": True}, False), ({"masquerade": False}, True), ({"ports": ["eth5"]}, True)],
)
def test_addresses_are_unique_where_they_can_be_seen_from_outside(
    network: dict[str, Any], clash: bool, ursa: dict[str, Any], refused: Callable[..., Any]
) -> None:
    other = second(address="192.168.0.2")
    for variables in (ursa, other):
        variables["kvmnet_networks"][0].update(network)
    found = [(host, place) for host, place, _allowed in refused(ursa, other)]
    assert found == ([("h2", "kvmnet_guests[0].address")] if clash else [])


def test_a_thousand_guests_take_less_than_a_second(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_networks"][0] |= {"address": "10.8.255.254/16", "dhcp_range": ["10.8.200.0", "10.8.201.0"]}
    ursa["kvmnet_guests"] = [
        {
            "name": f"guest{number}",
            "network": "kvm",
            "address": f"10.8.{number // 200}.{number % 200 + 1}",
            "image": "tiny",
            "memory_mib": 128,
            "publish": [{"proto": "tcp", "port": 10000 + number, "to": 80}],
        }
        for number in range(1000)
    ]
    started = time.perf_counter()
    assert refused(ursa) == []
    assert time.perf_counter() - started < 1


NICS: list[tuple[str, dict[str, Any], str, str]] = [
    ("no network", {"address": "10.10.11.1"}, "network", "required"),
    ("unknown network", {"network": "dmx"}, "network", "dmz is probably meant"),
    ("a network without a bridge", {"network": "loc", "address": "10.10.12.2"}, "network", "a network with a bridge"),
    ("the first card's network", {"network": "kvm"}, "network", "a network that kvmnet_guests[3] is not in"),
    ("an address elsewhere", {"network": "dmz", "address": "192.168.0.9"}, "address", "10.10.11.0/24"),
    ("no address and no range", {"network": "dmz"}, "address", "has no dhcp_range"),
    ("a wrong key", {"network": "dmz", "address": "10.10.11.1", "publish": []}, "publish", "the keys are network,"),
    ("an amount", {"network": "dmz", "address": "10.10.11.1", "inbound_mbit": "1G"}, "inbound_mbit", "unit: 1000"),
    ("a tap", {"network": "dmz", "address": "10.10.11.1", "tap": "tap-web"}, "tap", "kvmnet_guests[1] (web) does not"),
    ("a MAC", {"network": "dmz", "address": "10.10.11.1", "mac": derive_mac("web")}, "mac", "kvmnet_guests[1] (web)"),
]


@pytest.mark.parametrize(("nic", "key", "allowed"), [case[1:] for case in NICS], ids=[case[0] for case in NICS])
def test_further_cards(
    nic: dict[str, Any], key: str, allowed: str, ursa: dict[str, Any], refused: Callable[..., Any]
) -> None:
    ursa["kvmnet_guests"][3]["nics"] = [nic]
    ((_host, place, words),) = refused(ursa)
    assert place == f"kvmnet_guests[3].nics[0].{key}"
    assert allowed in words


def test_further_cards_that_are_right(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_networks"].append({"name": "disks", "bridge": "br2", "isolated": True})
    for number, guest in enumerate(ursa["kvmnet_guests"]):
        guest["nics"] = [{"network": "disks", "queues": 2}, {"network": "dmz", "address": f"10.10.11.{number + 1}"}]
    assert refused(ursa) == []
    ursa["kvmnet_guests"][3]["nics"][1]["address"] = "10.10.11.1"
    assert [place for _host, place, _allowed in refused(ursa)] == ["kvmnet_guests[3].nics[1].address"]


def test_one_name_in_one_domain(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_networks"][1]["domain"] = "kvm.example"
    ursa["kvmnet_guests"][0]["nics"] = [{"network": "dmz", "address": "10.10.11.1"}]
    ((_host, place, allowed),) = refused(ursa)
    assert (place, "another domain: debian32.kvm.example" in allowed) == ("kvmnet_guests[0].nics[0].network", True)
