# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Units: how each one is now, and the least that has to happen to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import run
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change

from ._request import ACTIONS, touches

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ._request import UnitWant

NETWORKD = "systemd-networkd.service"
_PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState")
# Masking and unmasking come first: what is masked holds a port, or cannot be started.
_MASK_LEAD = 5
_DONE = ("enabled", "static", "alias", "indirect", "generated", "linked")


@dataclass(frozen=True)
class UnitState:
    """A unit as systemd sees it."""

    known: bool
    active: bool
    enabled: bool
    masked: bool


@dataclass(frozen=True)
class Step:
    """A step of the candidate."""

    kind: str
    key: str
    order: int
    args: Mapping[str, object]


@dataclass(frozen=True)
class Outcome:
    """What happens to one unit: nothing, when both are empty."""

    steps: tuple[Step, ...]
    change: Change | None


def parse_states(names: Iterable[str], text: str) -> dict[str, UnitState]:
    """Read the answer of C(systemctl show): one block for each name, in the order asked for."""
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.strip().split("\n\n")
    ]
    return {
        name: UnitState(
            known=block.get("LoadState") != "not-found",
            active=block.get("ActiveState") in ("active", "activating", "reloading"),
            enabled=block.get("UnitFileState") in _DONE,
            masked=block.get("LoadState") == "masked" or block.get("UnitFileState") == "masked",
        )
        for name, block in zip(names, blocks, strict=True)
    }


def read_states(names: Collection[str]) -> dict[str, UnitState]:
    """Ask systemd for all units at once.

    Raises:
        ApplyError: systemd did not answer.
    """
    if not names:
        return {}
    return parse_states(names, run(["systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--", *names]))


def triggered(want: UnitWant, paths: Iterable[str]) -> tuple[str, list[str]] | None:
    """Return the strongest action that changed files call for, and those of the files that do."""
    changed = list(paths)
    strongest: tuple[str, list[str]] | None = None
    for action in ACTIONS:
        because = [
            path
            for path in changed
            for trigger in want.triggers
            if trigger.action == action and touches(trigger.paths, path)
        ]
        if because:
            strongest = action, because
    return strongest


def _act(want: UnitWant, action: str) -> Step:
    if want.name == NETWORKD:
        # Its own step waits for links as well, and is shared with the modules that stage links.
        return Step("networkd", "networkd", 30, {"restart": action == "restart"})
    return Step("unit", want.name, want.order, {"action": action})


def _systemctl(want: UnitWant, verb: str, undo: str, order: int) -> Step:
    argv = {name: ["systemctl", word, want.name] for name, word in (("argv", verb), ("undo", undo))}
    return Step("command", f"{verb} {want.name}", order, argv)


def _silence(want: UnitWant, state: UnitState) -> Outcome:
    """Return what keeps a unit from running, now and later."""
    steps, options = [], {}
    if not state.masked:
        steps.append(_systemctl(want, "mask", "unmask", want.order - _MASK_LEAD))
        options["masked"] = (False, True)
    if state.active:
        # After the mask, so that the undo unmasks it before it starts it.
        steps.append(_systemctl(want, "stop", "start", want.order - _MASK_LEAD + 1))
        options["running"] = (True, False)
    return Outcome(tuple(steps), Change("change", "unit", want.name, options) if steps else None)


def _dismiss(want: UnitWant, state: UnitState) -> Outcome:
    """Return what ends a unit while systemd still knows it."""
    action = {(True, True): "disable-now", (True, False): "stop", (False, True): "disable"}.get(
        (state.active, state.enabled)
    )
    if action is None:
        return Outcome((), None)
    options: dict[str, tuple[object, object]] = {}
    options |= {"enabled": (True, False)} if state.enabled else {}
    options |= {"running": (True, False)} if state.active else {}
    step = Step("unit", want.name, want.order, {"action": action})
    return Outcome((step,), Change("change", "unit", want.name, options))


def decide(want: UnitWant, state: UnitState, paths: Iterable[str], goes: bool = False) -> Outcome:
    """Decide the least that has to happen to a unit.

    Args:
        want: how it should be, and what it does when files change.
        state: how it is.
        paths: the files that change.
        goes: whether its own file is one that goes.
    """
    if goes and not want.enabled and not want.started:
        return _dismiss(want, state)
    if want.masked:
        return _silence(want, state)
    steps: list[Step] = []
    options: dict[str, tuple[object, object]] = {}
    if want.masked is False and state.masked:
        steps.append(_systemctl(want, "unmask", "mask", want.order - _MASK_LEAD))
        options["masked"] = (True, False)
    switch = want.enabled is not None and want.enabled != state.enabled
    turn = want.started is not None and want.started != state.active
    if switch:
        options["enabled"] = (state.enabled, want.enabled)
    if turn:
        options["running"] = (state.active, want.started)
    if switch and turn and want.enabled == want.started:
        steps.append(Step("unit", want.name, want.order, {"action": "enable-now" if want.enabled else "disable-now"}))
    else:
        if switch:
            verbs = ("enable", "disable") if want.enabled else ("disable", "enable")
            steps.append(_systemctl(want, *verbs, want.order))
        if turn:
            steps.append(Step("unit", want.name, want.order, {"action": "start" if want.started else "stop"}))
    note = ""
    call = triggered(want, paths)
    # A unit that is not running reads the new files when it starts.
    if call is not None and state.active and not turn:
        action, because = call
        steps.append(_act(want, action))
        note = f"{action}, because {', '.join(because)} {'changes' if len(because) == 1 else 'change'}"
    return Outcome(tuple(steps), Change("change", "unit", want.name, options, note) if steps else None)
