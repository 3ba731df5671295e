# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""How the applier runs other programs, and how it says what went wrong."""

from __future__ import annotations

import re
import subprocess
import time

COMMAND_TIMEOUT = 120
BUSY_TIMEOUT = 5.0
BUSY_PAUSE = 0.05
_BUSY = re.compile(r"(?i)resource busy|in use by a kernel component")


class ApplyError(Exception):
    """A step failed; the text says which, and what the program said."""


def run(argv: list[str], stdin: str | None = None, timeout: float = COMMAND_TIMEOUT) -> str:
    """Run a program and return its standard output.

    Raises:
        ApplyError: it could not be started, timed out or returned other than 0.
    """
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplyError(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise ApplyError(f"{' '.join(argv)} returned {done.returncode}: {said}")
    return done.stdout


def run_ipset(argv: list[str], stdin: str | None = None) -> str:
    """Run ipset, again for a while when the kernel is busy: somebody who lists a set keeps it from being swapped.

    What is restored can be so from the beginning: it fills a set beside the one in use.

    Raises:
        ApplyError: from M(run).
    """
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            return run(["ipset", *argv], stdin)
        except ApplyError as error:
            if not _BUSY.search(str(error)) or time.monotonic() >= deadline:
                raise
        time.sleep(BUSY_PAUSE)
