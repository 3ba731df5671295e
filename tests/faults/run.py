# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make mistakes and accidents happen in the lab, and print how the host came out of each of them.

Usage: python tests/faults/run.py [--only EXPRESSION] [--count N]

`make faults` builds the lab before and removes it after.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from accidents import ACCIDENTS, MODULE
from machine import ROOT, Clock, Machine, Outcome, differing, finish
from steps import MARK, UNARMED, wait_for
from table import FAULTS, GOOD, Fault

INVENTORY = ROOT / "molecule/lockout/inventory"
# A controller that needs more than half of it for a new connection is refused.
WINDOW = 10
# The host has so long past the window, by its design.
GRACE = 15
# After a boot, the services that a confirmed change brings up come up in their own time.
SETTLE = 20
# The change that is staged once, and where it is kept.
_RUN = "faults"
_CANDIDATE = "/etc/.kvmnet/candidate"
_KEPT = "/root/kvmnet-faults"
State = dict[str, list[str]]


@dataclass(frozen=True)
class Result:
    """How a host came out of a fault.

    Args:
        fault: what went wrong.
        hit: the step that the change was at when the accident happened.
        healed: the host is as it was, in time, and the controller was told.
        seconds: how long it was not.
        layers: how many layers are as they were.
        note: what is wrong, or worth knowing.
    """

    fault: Fault
    hit: str
    healed: bool
    seconds: float
    layers: int
    note: str


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _is_quiet(machine: Machine) -> bool:
    """Whether nothing of a change is under way: not for a moment between two of its programs either."""
    for _turn in range(5):
        if machine.armed or machine.arming or any(machine.processes(MODULE)):
            return False
        time.sleep(0.3)
    return True


def _settled(machine: Machine, wanted: Iterable[State], seconds: float) -> tuple[State, int]:
    """Return the host's state, and which of the wanted ones it is; the first one if it is none."""
    states = list(wanted)
    end = time.monotonic() + seconds
    while True:
        now = machine.state()
        equal = next((index for index, state in enumerate(states) if not differing(state, now)), None)
        if equal is not None or time.monotonic() > end:
            return now, equal or 0
        time.sleep(0.5)


def changed_state(machine: Machine) -> State:
    """Return the host's state after the change that is right and staged, which is taken back."""
    done = machine.change({**_variables(machine, GOOD, staged=True), "fault_timeout": 20})
    state = machine.state()
    undone = machine.change({"fault_rollback": True, "fault_timeout": 20})
    if done.code or undone.code:
        raise RuntimeError(f"the change that is right does not last: {done.text[-1500:]} {undone.text[-1500:]}")
    return state


def stage(machine: Machine) -> None:
    """Stage the change that most accidents happen to, once for all of them."""
    done = machine.change({**GOOD, "fault_run_id": _RUN, "fault_commit": False})
    if done.code:
        raise RuntimeError(f"the change could not be staged: {done.text[-1500:]}")
    machine.inside(f"rm -rf {_KEPT}; cp -a {_CANDIDATE} {_KEPT}")


def _variables(machine: Machine, wanted: Mapping[str, Any], staged: bool) -> dict[str, Any]:
    """Return what the change is given; where it is staged already, nothing is left but to commit it."""
    variables = {**wanted, "fault_timeout": WINDOW}
    if not staged or any(variables.get(name) != value for name, value in GOOD.items()):
        return variables
    if {name for name in variables if not name.startswith("fault_")} - GOOD.keys():
        return variables
    machine.inside(f"rm -rf {_CANDIDATE}; mkdir -p -m 700 /etc/.kvmnet; cp -a {_KEPT} {_CANDIDATE}")
    return {**variables, "fault_roles": [], "fault_run_id": _RUN}


