# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""What has to happen while the files that go are still there."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import run

STOPPING = ("stop", "disable", "disable-now")
_UNITS = "/etc/systemd/system"


def _unit_goes(name: str, entries: Mapping[str, Mapping[str, Any]]) -> bool:
    stem, dot, suffix = name.rpartition(".")
    template = f"{stem.partition('@')[0]}@{dot}{suffix}"
    return any(entries.get(f"{_UNITS}/{file}", {}).get("state") == "absent" for file in (name, template))


def runs_first(step: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a step runs before the files change: it says so, or stops a unit whose file is about to go."""
    if step["kind"] == "unit":
        return step["args"]["action"] in STOPPING and _unit_goes(step["key"], entries)
    return step["kind"] == "command" and bool(step["args"].get("before"))


def stop_unit(name: str, action: str) -> None:
    """Stop a unit, keep it from starting at boot, or both.

    Raises:
        ApplyError: systemd did not.
    """
    if subprocess.run(["systemctl", "cat", name], capture_output=True, check=False).returncode:
        # A change that failed before its files were in place is put back: the unit never came to be.
        return
    verb, dash, now = action.partition("-")
    run(["systemctl", verb, *([f"--{now}"] if dash else []), name])
