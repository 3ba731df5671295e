# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""How a unit stands before a change, and what brings it back there."""

from __future__ import annotations

import subprocess


def _says(question: str, unit: str) -> str:
    argv = ["systemctl", question, unit]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def is_active(unit: str) -> bool:
    """Whether a unit runs, or is about to."""
    return _says("is-active", unit) in ("active", "activating", "reloading")


def is_enabled(unit: str) -> bool:
    """Whether a unit starts at boot."""
    return _says("is-enabled", unit) in ("enabled", "enabled-runtime")


def is_masked(unit: str) -> bool:
    """Whether a unit is kept from being started at all."""
    return _says("is-enabled", unit) in ("masked", "masked-runtime")


def unit_inverse(action: str, unit: str) -> str | None:
    """Return what undoes an action on a unit as it stands now, or None where the action changes nothing.

    What runs with files that are put back starts again with them.
    """
    if action in ("mask", "unmask"):
        there, back = is_masked(unit) == (action == "mask"), "unmask" if action == "mask" else "mask"
        return None if there else back
    if action in ("restart", "reload-or-restart"):
        return action if is_active(unit) else "stop"
    verb, _dash, now = action.partition("-")
    if verb not in ("enable", "disable", "start", "stop"):
        return action
    on = verb in ("enable", "start")
    starts = (now or verb in ("start", "stop")) and is_active(unit) != on
    boots = verb in ("enable", "disable") and is_enabled(unit) != on
    if starts and boots:
        return "disable-now" if on else "enable-now"
    if starts:
        return "stop" if on else "start"
    return ("disable" if on else "enable") if boots else None
