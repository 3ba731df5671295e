# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""The program that is installed on the host: applies a change, watches over it, and puts everything back.

C(apply) runs as a unit of its own, C(watch) as another, C(stoppost) when that one is stopped by whomever, C(boot)
before the network of the next boot.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._restore import restore
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import (
    APPLY_SECONDS,
    START_SECONDS,
    Transaction,
    now,
    try_exclusive,
)

POLL = 0.2


def apply(transaction: Transaction, candidate: Path, delay: float) -> int:
    """Apply what was armed; put everything back when a step fails."""
    # So that the caller's connection can end first.
    time.sleep(delay)
    started = time.monotonic()
    with _apply.exclusive():
        token = transaction.armed
        index = _apply.load_index(candidate)
        if token is None or index is None:
            return 1
        (transaction.directory / "applier").write_text(f"{os.getpid()}\n", encoding="ascii")
        transaction.extend(APPLY_SECONDS)
        try:
            _apply.run_steps(index, first=True)
            _apply.install_files(candidate, index)
            _apply.run_steps(index, first=False, began=transaction.note_command)
        except (ApplyError, OSError) as error:
            restore(transaction, str(error))
            shutil.rmtree(candidate, ignore_errors=True)
            return 1
        shutil.rmtree(candidate, ignore_errors=True)
        transaction.extend(float(transaction.about()["timeout"]))
        transaction.report(token, "applied", seconds=round(time.monotonic() - started, 2))
    return 0


def reason_to_restore(transaction: Transaction) -> str:
    """Return why a change has to be undone now, or nothing while it may still be confirmed."""
    report = transaction.last_report()
    state = report.get("state")
    late = now() >= transaction.deadline()
    begun = (transaction.directory / "applier").exists()
    if state == "applied":
        timeout = float(transaction.about().get("timeout", 0))
        return f"no new connection confirmed the change within {timeout:g} s" if late else ""
    if begun:
        with try_exclusive() as free:
            # Nobody holds the lock that the applier holds to its end.
            if free and transaction.last_report().get("state") != "applied":
                return "what applied the change was killed"
    if state == "running" and late:
        if begun:
            return f"the change was still being applied after {APPLY_SECONDS} s"
        return ": ".join(filter(None, ("the change was never begun", report.get("error"))))
    return ""


def _end_applier(transaction: Transaction) -> None:
    # It has ended meanwhile, or never said that it began.
    with contextlib.suppress(OSError, ValueError):
        number = int((transaction.directory / "applier").read_text(encoding="ascii"))
        if b"kvmnet" in Path(f"/proc/{number}/cmdline").read_bytes():
            os.kill(number, signal.SIGKILL)


def watch(transaction: Transaction) -> int:
    """Wait until the change is confirmed, or undo it."""
    # It is there before the change is armed, so that no instant is unwatched. Started again, it waits for nothing.
    started = now()
    while transaction.armed is None and transaction.about_to_arm and now() < started + START_SECONDS:
        time.sleep(POLL / 4)
    token = transaction.armed
    while token is not None and transaction.armed == token:
        reason = reason_to_restore(transaction)
        if reason:
            undo(transaction, reason)
            return 0
        time.sleep(POLL)
    return 0


def undo(transaction: Transaction, reason: str, at_boot: bool = False) -> None:
    """Undo a change that is armed, after ending whoever is still at it."""
    with try_exclusive() as free:
        if free:
            restore(transaction, reason, at_boot)
            return
    _end_applier(transaction)
    with _apply.exclusive():
        restore(transaction, reason, at_boot)


def main() -> int:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(description="One change of a host's network that undoes itself unless confirmed.")
    commands = parser.add_subparsers(dest="command", required=True)
    applies = commands.add_parser("apply")
    applies.add_argument("candidate", type=Path)
    applies.add_argument("--delay", type=float, default=0.0)
    commands.add_parser("watch")
    commands.add_parser("stoppost")
    commands.add_parser("boot")
    options = parser.parse_args()
    transaction = Transaction()
    if options.command == "apply":
        return apply(transaction, options.candidate, options.delay)
    if options.command == "watch":
        return watch(transaction)
    if options.command == "boot":
        undo(transaction, "the host was switched off or restarted before the change was confirmed", at_boot=True)
    elif transaction.armed is not None:
        undo(transaction, "what watches over the change was stopped before the change was confirmed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
