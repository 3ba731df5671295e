# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make mistakes and accidents happen in the lab, and print how the host came out of each of them.

Usage: python tests/faults/run.py [--only WORDS] [--repeat N]; `make faults` builds the lab before and removes it after.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from machine import ROOT, Clock, Machine, Outcome, differing, finish
from table import FAULTS, Fault

INVENTORY = ROOT / "molecule/lockout/inventory"
WINDOW = 6
# The host has so long past the window, by its design.
GRACE = 15
_FULL = """\
cp -a /etc/systemd/network /run/network.saved
mount -t tmpfs -o size=64k none /etc/systemd/network
cp -a /run/network.saved/. /etc/systemd/network/
head -c 64k /dev/zero > /etc/systemd/network/.filler || true
"""
_EMPTY = "umount /etc/systemd/network && rm -r /run/network.saved"
_BREAK = """\
cat > /usr/local/sbin/networkctl <<'END'
#!/bin/sh
[ "$1" != reload ] && exec /usr/bin/networkctl "$@"
exit 1
END
chmod +x /usr/local/sbin/networkctl
"""


@dataclass(frozen=True)
class Result:
    """How a host came out of a fault."""

    fault: Fault
    healed: bool
    seconds: float
    layers: int
    note: str


def prepare(machine: Machine, fault: Fault) -> None:
    """Break what the change will need."""
    if fault.event == "break networkctl":
        machine.shell(_BREAK)
    if fault.event == "fill the disk":
        machine.shell(_FULL)


def mend(machine: Machine, fault: Fault) -> None:
    """Take away what was broken for the fault's sake."""
    if fault.event == "break networkctl":
        machine.shell("rm /usr/local/sbin/networkctl")
    if fault.event == "fill the disk":
        machine.shell(_EMPTY)


def _wait(condition: Any, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def happen(machine: Machine, fault: Fault, controller: int) -> None:
    """Let the accident happen at its step of the change."""
    if fault.event in ("", "break networkctl", "fill the disk"):
        return
    if not _wait(lambda: machine.armed, 60):
        raise RuntimeError("the change never began")
    if fault.event == "rollback":
        _wait(lambda: machine.reports("restoring"), 60)
        for _turn in range(3):
            machine.kill("guard.pyz")
            time.sleep(0.25)
        return
    time.sleep(fault.step)
    if fault.event == "controller":
        os.killpg(controller, signal.SIGKILL)
    elif fault.event == "power":
        machine.power_cycle()
    else:
        machine.kill(fault.event)


def suffer(machine: Machine, fault: Fault, before: dict[str, list[str]]) -> Result:
    """Make one change go wrong and look at what is left of it."""
    prepare(machine, fault)
    started = time.monotonic()
    clock = Clock(machine)
    clock.start()
    running = machine.start_change({**fault.variables, "fault_timeout": WINDOW}, fault.outside)
    try:
        happen(machine, fault, running.pid)
    finally:
        outcome = finish(running, started)
    if fault.event == "controller":
        _wait(lambda: not machine.armed, WINDOW + GRACE + 30)
    healed = _wait(machine.reachable, WINDOW + GRACE)
    clock.join(0.5)
    seconds = clock.unconfirmed
    mend(machine, fault)
    after = machine.state()
    wrong = differing(before, after)
    problems = [f"{layer}: {'; '.join(lines[:4])}" for layer, lines in wrong.items()]
    problems += [] if healed else ["out of reach"]
    problems += _said(fault, outcome)
    # While its power is off, a host heals nothing.
    if fault.refused and clock.began is not None:
        problems.append("it was not refused before anything was touched")
    elif not fault.refused and (seconds is None or (seconds > WINDOW + GRACE and fault.event != "power")):
        problems.append(f"it was not over within {WINDOW} + {GRACE} s")
    return Result(fault, not problems, seconds or 0.0, len(before) - len(wrong), " | ".join(problems))


def _said(fault: Fault, outcome: Outcome) -> list[str]:
    """Return what is wrong with how the task ended."""
    if not fault.expect:
        return []
    wrong = []
    if outcome.unreachable or not outcome.failed or outcome.code == 0:
        wrong.append(f"the task ended with failed={outcome.failed} unreachable={outcome.unreachable}")
    if fault.expect not in outcome.text:
        wrong.append(f"it did not say '{fault.expect}': {outcome.text[-1500:]}")
    return wrong


def main() -> int:
    """Go through the table and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="faults whose names hold these words")
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()
    machine = Machine(INVENTORY)
    results = []
    print("SECONDS: from the end of the apply, or its beginning where it had no end, until the host had healed itself")
    print(f"{'FAULT':<32} {'STEP':>5}  {'HEALED':<7} {'SECONDS':>7}  LAYERS")
    for _turn in range(options.repeat):
        for fault in FAULTS:
            if options.only not in fault.name:
                continue
            before = machine.state()
            result = suffer(machine, fault, before)
            results.append(result)
            row = f"{fault.name:<32} {fault.step:>5.1f}  {'yes' if result.healed else 'NO':<7} {result.seconds:>7.1f}  "
            print(f"{row}{result.layers} of {len(before)} {result.note}", flush=True)
    good = sum(result.healed for result in results)
    print(f"{good} of {len(results)} healed")
    return 0 if good == len(results) and results else 1


if __name__ == "__main__":
    sys.exit(main())
