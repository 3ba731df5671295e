# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which target the next probe goes to."""

from __future__ import annotations

from collections.abc import Iterable

# A target that is silent for so long while another one answers is asked only so often: its silence says nothing.
_DORMANT = 3.0
_SELDOM = 1.0


class Rotation:
    """The targets of one uplink, asked in turn."""

    def __init__(self, targets: Iterable[str], now: float) -> None:
        self.heard = dict.fromkeys(targets, now)
        self._asked = dict.fromkeys(self.heard, float("-inf"))
        self.answers: dict[str, bool | None] = dict.fromkeys(self.heard)
        self._turn = 0

    def answered(self, target: str, now: float) -> None:
        """A target answered."""
        if target in self.heard:
            self.heard[target] = now
            self.answers[target] = True

    def drop(self, target: str) -> None:
        """Ask a target no more."""
        for each in (self.heard, self._asked, self.answers):
            each.pop(target, None)

    def dormant(self, target: str, now: float) -> bool:
        """Whether a target is silent although the uplink works."""
        newest = max(self.heard.values())
        return newest - self.heard[target] > _DORMANT and now - newest < _SELDOM

    def next(self, now: float) -> tuple[str | None, list[str]]:
        """Return the target whose answer counts, and those to be asked beside it."""
        targets = list(self.heard)
        if not targets:
            return None, []
        sleeping = [target for target in targets if self.dormant(target, now)]
        for target in sleeping:
            self.answers[target] = False
        beside = [target for target in sleeping if now - self._asked[target] >= _SELDOM]
        awake = [target for target in targets if target not in sleeping]
        self._turn += 1
        chosen = awake[self._turn % len(awake)]
        for target in (chosen, *beside):
            self._asked[target] = now
        return chosen, beside
