# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's verdict: pure, fed with probes, answers and the time."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from monitor import part

_verdict, _targets, _choice = part("_verdict"), part("_targets"), part("_choice")
Thresholds, Verdict, Rotation = _verdict.Thresholds, _verdict.Verdict, _targets.Rotation
choose_out = _choice.choose_out


class Run:
    """An uplink in simulated time: probes at the pace of the thresholds, each answered after a while or never."""

    def __init__(self, verdict: Any, now: float = 0.0) -> None:
        self.verdict, self.now = verdict, now
        self.changes: list[tuple[float, bool]] = []
        self._flying: list[tuple[float, Any]] = []

    def step(self, answered: bool, trip: float = 0.01) -> None:
        if self.verdict.tick(self.now):
            self.changes.append((self.now, self.verdict.up))
        probe = self.verdict.sent(self.now)
        if answered:
            self._flying.append((self.now + trip, probe))
        self.now += self.verdict.thresholds.interval
        for at, each in [one for one in self._flying if one[0] <= self.now]:
            self.verdict.answered(at, each)
        self._flying = [one for one in self._flying if one[0] > self.now]

    def run(self, seconds: float, share: float = 1.0, trip: float = 0.01, seed: int = 1) -> None:
        dice = random.Random(seed)
        for _probe in range(round(seconds / self.verdict.thresholds.interval)):
            self.step(dice.random() < share, trip)


def test_a_silent_uplink_goes_down_in_time_and_comes_back_after_the_hold_down() -> None:
    run = Run(Verdict(Thresholds(), 0.0))
    run.run(5)
    assert run.changes == []
    begun = run.now
    run.run(5, share=0)
    assert [up for _at, up in run.changes] == [False]
    assert 0.9 <= run.changes[0][0] - begun <= 1.15
    ended = run.now
    run.run(5)
    assert [up for _at, up in run.changes] == [False, True]
    assert 2.0 <= run.changes[1][0] - ended <= 2.25


@pytest.mark.parametrize("trip", [0.001, 0.08, 0.25])
def test_the_round_trip_is_no_silence(trip: float) -> None:
    run = Run(Verdict(Thresholds(), 0.0))
    run.run(60, trip=trip)
    assert run.changes == []
    begun = run.now
    run.run(3, share=0, trip=trip)
    assert run.changes[0][0] - begun <= 1.4


@pytest.mark.parametrize("seed", range(25))
def test_no_flap_in_ten_minutes_with_a_tenth_lost_each_way(seed: int) -> None:
    run = Run(Verdict(Thresholds(), 0.0))
    run.run(600, share=0.81, seed=seed)
    assert run.changes == []


@pytest.mark.parametrize("seed", range(25))
def test_it_comes_back_although_a_tenth_is_lost_each_way(seed: int) -> None:
    run = Run(Verdict(Thresholds(), 0.0))
    run.run(3, share=0)
    ended = run.now
    run.run(10, share=0.81, seed=seed)
    assert run.changes[-1][1]
    assert run.changes[-1][0] - ended <= 6, "an unlucky gap may begin the hold-down anew"


def test_coming_back_under_loss_takes_three_seconds_as_a_rule() -> None:
    late = 0
    for seed in range(200):
        run = Run(Verdict(Thresholds(), 0.0))
        run.run(3, share=0)
        ended = run.now
        run.run(10, share=0.81, seed=seed)
        late += run.changes[-1][0] - ended > 3
    assert late <= 6


def test_many_losses_take_it_down_and_it_stays_out_until_a_window_was_good() -> None:
    run = Run(Verdict(Thresholds(window=5, loss=0.3), 0.0))
    run.run(30, share=0.55, seed=3)
    assert run.changes[0][1] is False
    assert "lost" in run.verdict.reason
    run.run(20)
    assert run.verdict.up
    downs = [at for at, up in run.changes if not up]
    assert len(downs) <= 3


def test_a_slow_uplink_goes_down_when_it_is_asked_to() -> None:
    for latency, up in ((0.0, True), (0.2, False)):
        run = Run(Verdict(Thresholds(latency=latency), 0.0))
        run.run(30, trip=0.25)
        assert run.verdict.up is up
    run.run(15, trip=0.17)
    assert not run.verdict.up, "better, but not clearly"
    run.run(30, trip=0.05)
    assert run.verdict.up


def test_an_uplink_that_flaps_must_hold_out_longer() -> None:
    run = Run(Verdict(Thresholds(), 0.0))
    holds = []
    for _outage in range(7):
        run.run(2, share=0)
        holds.append(run.verdict.hold)
        run.run(run.verdict.hold + 1)
        assert run.verdict.up
    assert holds[:3] == [2.0] * 3
    assert holds[3:5] == [4.0, 8.0]
    run.run(70)
    run.run(2, share=0)
    assert run.verdict.hold == 2.0, "calm for a minute: as at first"


@given(sleep=st.floats(min_value=0.0, max_value=1e6), before=st.floats(min_value=0.5, max_value=20.0))
def test_a_process_that_slept_takes_no_uplink_down(sleep: float, before: float) -> None:
    """A suspended machine, or one so busy that nothing was sent, says nothing about uplinks."""
    run = Run(Verdict(Thresholds(), 0.0))
    run.run(before)
    run.now += sleep
    run.run(5)
    assert run.changes == []