def suffer(machine: Machine, fault: Fault, before: State, changed: State | None = None, staged: bool = False) -> Result:
    """Make one change go wrong and look at what is left of it.

    Args:
        machine: the host.
        fault: what goes wrong.
        before: its state.
        changed: its state if the change lasts, for a fault after which it may.
        staged: M(stage) was called.
    """
    accident = ACCIDENTS[fault.accident]
    accident.prepare(machine)
    started = time.monotonic()
    clock = Clock(machine)
    clock.start()
    machine.forget()
    running = machine.start_change(_variables(machine, fault.variables, staged), fault.outside)
    hit = ""
    try:
        if fault.step:
            hit = wait_for(machine, fault.step, lambda: running.poll() is None)
            if hit:
                accident.happen(machine)
    finally:
        outcome = finish(running, started)
    problems = [] if hit or not fault.step else [f"it never came to the step '{fault.step}': {outcome.text[-1500:]}"]
    if not accident.leaves_controller:
        _wait(lambda: _is_quiet(machine), WINDOW + 2 * GRACE)
    reachable = _wait(machine.reachable, WINDOW + GRACE)
    problems += [] if reachable else ["out of reach"]
    clock.end()
    after, index = _settled(machine, [before, *([changed] if changed else [])], SETTLE if accident.power else 0)
    wrong = differing(changed if index and changed else before, after)
    accident.mend(machine)
    machine.inside(f"rm -f /{MARK}")
    problems += [f"{layer}: {'; '.join(lines[:4])}" for layer, lines in wrong.items()]
    if accident.leaves_controller:
        problems += _said(fault, outcome, lasted=bool(index))
    problems += _timed(fault, clock, accident.power)
    if index:
        undone = machine.change({"fault_rollback": True, "fault_timeout": 20})
        left = differing(before, machine.state())
        problems += [f"rollback: {undone.text[-1500:]}"] if undone.code else []
        problems += [f"rollback: {layer}: {'; '.join(lines[:4])}" for layer, lines in left.items()]
    note = " | ".join(problems) or ("the new network, whole" if index else "")
    return Result(fault, hit, not problems, clock.unconfirmed or 0.0, len(before) - len(wrong), note)


def _timed(fault: Fault, clock: Clock, power: bool) -> list[str]:
    """Return what is wrong with the time that it took."""
    seconds = clock.unconfirmed
    if fault.refused:
        return [] if clock.began is None else ["it was not refused before anything was touched"]
    if seconds is None:
        return [] if clock.began is None and fault.step in UNARMED else ["it was never over"]
    # While its power is off, a host heals nothing.
    late = seconds > WINDOW + GRACE and not power
    return [f"it was not over within {WINDOW} + {GRACE} s"] if late else []


def _said(fault: Fault, outcome: Outcome, lasted: bool) -> list[str]:
    """Return what is wrong with how the task ended."""
    told = f"failed={outcome.failed} unreachable={outcome.unreachable}: {outcome.text[-1500:]}"
    if outcome.unreachable:
        return [f"the task ended with {told}"]
    if lasted:
        return [] if outcome.code == 0 else [f"the change lasts, and the task ended with {told}"]
    if not outcome.failed or outcome.code == 0:
        return [f"the change was undone, and the task ended with {told}"]
    return [] if fault.expect in outcome.text else [f"it did not say '{fault.expect}': {told}"]


def _recover(machine: Machine, before: State) -> bool:
    """See whether a host that did not heal in time can suffer the next fault."""
    _wait(lambda: _is_quiet(machine), 60)
    if not differing(before, _settled(machine, [before], SETTLE)[0]):
        return True
    machine.change({"fault_rollback": True, "fault_timeout": 20})
    return not differing(before, machine.state())


def _chosen(only: str, count: int | None) -> Iterable[Fault]:
    """Return the faults whose names and steps match, once, or again and again until there are so many."""
    faults = [fault for fault in FAULTS if re.search(only, f"{fault.name}: {fault.step}")]
    return faults if count is None or not faults else itertools.islice(itertools.cycle(faults), count)


def main() -> int:
    """Go through the table and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="a regular expression: faults whose 'name: step' it matches")
    parser.add_argument("--count", type=int, help="go on, or end, when there were so many")
    options = parser.parse_args()
    machine = Machine(INVENTORY)
    results: list[Result] = []
    chosen = list(_chosen(options.only, options.count))
    before = machine.state()
    stage(machine)
    changed = changed_state(machine) if any(fault.lasts for fault in chosen) else None
    print("STEP: where the change was when the accident happened")
    print("SECONDS: from the end of the apply, or its beginning where it had no end, until the host had healed itself")
    print(f"{'FAULT':<33} {'STEP':<10}  {'HEALED':<6} {'SECONDS':>7}  LAYERS")
    for fault in chosen:
        try:
            result = suffer(machine, fault, before, changed if fault.lasts else None, staged=True)
        except subprocess.SubprocessError as error:
            result = Result(fault, fault.step, False, 0.0, 0, str(error))
        results.append(result)
        row = f"{fault.name:<33} {result.hit:<10}  {'yes' if result.healed else 'NO':<6} {result.seconds:>7.1f}  "
        print(f"{row}{result.layers} of {len(before)} {result.note}".rstrip(), flush=True)
        if not result.healed and not _recover(machine, before):
            print("The host does not come back to what it was: the others are left out", flush=True)
            break
    good = sum(result.healed for result in results)
    print(f"{good} of {len(chosen)} healed; layers: {', '.join(before)}")
    return 0 if good == len(chosen) and chosen else 1


if __name__ == "__main__":
    sys.exit(main())
