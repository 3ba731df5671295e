# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a change, as they can be seen from outside while it is under way.

A change of the table makes the bridge C(br9), and a command of its own leaves a mark, so that each step shows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from machine import Machine

MARK = "run/kvmnet-fault"
_NEW_FILE = "etc/systemd/network/50-kvmnet-br9.netdev"
_NEW_LINK = "sys/class/net/br9"
_PAUSE = 0.005


def _undoing(machine: Machine) -> bool:
    return machine.reports("restoring")


# In the order in which they come; each one holds on until a later one takes its place.
_SEEN: dict[str, Callable[[Machine], bool]] = {
    "arming": lambda machine: machine.arming,
    "saved": lambda machine: machine.has("transaction/about.json") and not machine.armed and machine.arming,
    "armed": lambda machine: machine.armed,
    "begun": lambda machine: machine.armed and machine.has("transaction/applier"),
    "files": lambda machine: machine.armed and machine.exists(_NEW_FILE),
    "links": lambda machine: machine.armed and machine.exists(_NEW_LINK),
    "firewall": lambda machine: machine.armed and any(machine.processes(r"/var/lib/shorewall6?/firewall ")),
    "commands": lambda machine: machine.armed and machine.exists(MARK),
    "applied": lambda machine: machine.reports("applied"),
    "restoring": _undoing,
    "refiled": lambda machine: _undoing(machine) and not machine.exists(_NEW_FILE),
    "relinked": lambda machine: _undoing(machine) and not machine.exists(_NEW_LINK),
    # Another branch: a connection got through.
    "confirming": lambda machine: (
        not machine.armed and machine.has("transaction/about.json") and machine.says("applied")
    ),
}
STEPS = tuple(_SEEN)
# Nothing is touched yet, and nothing would be undone.
UNARMED = ("arming", "saved")
APPLYING = ("armed", "begun", "files", "links", "firewall", "commands", "applied")
UNDOING = ("restoring", "refiled", "relinked")


def reached(machine: Machine) -> str:
    """Return the step that the change is at."""
    return next((name for name in reversed(STEPS) if _SEEN[name](machine)), "")


def wait_for(machine: Machine, step: str, going_on: Callable[[], bool], seconds: float = 90) -> str:
    """Wait until the change has come to a step.

    Args:
        machine: the host that is changed.
        step: the step; one that passed unseen is as good.
        going_on: whether the change is still under way.
        seconds: how long to wait.

    Returns:
        The step that it is at, or nothing when it never came there.
    """
    end = time.monotonic() + seconds
    later = STEPS[STEPS.index(step) + 1 :]
    while time.monotonic() < end:
        if _SEEN[step](machine):
            return step
        if passed := [name for name in later if name != "firewall" and _SEEN[name](machine)]:
            return passed[-1]
        if not going_on():
            return ""
        time.sleep(_PAUSE)
    return ""
