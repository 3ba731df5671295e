# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Providers die and come back: who notices, who does not, and what survives a reload, a run of ours and a power cut.

The proofs follow each other as the events do. Times are printed; their limits here are generous, because other things
run on the machine; tests/benchmark/failover measures them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

MODES = ("shared", "macvlan", "separate")
INVENTORY = "molecule/failover/inventory"
Results = dict[str, Any]
Everywhere = Callable[[Callable[[Any], Any]], Results]
Figure = Callable[[str], None]
modes_of_all = pytest.mark.parametrize("name", MODES)


def gone_before(flows: list[Results], address: str) -> list[Results]:
    """The conversations that left under an address."""
    found = [flow for flow in flows if flow["client"] == address]
    assert found, f"no conversation through {address}: nothing would be proven"
    return found


def opened(samples: list[Any]) -> list[Any]:
    """The samples in which a link was up and the firewall would have let something in or through."""
    assert len(samples) > 20
    return [sample for sample in samples if "accept" in sample[1] and sample[2]]


@pytest.fixture(scope="module")
def before(everywhere: Everywhere, sampled: None) -> dict[str, str]:
    """Rules and routes when all is well."""
    everywhere(lambda mode: mode.waits_for("up", "up"))
    return everywhere(lambda mode: mode.routing())


@pytest.fixture(scope="module")
def outage(before: dict[str, str], everywhere: Everywhere) -> Results:
    """The better provider of each host swallows everything, silently, while people talk."""

    def happen(mode: Any) -> Results:
        with mode.traffic() as traffic:
            time.sleep(4)
            cut = mode.blackhole(mode.first)
            noticed = mode.waits_for("down", "up")
            time.sleep(8)
        good, bad = mode.outside[mode.second], mode.outside[mode.first]
        return {"cut": cut, "noticed": noticed, "traffic": traffic, "good": good, "bad": bad}

    return everywhere(happen)


class TestOutage:
    """A silent blackhole behind the first hop."""

    @modes_of_all
    def test_new_connections_leave_the_dead_uplink(self, figure: Figure, outage: Results, name: str) -> None:
        found = outage[name]
        moved = found["traffic"].noticed(found["good"], after=found["cut"])
        figure(f"{name}: new connections noticed for {moved:.2f} s that an uplink had died")
        assert found["traffic"].seen() >= {found["good"], found["bad"]}
        assert found["traffic"].seen(after=found["cut"] + 6) == {found["good"]}

    @modes_of_all
    def test_conversations_on_the_healthy_uplink_notice_nothing(
        self, figure: Figure, outage: Results, name: str
    ) -> None:
        flows = gone_before(outage[name]["traffic"].flows, outage[name]["good"])
        worst = max(flow["worst"] for flow in flows)
        figure(f"{name}: {len(flows)} conversations, slowest answer {worst * 1000:.0f} ms")
        assert [flow for flow in flows if flow["ended"] or flow["asked"] != flow["answered"]] == []

    @modes_of_all
    def test_conversations_on_the_dead_uplink_are_told_so(self, figure: Figure, outage: Results, name: str) -> None:
        """Reset when they next say something, not left to hang until they lose patience."""
        flows = gone_before(outage[name]["traffic"].flows, outage[name]["bad"])
        ends = [flow["at"] - outage[name]["cut"] for flow in flows if flow["ended"]]
        first, last = min(ends, default=0), max(ends, default=0)
        figure(f"{name}: {len(flows)} conversations, reset {first:.1f} to {last:.1f} s after it died")
        assert {flow["ended"] for flow in flows} == {"ConnectionResetError"}


