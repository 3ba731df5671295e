# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's routes: providers, what is attached and what is out, as pure functions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from monitor import part

_routes, _providers, _kernel = part("_routes"), part("_providers"), part("_kernel")
Link, Provider, Route, Rule, Hop = _routes.Link, _providers.Provider, _routes.Route, _routes.Rule, _routes.Hop

SHARED = """
comcast 1 1 - eth0:172.20.1.130 172.20.1.1,02:00:00:00:01:01 track,loose,balance=2
avvanta 2 2 - eth0:172.20.1.130 172.20.1.254,~02-00-00-00-01-02 track,loose,balance
wireless 3 3 - wlan0 detect track,fallback
"""
LINKS = {
    "eth0": Link(True, True, ("172.20.1.130",)),
    "wlan0": Link(True, True, ("172.22.1.50",)),
    "ppp0": Link(True, True, ("10.0.0.2",)),
}
GATEWAYS = {"wireless": "172.22.1.1"}


def at(text: str = SHARED, links: dict[str, Any] | None = None) -> tuple[Any, Any]:
    providers = _providers.read_providers(text)
    return providers, _routes.attach(providers, LINKS if links is None else links, GATEWAYS)


def lines(out: set[str], text: str = SHARED, links: dict[str, Any] | None = None) -> dict[tuple[int, int], str]:
    """The default routes by table and metric."""
    providers, attached = at(text, links)
    found = _routes.desired_routes(providers, attached, out, set(attached))
    return {(each.table, each.metric): each.line for each in found if each.destination == "default"}


def snapshot(routes: Sequence[Any] = (), rules: Sequence[Any] = (), links: dict[str, Any] | None = None) -> Any:
    return _routes.Snapshot(LINKS if links is None else links, tuple(routes), tuple(rules), {})


# Providers


def test_a_provider_is_read_whole() -> None:
    comcast, avvanta, wireless = _providers.read_providers(SHARED)
    assert (comcast.interface, comcast.address, comcast.gateway) == ("eth0", "172.20.1.130", "172.20.1.1")
    assert (comcast.mac, avvanta.mac) == ("02:00:00:00:01:01", "02:00:00:00:01:02")
    assert (comcast.weight, avvanta.weight, wireless.weight, wireless.fallback) == (2, 1, 0, -1)
    assert (comcast.realm, wireless.realm) == (1, 0)
    assert comcast.loose
    assert wireless.gateway == "detect"
    assert wireless.address is None