@given(st.lists(st.tuples(st.booleans(), st.floats(min_value=0.0, max_value=3.0)), max_size=400))
@settings(max_examples=60)
def test_whatever_happens(events: list[tuple[bool, float]]) -> None:
    """Changes alternate; down only after real silence, up only after answers for the hold-down."""
    limits = Thresholds(interval=0.1, loss=2.0)
    verdict = Verdict(limits, 0.0)
    now = heard = 0.0
    unanswered = 0
    first_answer: float | None = None
    for answered, gap in events:
        now += gap
        before = verdict.up
        if verdict.tick(now):
            assert verdict.up is not before
            if verdict.up:
                assert first_answer is not None
                assert now - first_answer >= limits.up_after
            else:
                assert now - heard >= limits.down_after
                assert unanswered >= 7
                first_answer = None
        probe = verdict.sent(now)
        unanswered += 1
        if answered:
            verdict.answered(now, probe)
            heard, unanswered = now, 0
            first_answer = now if first_answer is None else first_answer


@given(answers=st.lists(st.booleans(), min_size=1, max_size=300))
def test_an_answer_too_much_changes_nothing(answers: list[bool]) -> None:
    """Answers that come twice, or to a probe before the link went, are not counted."""
    once, twice = Verdict(Thresholds(), 0.0), Verdict(Thresholds(), 0.0)
    for index, answered in enumerate(answers):
        now = index * 0.1
        for verdict in (once, twice):
            verdict.tick(now)
            probe = verdict.sent(now)
            for _time in range((verdict is twice) + 1 if answered else 0):
                verdict.answered(now, probe)
        assert (once.up, once.figures(now)) == (twice.up, twice.figures(now))
    old = once.sent(1000.0)
    once.restart(1001.0, False, "the link came")
    once.answered(1001.5, old)
    once.tick(1004.0)
    assert not once.up


def test_figures() -> None:
    run = Run(Verdict(Thresholds(), 0.0))
    assert run.verdict.figures(0.0) == (None, None)
    run.run(20, share=0.5, trip=0.02, seed=5)
    lost, trip = run.verdict.figures(run.now)
    assert lost == pytest.approx(0.5, abs=0.15)
    assert trip == pytest.approx(0.02)


@given(st.lists(st.floats(min_value=0.0, max_value=100.0), max_size=50), st.floats(min_value=0.05, max_value=1.0))
def test_probes_that_were_slept_through_are_not_made_up_for(late: list[float], interval: float) -> None:
    due = 0.0
    for seconds in late:
        now = due + seconds
        after = part("_service").next_turn(due, interval, now)
        assert now < after <= now + interval
        due = after


# Which target is asked


def test_targets_take_turns() -> None:
    rotation = Rotation(["a", "b"], 0.0)
    asked = [rotation.next(index * 0.1)[0] for index in range(6)]
    assert sorted(asked) == ["a"] * 3 + ["b"] * 3
    assert Rotation([], 0.0).next(0.0) == (None, [])


def test_a_target_that_is_dead_itself_is_asked_seldom_and_wakes_up_again() -> None:
    rotation = Rotation(["alive", "dead"], 0.0)
    counted, beside = [], []
    for index in range(100):
        now = index * 0.1
        chosen, others = rotation.next(now)
        rotation.answered("alive", now)
        if now > 4:
            counted.append(chosen)
            beside += others
    assert set(counted) == {"alive"}
    assert 4 <= len(beside) <= 7
    assert rotation.answers == {"alive": True, "dead": False}
    rotation.answered("dead", 10.0)
    assert {rotation.next(10.0 + index)[0] for index in range(2)} == {"alive", "dead"}


def test_when_all_are_silent_all_are_asked() -> None:
    rotation = Rotation(["a", "b", "c"], 0.0)
    rotation.answered("a", 5.0)
    assert {rotation.next(20.0 + index * 0.1)[0] for index in range(3)} == {"a", "b", "c"}


# Who carries traffic

NAMES = st.sets(st.sampled_from(["a", "b", "c", "d"]), min_size=1)


@given(names=NAMES, works=NAMES, present=NAMES, before=NAMES)
def test_there_is_always_one_left(names: set[str], works: set[str], present: set[str], before: set[str]) -> None:
    present &= names
    works &= present
    before &= names
    out = choose_out(names, works, present, before)
    assert out <= names
    if works:
        assert out == names - works
    elif present:
        assert present - out
        assert choose_out(names, works, present, out) == out, "nothing moves while nothing changes"
    if not present and before != names:
        assert out == before


def test_the_last_one_that_worked_goes_on() -> None:
    both = {"comcast", "avvanta"}
    out = choose_out(both, {"avvanta"}, both, ())
    assert out == {"comcast"}
    assert choose_out(both, (), both, out) == {"comcast"}
    assert choose_out(both, (), {"comcast"}, out) == {"avvanta"}, "the only one with a link is used, working or not"
