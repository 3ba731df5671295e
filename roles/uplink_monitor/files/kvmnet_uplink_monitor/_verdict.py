# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an uplink works: a state machine that is fed with probes, answers and the time.

Pure: the time is an argument everywhere, in seconds of a clock that only runs forward.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# A probe without an answer counts as lost, for the share of losses, once it is so old.
_LATE = 1.0
# Round trips make silence look longer: so much is forgiven at most.
_MOST_ALLOWANCE = 0.3
# Of the probes that fit into the time of detection so many must have been sent: a process that slept sent none.
_SENT = 0.7
_FEWEST = 3
# One that went down more often than this in so long a time must hold out twice as long for each further time.
_PARDONED = 3
_FLAPPING = 60.0
_LONGEST_HOLD = 60.0
_CALM_LOSS = 0.5
_CALM_LATENCY = 0.8


@dataclass(frozen=True)
class Thresholds:
    """What counts as dead and as alive again, in seconds; C(loss) is a share, above 1 is off, C(latency) 0 is off."""

    interval: float = 0.1
    down_after: float = 1.0
    up_after: float = 2.0
    window: float = 10.0
    loss: float = 0.5
    latency: float = 0.0


@dataclass
class Probe:
    """One question to a target: its place among all, when it went out, and how long its answer took."""

    number: int
    sent: float
    trip: float | None = None


class Verdict:
    """The state of one uplink.

    One that is up goes down after silence, or when losses or the latency over the window are too high. One that
    is down comes back when answers came for the hold-down without a long gap and, when it was bad rather than silent,
    once a whole window was clearly better.
    """

    def __init__(self, thresholds: Thresholds, now: float, up: bool = True, reason: str = "") -> None:
        self.thresholds = thresholds
        self.up = up
        self.reason = reason
        self.hold = thresholds.up_after
        self._smoothed = 0.0
        self._count = 0
        self._downs: deque[float] = deque(maxlen=16)
        self._bad = False
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._heard = now
        self._last_answered = self._count
        self._streak: float | None = None
        self._since = now
        self._window: deque[Probe] = deque()
        self._looked = now

    def sent(self, now: float) -> Probe:
        """A probe goes out; what is returned is given back with its answer."""
        self._count += 1
        probe = Probe(self._count, now)
        self._window.append(probe)
        while self._window and self._window[0].sent < now - self.thresholds.window - _LATE:
            self._window.popleft()
        return probe

    def answered(self, now: float, probe: Probe) -> None:
        """An answer came."""
        if probe.trip is not None or probe.sent < self._since:
            return
        probe.trip = max(now - probe.sent, 0.0)
        self._smoothed += (probe.trip - self._smoothed) / 8 if self._smoothed else probe.trip
        if probe.sent >= self._heard:
            self._heard = probe.sent
            self._last_answered = probe.number
        if self._streak is None:
            self._streak = now

    @property
    def _patience(self) -> float:
        return min(self._smoothed, _MOST_ALLOWANCE)

    @property
    def deadline(self) -> float:
        """When silence will have lasted too long."""
        return self._heard + self._patience + self.thresholds.down_after if self.up else float("inf")

    def silence(self, now: float) -> float:
        """How long nothing was heard."""
        return max(now - self._heard - self._patience, 0.0)

    def figures(self, now: float) -> tuple[float | None, float | None]:
        """Return the share of losses and the mean round trip over the window, as far as they are known."""
        oldest = now - self.thresholds.window
        settled = [p for p in self._window if p.sent >= oldest and (p.trip is not None or p.sent < now - _LATE)]
        trips = [p.trip for p in settled if p.trip is not None]
        if not settled:
            return None, None
        return 1 - len(trips) / len(settled), sum(trips) / len(trips) if trips else None

    def tick(self, now: float) -> bool:
        """Judge; return whether the verdict changed."""
        return self._judge_up(now) if self.up else self._judge_down(now)

    def _judge_up(self, now: float) -> bool:
        limits = self.thresholds
        silence = self.silence(now)
        enough = max(_FEWEST, int(limits.down_after / limits.interval * _SENT))
        if silence >= limits.down_after and self._count - self._last_answered >= enough:
            return self._go_down(now, f"no answer for {silence:.1f} s", bad=False)
        reason = self._too_bad(now, limits.loss, limits.latency)
        return self._go_down(now, reason, bad=True) if reason else False

    def _too_bad(self, now: float, loss: float, latency: float) -> str:
        """Look at the window, once a second, when it is full."""
        if now < self._looked + 1 or now < self._since + self.thresholds.window + _LATE:
            return ""
        self._looked = now
        lost, trip = self.figures(now)
        if lost is not None and loss <= 1 and lost >= loss:
            return f"{lost:.0%} of the probes lost in {self.thresholds.window:g} s"
        if trip is not None and 0 < latency <= trip:
            return f"round trip {trip * 1000:.0f} ms, mean of {self.thresholds.window:g} s"
        return ""

    def _judge_down(self, now: float) -> bool:
        limits = self.thresholds
        if self._streak is None:
            return False
        if self.silence(now) >= max(limits.down_after / 2, limits.interval * _FEWEST):
            self._streak = None
            return False
        if now - self._streak < self.hold:
            return False
        if self._bad:
            if now < self._since + limits.window + _LATE or now < self._looked + 1:
                return False
            if self._too_bad(now, limits.loss * _CALM_LOSS, limits.latency * _CALM_LATENCY):
                return False
        elif self._share_lost(self._streak, now) >= limits.loss:
            self._streak = now
            return False
        self.up, self.reason = True, f"answers again since {now - self._streak:.1f} s"
        self._begin_window(now)
        return True

    def _share_lost(self, start: float, now: float) -> float:
        settled = [p for p in self._window if p.sent >= start and (p.trip is not None or p.sent < now - self._patience)]
        return sum(p.trip is None for p in settled) / len(settled) if settled else 0.0

    def _begin_window(self, now: float) -> None:
        self._since = self._looked = now
        self._window = deque(probe for probe in self._window if probe.sent >= self._heard)

    def _go_down(self, now: float, reason: str, bad: bool) -> bool:
        self._damp(now)
        self.up, self.reason, self._bad = False, reason, bad
        self._streak = None
        self._since = self._looked = now
        return True

    def _damp(self, now: float) -> None:
        self._downs.append(now)
        recent = sum(down > now - _FLAPPING for down in self._downs)
        usual = self.thresholds.up_after
        self.hold = min(usual * 2 ** max(recent - _PARDONED, 0), max(_LONGEST_HOLD, usual))

    def restart(self, now: float, up: bool, reason: str) -> None:
        """Begin anew: the link went or came, or the address changed."""
        if not up:
            self._damp(now)
        self.up, self.reason, self._bad = up, reason, False
        self._begin(now)