def test_comments_and_long_lines() -> None:
    text = "# a comment\n?FORMAT 2\na 1 1 - eth0 \\\n  10.0.0.1 track,primary # why\n\n"
    text += "b 2 - - ppp0 - track,mtu=1400,src=10.0.0.2\n"
    first, second = _providers.read_providers(text)
    assert (first.gateway, first.weight) == ("10.0.0.1", 1)
    assert (second.gateway, second.mark, second.mtu, second.source) == (None, 2, 1400, "10.0.0.2")


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("a 1 1 - eth0 $GW track", "variables"),
        ("a 1 1 - eth0 10.0.0.1 track,load=0.5", "load"),
        ("a 1 1 - eth0 10.0.0.1 tproxy", "tproxy"),
        ("a 1 1 main eth0 10.0.0.1 track", "DUPLICATE"),
        ("a 0 1 - eth0 10.0.0.1 track", "'0'"),
        ("a 1 0x100 - eth0 10.0.0.1 track", "'0x100'"),
        ("a 1 1 - eth0 none track", "default route"),
        ("a 1 1 - eth0 gw.example track", "gw.example"),
        ("a 1 1 - eth0 10.0.0.1 track,balance=x", "'x'"),
        ("a 1 1 - - 10.0.0.1 track", "row"),
        ("?if 1", "variables"),
        ("b 1 1 - eth0 10.0.0.1 track\na 1 2 - eth1 10.0.0.1 track", "number 1 already"),
        ("b 1 1 - eth0 10.0.0.1 track\na 2 1 - eth1 10.0.0.1 track", "mark 1 already"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(row: str, word: str) -> None:
    with pytest.raises(_providers.RefusedError) as refused:
        _providers.read_providers(row)
    assert word in str(refused.value)
    assert str(refused.value).startswith("provider ")


# What is attached


@pytest.mark.parametrize(
    ("links", "attached"),
    [
        ({}, []),
        ({"eth0": Link(False, False, ("172.20.1.130",))}, []),
        ({"eth0": Link(True, True)}, []),
        ({"eth0": Link(True, True, ("172.20.1.99",))}, []),
        ({"eth0": Link(True, False, ("172.20.1.99", "172.20.1.130"))}, ["comcast", "avvanta"]),
        ({"wlan0": Link(True, True, ("172.22.1.50",))}, ["wireless"]),
    ],
)
def test_what_can_have_routes(links: dict[str, Any], attached: list[str]) -> None:
    assert list(at(links=links)[1]) == attached


def test_a_gateway_that_is_not_known_yet() -> None:
    assert "wireless" not in _routes.attach(_providers.read_providers(SHARED), LINKS, {})


# Where traffic goes


def test_all_work() -> None:
    assert lines(set()) == {
        (1, 0): "route replace default via 172.20.1.1 src 172.20.1.130 dev eth0 table 1 realm 1",
        (2, 0): "route replace default via 172.20.1.254 src 172.20.1.130 dev eth0 table 2 realm 2",
        (3, 0): "route replace default via 172.22.1.1 src 172.22.1.50 dev wlan0 table 3",
        (250, 0): "route replace default scope global table 250 nexthop via 172.20.1.1 dev eth0 weight 2 realm 1 "
        "nexthop via 172.20.1.254 dev eth0 weight 1 realm 2",
        (253, 3): "route replace default via 172.22.1.1 src 172.22.1.50 dev wlan0 table 253 metric 3",
        (1001, 0): "route replace default via 172.20.1.1 src 172.20.1.130 dev eth0 table 1001 realm 1",
        (1002, 0): "route replace default via 172.20.1.254 src 172.20.1.130 dev eth0 table 1002 realm 2",
        (1003, 0): "route replace default via 172.22.1.1 src 172.22.1.50 dev wlan0 table 1003",
        (2001, 0): "route replace default via 172.20.1.1 src 172.20.1.130 dev eth0 table 2001 realm 1",
        (2002, 0): "route replace default via 172.20.1.254 src 172.20.1.130 dev eth0 table 2002 realm 2",
        (2003, 0): "route replace default via 172.22.1.1 src 172.22.1.50 dev wlan0 table 2003",
    }


def test_one_is_out() -> None:
    found, usual = lines({"comcast"}), lines(set())
    assert found[1, 0] == "route replace default via 172.20.1.254 src 172.20.1.130 dev eth0 table 1 realm 2"
    assert found[250, 0] == "route replace default via 172.20.1.254 dev eth0 table 250 realm 2"
    changed = {key for key in usual if usual[key] != found[key]}
    assert changed == {(1, 0), (1001, 0), (250, 0)}, "nothing of a working uplink moves, and no probe"


def test_those_that_share_the_load_are_out() -> None:
    found = lines({"comcast", "avvanta"})
    for table in (1, 2, 250):
        assert "via 172.22.1.1 " in found[table, 0]


def test_the_one_in_reserve_is_out() -> None:
    found = lines({"wireless"})
    assert found[3, 0].startswith("route replace default scope global table 3 nexthop via 172.20.1.1 dev eth0 weight 2")
    assert "metric 3 nexthop" in found[253, 3]
    assert "wlan0" in found[2003, 0]


def test_the_articles_way() -> None:
    """One carries everything, the second only what is said to use it, the third is a spare."""
    text = SHARED.replace("loose,balance=2", "loose,balance").replace("avvanta 2 2", "avvanta 2 2").replace(
        "02 track,loose,balance\n", "02 track,loose\n").replace("track,fallback", "track")  # fmt: skip
    assert lines(set(), text)[250, 0] == "route replace default via 172.20.1.1 dev eth0 table 250 realm 1"
    assert "172.20.1.254" in lines({"comcast"}, text)[250, 0]
    assert "wlan0" in lines({"comcast", "avvanta"}, text)[250, 0]


def test_point_to_point() -> None:
    text = "a 1 1 - eth0 172.20.1.1 track,primary\nb 2 2 - ppp0 - track,fallback=2\n"
    found = lines(set(), text)
    assert found[2, 0] == "route replace default dev ppp0 table 2"
    assert found[253, 0] == "route replace default dev ppp0 table 253"
    assert lines({"a"}, text)[1, 0] == "route replace default dev ppp0 table 1"


def test_host_routes_come_before_what_leads_through_them() -> None:
    providers, attached = at()
    found = _routes.plan(providers, attached, (), snapshot(rules=[Rule(999, 254)]))
    kinds = [line.startswith("route replace default") for line in found if line.startswith("route")]
    assert kinds == sorted(kinds)


NAMES = ["comcast", "avvanta", "wireless"]


@given(out=st.sets(st.sampled_from(NAMES)), up=st.sets(st.sampled_from(["eth0", "wlan0"])))
def test_no_route_leads_to_one_that_is_out_while_another_works(out: set[str], up: set[str]) -> None:
    links = {name: replace(LINKS[name], up=name in up) for name in ("eth0", "wlan0")}
    providers, attached = at(links=links)
    working = [each for name, each in attached.items() if name not in out]
    gateways = {each.gateway for each in working}
    for route in _routes.desired_routes(providers, attached, out, set(NAMES)):
        if route.destination == "default" and route.table < _routes.PROBE:
            assert {hop.gateway for hop in route.hops} <= gateways
    if working:
        tables = {route.table for route in _routes.desired_routes(providers, attached, out, set(NAMES))}
        assert {1, 2, 3, 250} <= tables


@given(first=st.sets(st.sampled_from(NAMES)), second=st.sets(st.sampled_from(NAMES)))
def test_a_plan_leads_there_and_then_there_is_nothing_to_do(first: set[str], second: set[str]) -> None:
    """From any state to any other, and back, without a rest."""
    providers, attached = at()
    routes: dict[Any, Any] = {}
    rules = {Rule(999, 254)}
    for out in (first, second, set()):
        now = snapshot(list(routes.values()), sorted(rules, key=str))
        for line in _routes.plan(providers, attached, out, now):
            if line.startswith("rule add "):
                rules.add(_routes.read_rule(line[9:].replace(" suppress_prefixlength 0", ""))
                          if "suppress" not in line else Rule(998, 254, suppress=True))  # fmt: skip
            else:
                assert line.startswith("route replace ")
        for route in _routes.desired_routes(providers, attached, out, now.installed(providers)):
            routes[route.key] = _routes._as_kernel(route)
        now = snapshot(list(routes.values()), sorted(rules, key=str))
        for route in _routes.desired_routes(providers, attached, out, now.installed(providers)):
            routes[route.key] = _routes._as_kernel(route)
        now = snapshot(list(routes.values()), sorted(rules, key=str))
        assert _routes.plan(providers, attached, out, now) == []


def test_while_shorewall_is_stopped_its_tables_are_left_alone() -> None:
    providers, attached = at()
    found = _routes.plan(providers, attached, {"comcast"}, snapshot())
    tables = {line.split(" table ")[1].split()[0] for line in found}
    assert tables == {"1001", "1002", "1003", "2001", "2002", "2003", "250", "254"}
    assert not [line for line in found if line.startswith("route") and " table 250" in line]


def test_rules_of_addresses_that_went_go_and_others_stay() -> None:
    providers, attached = at()
    mine, old = Rule(20000, 3, source="172.22.1.50"), Rule(20000, 3, source="172.22.1.7")
    foreign = Rule(20000, 2, source="10.0.0.9"), Rule(700, 1003, source="10.0.0.9")
    found = _routes.plan(providers, attached, (), snapshot(rules=[Rule(999, 254), mine, old, *foreign]))
    assert [line for line in found if line.startswith("rule del")] == ["rule del from 172.22.1.7 pref 20000 table 3"]
    assert f"rule add {mine.line}" not in found


def test_with_one_provider_everything_of_ours_goes() -> None:
    providers, attached = at()
    rules = [*_routes.standing_rules(providers), Rule(999, 254), Rule(10000, 1, mark=1, mask=255)]
    held = [Route(1001, (Hop("eth0"),)), Route(1, (Hop("eth0"),))]
    found = _routes.plan(providers[:1], attached, (), snapshot(held, rules))
    assert len([line for line in found if line.startswith("rule del")]) == 8
    assert found[-1] == "route flush table 1001"


def test_shadows_are_not_what_shorewall_deletes() -> None:
    """`ip rule del fwmark 0x1/0xff` takes the first rule with this mark and mask."""
    for rule in _routes.standing_rules(_providers.read_providers(SHARED)):
        assert rule.mask != 0xFF
        assert _routes.is_ours(rule)


# What iproute2 prints


def test_a_snapshot_is_read_from_iproute2s_words() -> None:
    text = """[{"dst":"default","gateway":"172.20.1.254","dev":"eth0","table":"1","prefsrc":"172.20.1.130","flags":[],
    "flow":{"to":"2"}},{"dst":"default","table":"250","flags":[],"nexthops":[{"gateway":"172.20.1.254","flow":{"to":"2"},
    "dev":"eth0","weight":3,"flags":[]},{"gateway":"172.20.1.1","flow":{"to":"1"},"dev":"eth0","weight":2,"flags":["dead"]}]},
    {"dst":"default","gateway":"172.22.1.1","dev":"wlan0","table":"253","protocol":"16","metric":1024,"metrics":[{"mtu":1400}]},
    {"type":"2","dst":"127.0.0.1","dev":"lo","table":"255","protocol":"2","scope":"254"}]
    [{"priority":0,"src":"all","table":"255"},{"priority":998,"src":"all","table":"254","suppress_prefixlen":0},
    {"priority":1000,"src":"all","dst":"206.124.146.176","dstlen":31,"table":"2"},
    {"priority":10000,"src":"all","fwmark":"0x1","fwmask":"0xff","table":"1"},{"priority":5,"src":"all","not":null,"table":"7"}]
    [{},{"ifname":"eth0","flags":["UP","LOWER_UP"],"addr_info":[{"family":"inet","local":"169.254.1.1","scope":"253"},
    {"family":"inet","local":"172.20.1.130","scope":"0"}]},{"ifname":"wlan0","flags":["NO-CARRIER","UP"]},
    {"ifname":"ppp0","flags":["UP","LOWER_UP"],"addr_info":[{"family":"inet","local":"10.0.0.2","address":"10.0.0.1","scope":"0"}]}]"""
    now = _kernel.read_snapshot(text)
    assert now.routes[0] == Route(1, (Hop("eth0", "172.20.1.254", 1, 2),), source="172.20.1.130")
    assert now.routes[1].hops == (Hop("eth0", "172.20.1.254", 3, 2), Hop("eth0", "172.20.1.1", 2, 1))
    assert (now.routes[2].metric, now.routes[2].mtu) == (1024, 1400)
    assert len(now.routes) == 3
    assert [rule.priority for rule in now.rules] == [0, 998, 1000, 10000]
    assert now.rules[2] == Rule(1000, 2, destination="206.124.146.176/31")
    assert now.links["eth0"].addresses == ("172.20.1.130", "169.254.1.1")
    assert (now.links["wlan0"].up, now.links["wlan0"].carrier) == (True, False)
    assert now.learned == {"wlan0": "172.22.1.1", "ppp0": "10.0.0.1"}


@pytest.mark.parametrize(
    "line",
    [
        "iif eth0 from 10.1.0.0/16 pref 11000 table 2",
        "from 0.0.0.0/0 to 206.124.146.176/31 pref 1000 table 2",
        "from 172.20.1.130 pref 20000 table 1",
        "from 0.0.0.0/0 fwmark 0x1/0xff pref 10000 table 1",
    ],
)
def test_a_rule_is_read_as_it_is_written(line: str) -> None:
    assert _routes.read_rule(line).line == line


def test_a_rule_that_is_not_understood() -> None:
    script = "start_provider_comcast() {\n\trun_ip rule add oif eth0 pref 5 table 1\n"
    script += "\trun_ip rule add to 10.9.0.0/16 pref 1000 table 1\n}\n"
    provider = _providers.read_providers(SHARED, script)[0]
    assert len(provider.rules) == 2
    attached = _routes.attach([provider], LINKS, {})["comcast"]
    assert [rule.priority for rule in _routes.provider_rules(attached, LINKS["eth0"])] == [10000, 1000]
    with pytest.raises(ValueError, match="oif"):
        _routes.read_rule("oif eth0 pref 5 table 2")
