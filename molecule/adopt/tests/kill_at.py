# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host: applies what is staged with the program that the last commit left there, and is killed on its way.

Usage: python3 kill_at.py POINT
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, "/var/lib/kvmnet/guard/guard.pyz")

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply, _exchange, _firewall

HOLD, HELD = Path("/run/kvmnet-hold"), Path("/run/kvmnet-held")


def die(*_arguments: Any) -> NoReturn:
    """Take everything along that was started, as the end of the unit does; the caller gave us a group of our own."""
    os.killpg(0, signal.SIGKILL)
    raise SystemExit("alive")


def exchange_and_die(one: Path, other: Path) -> None:
    """Get as far as the directories."""
    _exchange.__dict__["real_exchange"](one, other)
    die()


def die_before_the_script(_index: Any, first: bool, go_on: bool = False) -> list[str]:
    """Get past what has to happen before the files change, and past the files."""
    return [] if first else die()


def run_and_die(argv: list[str], stdin: str | None = None) -> str:
    """Start the compiled script and wait until one of its extension scripts has come by."""
    subprocess.Popen(argv)
    deadline = time.monotonic() + 60
    while not HELD.exists():
        if time.monotonic() > deadline:
            sys.exit("the script did not come by")
        time.sleep(0.02)
    die()


def main(point: str) -> None:
    """Set the trap and apply."""
    HELD.unlink(missing_ok=True)
    if point == "before the exchange":
        _apply.put_in_place = die
    elif point == "after the exchange":
        _exchange.__dict__["real_exchange"] = _exchange.rename_exchange
        _exchange.rename_exchange = exchange_and_die
    elif point == "before the script":
        _apply.run_steps = die_before_the_script
    else:
        HOLD.write_text(point.rpartition(" ")[2], encoding="utf-8")
        _firewall.run = run_and_die
    try:
        _apply.apply_candidate(Path("/etc/.kvmnet/candidate"))
    finally:
        HOLD.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1])
