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
    found = {
        name: [entry["local"] for entry in links[name]["addr_info"] if entry["family"] == "inet"]
        for name in ("eth0", "south")
    }
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


SIX = {"north": "2001:db8:51::10", "south": "2001:db8:52::11"}


def numbers(mode: Any, directory: str) -> dict[str, int]:
    """The providers of one version of IP, with their numbers."""
    rows = [line.split() for line in mode.host.check_output(f"cat {directory}/providers").splitlines()]
    return {row[0]: int(row[1]) for row in rows if row and row[0][0] not in "#?"}


def test_providers_of_ipv6_have_numbers_of_their_own(mode: Any) -> None:
    """Both versions name their tables and mark their connections in one place."""
    four, six = numbers(mode, "/etc/shorewall"), numbers(mode, "/etc/shorewall6")
    assert six.keys() == {"north_6", "south_6"}
    assert not set(four.values()) & set(six.values())
    rules = mode.host.check_output("ip -6 -N rule")
    for name, address in SIX.items():
        table = six[f"{name}_6"]
        assert re.search(rf"from all fwmark {table:#x}/0xff lookup {table}\n", rules)
        assert f"from {address} lookup {table}\n" in rules
        assert f"default via {address.rpartition(':')[0]}:1 " in mode.host.check_output(
            f"ip -6 route show table {table}"
        )


def test_ipv6_is_shared_too(mode: Any) -> None:
    seen = {mode.desk.fetch(f"http://[2600:{number}::1]/").get("client") for number in range(1, 25)}
    assert seen == set(SIX.values())


@pytest.mark.parametrize("name", SIX)
def test_what_the_host_sends_from_a_prefix_leaves_by_its_provider(mode: Any, name: str) -> None:
    asked = f"curl --silent --max-time 10 --interface {SIX[name]} 'http://[2600:99::1]/'"
    assert f"client={SIX[name]}\n" in mode.host.check_output(asked)


@pytest.mark.parametrize("name", SIX)
def test_who_comes_in_by_a_prefix_is_answered_through_its_provider(station: Any, mode: Any, name: str) -> None:
    """By the mark of the connection, which its answers follow."""
    assert station("client").connects(SIX[name], 22)
    marked = mode.host.check_output(f"conntrack -f ipv6 -L -p tcp --dport 22 --orig-dst {SIX[name]} 2>/dev/null")
    assert f"mark={numbers(mode, '/etc/shorewall6')[name + '_6']} " in marked
