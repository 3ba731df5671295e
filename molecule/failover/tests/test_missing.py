# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cables that are pulled out, hosts without any provider, and the laptop of the article on the road."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

MODES = ("shared", "macvlan", "separate")
Results = dict[str, Any]
Everywhere = Callable[[Callable[[Any], Any]], Results]
modes_of_all = pytest.mark.parametrize("name", MODES)


def defaults(mode: Any, table: str) -> list[str]:
    """The gateways of a table's default route."""
    found = []
    for route in json.loads(mode.host.run(f"ip -4 -j route show default table {table}").stdout or "[]"):
        hops = route.get("nexthops", [route])
        found += [hop.get("gateway", "") for hop in hops]
    return found


@pytest.fixture(scope="module")
def before(everywhere: Everywhere, sampled: None) -> Results:
    """Rules and routes when all is well."""
    everywhere(lambda mode: mode.waits_for("up", "up"))
    return everywhere(lambda mode: mode.routing())


class TestCable:
    """The card of the first provider loses its carrier for some seconds. Two of the hosts have no other card."""

    @pytest.fixture(scope="class")
    @classmethod
    def pulled(cls, before: Results, everywhere: Everywhere) -> Results:
        def happen(mode: Any) -> Results:
            with mode.traffic() as traffic:
                time.sleep(3)
                cut = mode.cable("eth0", "down")
                mode.settles(lambda: mode.states().get(mode.first) in ("down", "absent"))
                time.sleep(5)
                meanwhile = defaults(mode, "250")
                plugged = mode.cable("eth0", "up")
                took = mode.waits_for("up", "up") - plugged
                routing = mode.settled(before[mode.name])
                back = time.monotonic()
                time.sleep(3)
            found = {"mode": mode, "traffic": traffic, "cut": cut, "meanwhile": meanwhile, "took": took}
            return {**found, "plugged": plugged, "routing": routing, "back": back}

        return everywhere(happen)

    def test_the_other_card_takes_over(self, pulled: Results, figure: Callable[[str], None]) -> None:
        found = pulled["separate"]
        mode, traffic = found["mode"], found["traffic"]
        good, bad = mode.outside[mode.second], mode.outside[mode.first]
        during = [entry for entry in traffic.fresh if found["cut"] <= entry[0] < found["plugged"]]
        moved = max((begun for begun, client, took in during if client != good or took > 0.5), default=found["cut"])
        figure(f"separate: new connections noticed for {moved - found['cut']:.2f} s that a cable was pulled")
        assert {client for begun, client, _unused in during if begun > found["cut"] + 4} == {good}
        flows = [flow for flow in traffic.flows if flow["client"] == good]
        assert flows
        assert [flow for flow in flows if flow["ended"] or flow["asked"] != flow["answered"]] == []
        assert {flow["ended"] for flow in traffic.flows if flow["client"] == bad} <= {"ConnectionResetError", ""}

    @pytest.mark.parametrize("name", ["shared", "macvlan"])
    def test_the_last_provider_is_never_disabled(self, pulled: Results, name: str) -> None:
        assert pulled[name]["meanwhile"]

    @modes_of_all
    def test_the_routing_is_what_it_was(
        self, pulled: Results, before: Results, figure: Callable[[str], None], name: str
    ) -> None:
        figure(f"{name}: back {pulled[name]['took']:.1f} s after the cable was plugged in")
        assert pulled[name]["routing"] == before[name]

    @modes_of_all
    def test_traffic_is_shared_again(self, pulled: Results, name: str) -> None:
        found = pulled[name]
        assert found["traffic"].seen(after=found["back"]) == set(found["mode"].outside.values())


class TestNobody:
    """All gateways are dead: one host is switched on so, the others go on."""

    @pytest.fixture(scope="class")
    @classmethod
    def alone(cls, before: Results, everywhere: Everywhere, power_cycle: Any) -> Results:
        modes = everywhere(lambda mode: mode)
        everywhere(lambda mode: mode.gateways("down"))
        everywhere(lambda mode: mode.settles(lambda: "down" in mode.states().values()))
        kept = everywhere(lambda mode: defaults(mode, "250"))
        old = modes["shared"].samples()
        power_cycle("shared")
        shared = modes["shared"]
        begun, up = shared.started()
        found = {"kept": kept, "start": up - begun, "old": old, "new": shared.samples()}
        everywhere(lambda mode: mode.gateways("up"))
        everywhere(lambda mode: mode.waits_for("up", "up"))
        found["routing"] = everywhere(lambda mode: mode.settled(before[mode.name]))
        return found

    @modes_of_all
    def test_the_routes_stay(self, alone: Results, name: str) -> None:
        assert alone["kept"][name]

    def test_the_firewall_starts_without_any_provider(self, alone: Results, figure: Callable[[str], None]) -> None:
        figure(f"shared: started in {alone['start']:.2f} s with no gateway alive")
        assert alone["start"] < 10

    def test_nothing_was_open_at_any_instant(self, alone: Results, figure: Callable[[str], None]) -> None:
        for samples in (alone["old"], alone["new"]):
            assert len(samples) > 20
            assert [sample for sample in samples if "accept" in sample[1] and sample[2]] == []
        figure(f"shared: {len(alone['old'])} samples until the power cut, {len(alone['new'])} since")

    @modes_of_all
    def test_all_is_well_when_they_come_back(self, alone: Results, before: Results, name: str) -> None:
        assert alone["routing"][name] == before[name]


