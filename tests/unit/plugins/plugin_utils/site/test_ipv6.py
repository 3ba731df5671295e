# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an inventory may say about IPv6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Refused = Callable[..., Any]


@pytest.fixture(name="dual")
def fixture_dual(ursa: dict[str, Any]) -> dict[str, Any]:
    """The host with IPv6 everywhere."""
    ursa["kvmnet_management"]["sources"].append("2001:db8:1::/64")
    ursa["kvmnet_uplinks"][0].update(address6="2001:db8:1::10/64", gateway6="fe80::1")
    ursa["kvmnet_networks"][0]["address6"] = "2001:db8:2::1/64"
    ursa["kvmnet_networks"][2]["address6"] = "fd00:3::1/56"
    ursa["kvmnet_rules"] += [
        {"from": "net", "to": "kvm:[2001:db8:2::80]", "action": "ACCEPT", "proto": "tcp", "port": 80},
        {"from": "net:[2001:db8:9::]/48", "to": "fw", "action": "Ping(ACCEPT)"},
        {"from": "net", "to": "kvm:[2001:db8:2::80]:8080", "action": "DNAT", "proto": "tcp", "port": 80},
    ]
    return ursa


def test_a_host_with_both_is_right(dual: dict[str, Any], refused: Refused) -> None:
    assert refused(dual) == []


@pytest.mark.parametrize(
    ("variable", "index", "values", "key", "allowed"),
    [
        ("kvmnet_uplinks", 0, {"address6": "2001:db8:1::10"}, "address6", "its prefix length"),
        ("kvmnet_uplinks", 0, {"address6": "fe80::2/64"}, "address6", "global or unique local"),
        ("kvmnet_uplinks", 0, {"address6": "2001:db8:1::/64"}, "address6", "every router"),
        ("kvmnet_uplinks", 0, {"address6": "192.0.2.1/24"}, "address6", "an IPv6 address"),
        ("kvmnet_uplinks", 0, {"address6": None}, "address6", "required beside gateway6"),
        ("kvmnet_uplinks", 0, {"gateway6": "172.20.1.1"}, "gateway6", "an IPv6 address"),
        ("kvmnet_uplinks", 0, {"gateway6": "2001:db8:9::1"}, "gateway6", "2001:db8:1::/64"),
        ("kvmnet_uplinks", 0, {"gateway6": "2001:db8:1::10"}, "gateway6", "kvmnet_uplinks[0].address6"),
        ("kvmnet_uplinks", 1, {"address6": "2001:db8:1::11/64"}, "address6", "only one uplink on eth0"),
        ("kvmnet_networks", 0, {"address6": "2001:db8:2::1/56"}, "address6", "prefix length 64"),
        ("kvmnet_networks", 0, {"address6": "2001:db8:1::1/64"}, "address6", "does not overlap 2001:db8:1::/64"),
        ("kvmnet_networks", 0, {"address6": "2001:db8:1::10/64"}, "address6", "kvmnet_uplinks[0] does not have"),
        ("kvmnet_networks", 0, {"address": "2001:db8:7::1/64"}, "address", "address6"),
        ("kvmnet_rules", 2, {"to": "kvm:2001:db8:2::80"}, "to", "in brackets"),
        ("kvmnet_rules", 2, {"to": "kvm:[2001:db8:2::80]/64"}, "to", "bits of the host part"),
        ("kvmnet_rules", 4, {"to": "kvm:[2001:db8:2::]/64"}, "to", "one machine"),
    ],
)
def test_is_refused(
    variable: str, index: int, values: dict[str, Any], key: str, allowed: str, dual: dict[str, Any], refused: Refused
) -> None:
    dual[variable][index].update(values)
    found = refused(dual)
    assert [place for _host, place, _allowed in found] == [f"{variable}[{index}].{key}"]
    assert allowed in found[0][2]


def test_management_by_ipv6_needs_ipv6(ursa: dict[str, Any], refused: Refused) -> None:
    ursa["kvmnet_management"]["sources"].append("2001:db8:1::/64")
    ((_host, place, allowed),) = refused(ursa)
    assert place == "kvmnet_management.sources[1]"
    assert "IPv6 is closed" in allowed


def test_management_by_ipv6_does_not_take_published_ports_away(dual: dict[str, Any], refused: Refused) -> None:
    dual["kvmnet_management"]["sources"] = ["10.10.12.0/24", "2001:db8:1::/64"]
    dual["kvmnet_guests"][1]["publish"] = [{"proto": "tcp", "port": 22}]
    assert refused(dual) == []
