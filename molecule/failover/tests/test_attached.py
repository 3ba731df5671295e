# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An interface for each provider on one card: what Shorewall's documentation offers as the way to fail over at all."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

NORTH, SOUTH = "10.42.1.1", "10.42.1.254"


@pytest.fixture(scope="module")
def mode(modes: dict[str, Any]) -> Any:
    modes["macvlan"].waits_for("up", "up")
    return modes["macvlan"]


def test_each_provider_has_a_mac_and_an_address_of_its_own(mode: Any) -> None:
    links = {link["ifname"]: link for link in json.loads(mode.host.check_output("ip -d -j address"))}
    assert links["south"]["linkinfo"]["info_kind"] == "macvlan"
    assert links["south"]["link"] == "eth0"
    assert links["south"]["address"] != links["eth0"]["address"]
    found = {name: [entry["local"] for entry in links[name]["addr_info"]] for name in ("eth0", "south")}
    assert found == {"eth0": ["10.42.1.10"], "south": ["10.42.1.11"]}


def test_the_rules_are_those_of_separate_interfaces(mode: Any) -> None:
    lines = [line.split(":", 1) for line in mode.host.check_output("ip -4 -N rule").splitlines()]
    rules = {(int(priority), rule.strip()) for priority, rule in lines}
    assert rules >= {
        (999, "from all lookup 254"),
        (10000, "from all fwmark 0x1/0xff lookup 1"),
        (10001, "from all fwmark 0x2/0xff lookup 2"),
        (20000, "from 10.42.1.10 lookup 1"),
        (20000, "from 10.42.1.11 lookup 2"),
        (32765, "from all lookup 250"),
    }
    assert 32766 not in {priority for priority, _rule in rules}


@pytest.mark.parametrize(
    ("table", "route"),
    [
        ("north", f"default via {NORTH} dev eth0 src 10.42.1.10"),
        ("south", f"default via {SOUTH} dev south src 10.42.1.11"),
    ],
)
def test_the_table_of_a_provider(mode: Any, table: str, route: str) -> None:
    shown = mode.host.check_output(f"ip -4 route show default table {table}")
    assert " ".join(shown.split()) == route


def test_traffic_is_shared_by_weight_and_main_has_no_default(mode: Any) -> None:
    (route,) = json.loads(mode.host.check_output("ip -4 -j route show default table 250"))
    assert {(hop["gateway"], hop["dev"], hop["weight"]) for hop in route["nexthops"]} == {
        (NORTH, "eth0", 2),
        (SOUTH, "south", 1),
    }
    assert mode.host.check_output("ip -4 route show default table main") == ""


def test_who_came_in_by_an_interface_is_marked_by_it(mode: Any) -> None:
    rules = mode.host.check_output("iptables -t mangle -S").splitlines()
    marked = {
        card: mark for rule in rules for card, mark in re.findall(r"routemark -i (\S+) -j MARK .*(0x\d)/0xff", rule)
    }
    assert marked == {"eth0": "0x1", "south": "0x2"}


def test_the_station_is_hidden_behind_the_address_of_the_interface(mode: Any) -> None:
    rules = mode.host.check_output("iptables -t nat -S").splitlines()
    for card in ("eth0", "south"):
        assert any(
            rule.startswith("-A ") and "-s 10.42.0.0/24" in rule and "MASQUERADE" in rule
            for rule in rules
            if card in rule
        )


def test_the_two_do_not_answer_for_each_other(mode: Any) -> None:
    """Two addresses of one network on one wire: each is answered for by its own interface only."""
    assert mode.host.check_output("cat /proc/sys/net/ipv4/conf/south/arp_ignore") == "1"
    for name in ("all", "eth0", "south"):
        assert mode.host.check_output(f"cat /proc/sys/net/ipv4/conf/{name}/rp_filter") == "0"