class TestRoad:
    """The third provider of the article: on a card that has a network only now and then."""

    @pytest.fixture(scope="class")
    @classmethod
    def laptop(cls, before: Results, everywhere: Everywhere) -> Any:
        return everywhere(lambda mode: mode)["shared"]

    @pytest.fixture(scope="class")
    @classmethod
    def travelled(cls, laptop: Any, before: Results, station: Any, power_cycle: Any) -> Results:
        """At home; in range of a network; on the road, where there is no wire; and home again."""
        outside = str(station("shared-wlan0").addresses("wan")[0])
        found: Results = {"outside": outside, "at home": laptop.states()}
        laptop.cable("wlan0", "up")
        laptop.settles(lambda: laptop.states().get("wireless") == "up")
        found["in range"] = laptop.states()
        found["its table"] = defaults(laptop, "wireless")
        with laptop.traffic() as traffic:
            time.sleep(2)
        found["beside the wire"] = traffic.seen()
        laptop.cable("eth0", "down")
        laptop.settles(lambda: laptop.states().get("comcast") != "up" and laptop.states().get("avvanta") != "up")
        time.sleep(2)
        with laptop.traffic() as traffic:
            time.sleep(3)
        found["on the road"] = traffic.seen()
        wait = laptop.booted_with({"eth0": "down", "wlan0": "up"})
        power_cycle("shared")
        wait()
        begun, up = laptop.started()
        found["start"] = up - begun
        laptop.settles(lambda: laptop.states().get("wireless") == "up")
        with laptop.traffic() as traffic:
            time.sleep(3)
        found["switched on there"] = traffic.seen()
        found["samples"] = laptop.samples()
        laptop.cable("eth0", "up")
        laptop.waits_for("up", "up")
        laptop.cable("wlan0", "down")
        laptop.settles(lambda: laptop.states().get("wireless") != "up")
        with laptop.traffic() as traffic:
            time.sleep(3)
        found["home again"] = traffic.seen()
        power_cycle("shared")
        begun, up = laptop.started()
        found["start at home"] = up - begun
        laptop.waits_for("up", "up")
        found["samples at home"] = laptop.samples()
        found["routing"] = laptop.settled(before["shared"])
        return found

    def test_it_is_absent_without_a_network(self, travelled: Results) -> None:
        assert travelled["at home"] == {"comcast": "up", "avvanta": "up", "wireless": "absent"}

    def test_it_joins(self, travelled: Results) -> None:
        assert travelled["in range"] == {"comcast": "up", "avvanta": "up", "wireless": "up"}
        assert len(travelled["its table"]) == 1

    def test_it_waits_while_there_is_a_wire(self, travelled: Results, laptop: Any) -> None:
        assert travelled["beside the wire"] == set(laptop.outside.values())

    def test_on_the_road_it_takes_everything(self, travelled: Results) -> None:
        assert travelled["on the road"] == {travelled["outside"]}

    def test_it_can_be_switched_on_there(self, travelled: Results, figure: Callable[[str], None]) -> None:
        figure(f"shared: started in {travelled['start']:.2f} s on the road")
        assert travelled["switched on there"] == {travelled["outside"]}
        assert len(travelled["samples"]) > 20
        assert [sample for sample in travelled["samples"] if "accept" in sample[1] and sample[2]] == []

    def test_home_again_it_leaves(self, travelled: Results, laptop: Any) -> None:
        assert travelled["home again"] == set(laptop.outside.values())

    def test_switched_on_at_home_nothing_is_left_of_the_journey(
        self, travelled: Results, before: Results, figure: Callable[[str], None]
    ) -> None:
        figure(f"shared: started in {travelled['start at home']:.2f} s with both gateways alive")
        assert travelled["start at home"] < 10
        assert len(travelled["samples at home"]) > 20
        assert [sample for sample in travelled["samples at home"] if "accept" in sample[1] and sample[2]] == []
        assert travelled["routing"] == before["shared"]