class TestWhileItIsOut:
    """What else happens to a host meanwhile does not bring the dead uplink back."""

    @pytest.fixture(scope="class")
    @classmethod
    def unchanged(cls, outage: Results, site_playbook: Any) -> dict[str, int]:
        return site_playbook(INVENTORY)

    @pytest.fixture(scope="class")
    @classmethod
    def reloaded(cls, unchanged: dict[str, int], everywhere: Everywhere) -> Results:
        def happen(mode: Any) -> Results:
            with mode.traffic() as traffic:
                time.sleep(1)
                begun = time.monotonic()
                mode.host.check_output("shorewall reload")
                took = time.monotonic() - begun
                time.sleep(1)
            return {"traffic": traffic, "took": took, "good": mode.outside[mode.second], "states": mode.states()}

        return everywhere(happen)

    @pytest.fixture(scope="class")
    @classmethod
    def cold(cls, reloaded: Results, everywhere: Everywhere, power_cycle: Any) -> Results:
        old = everywhere(lambda mode: mode.samples())
        power_cycle(*MODES)

        def look(mode: Any) -> Results:
            begun, up = mode.started()
            with mode.traffic() as traffic:
                time.sleep(3)
            return {
                "traffic": traffic,
                "start": up - begun,
                "good": mode.outside[mode.second],
                "states": mode.states(),
                "before": old[mode.name],
                "samples": mode.samples(),
            }

        return everywhere(look)

    def test_a_run_of_ours_changes_nothing(self, unchanged: dict[str, int]) -> None:
        assert unchanged == dict.fromkeys(MODES, 0)

    @modes_of_all
    def test_a_reload_keeps_it_out(self, figure: Figure, reloaded: Results, name: str) -> None:
        found = reloaded[name]
        figure(f"{name}: reloaded in {found['took']:.1f} s, compiler included")
        assert found["traffic"].seen() == {found["good"]}
        assert "down" in found["states"].values()

    @modes_of_all
    def test_a_power_cut_keeps_it_out(self, cold: Results, name: str) -> None:
        assert cold[name]["traffic"].seen() == {cold[name]["good"]}
        assert "down" in cold[name]["states"].values()

    @modes_of_all
    def test_the_firewall_starts_all_the_same(self, figure: Figure, cold: Results, name: str) -> None:
        figure(f"{name}: started in {cold[name]['start']:.2f} s with one provider dead")
        assert cold[name]["start"] < 10

    @modes_of_all
    def test_nothing_was_open_at_any_instant(self, figure: Figure, cold: Results, name: str) -> None:
        before, after = cold[name]["before"], cold[name]["samples"]
        figure(f"{name}: {len(before)} samples until the power cut, {len(after)} since")
        assert opened(before) == []
        assert opened(after) == []
        assert not after[0][2], "the sampler came too late to see the network come up"


class TestRecovery:
    """It works again."""

    @pytest.fixture(scope="class")
    @classmethod
    def back(cls, outage: Results, before: dict[str, str], everywhere: Everywhere) -> Results:
        def happen(mode: Any) -> Results:
            with mode.traffic() as traffic:
                time.sleep(2)
                healed = mode.heal(mode.first)
                took = mode.waits_for("up", "up") - healed
                routing = mode.settled(before[mode.name])
                settled = time.monotonic()
                time.sleep(4)
            return {"traffic": traffic, "took": took, "routing": routing, "settled": settled, "mode": mode}

        return everywhere(happen)

    @modes_of_all
    def test_the_routing_is_what_it_was(self, figure: Figure, back: Results, before: dict[str, str], name: str) -> None:
        figure(f"{name}: back {back[name]['took']:.1f} s after its provider")
        assert back[name]["routing"] == before[name]

    @modes_of_all
    def test_new_connections_are_shared_again(self, back: Results, name: str) -> None:
        mode = back[name]["mode"]
        assert back[name]["traffic"].seen(after=back[name]["settled"]) == set(mode.outside.values())

    @modes_of_all
    def test_conversations_stay_where_they_are(self, back: Results, name: str) -> None:
        flows = gone_before(back[name]["traffic"].flows, back[name]["mode"].outside[back[name]["mode"].second])
        assert [flow for flow in flows if flow["ended"] or flow["asked"] != flow["answered"]] == []
