# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed at any of its steps, or hanging, a change comes to an end."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import (
    _apply,
    _commit,
    _transaction,
    _watch,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import Transaction

from .conftest import NEW, OLD, TOKEN, Clock, begin, files


class Killed(BaseException):
    """What a kill -9 is to a test: nothing handles it."""


def _kill_at(monkeypatch: pytest.MonkeyPatch, count: int) -> list[int]:
    """Let the process die before one of the changes that it makes to the disk; return which of them it got to."""
    reached = [0]

    def mortal(action: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            reached[0] += 1
            if reached[0] == count:
                raise Killed
            return action(*arguments, **named)

        return call

    for name in ("rename", "unlink", "rmdir", "mkdir"):
        monkeypatch.setattr(Path, name, mortal(getattr(Path, name)))
    return reached


@pytest.mark.parametrize("what", ["apply", "undo", "confirm", "undo twice"])
def test_a_kill_at_any_step_ends_in_the_old_or_the_new(
    transaction: Transaction, candidate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    begin(transaction, candidate)
    saved = tmp_path / "saved"
    _copy(tmp_path, saved)
    count, done = 0, False
    ends = set()
    while not done:
        count += 1
        _copy(saved, tmp_path)
        done, end = _one_kill(transaction, candidate, tmp_path, monkeypatch, what, count)
        ends.add(end)
    assert count > 4
    assert ends == ({"new"} if what == "confirm" else {"old", "new"} if what == "apply" else {"old"})


def _copy(source: Path, target: Path) -> None:
    for name in ("etc", "guard", "candidate"):
        shutil.rmtree(target / name, ignore_errors=True)
        if (source / name).exists():
            shutil.copytree(source / name, target / name)


def _one_kill(
    transaction: Transaction,
    candidate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    count: int,
) -> tuple[bool, str]:
    if what != "apply":
        _watch.apply(transaction, candidate, 0)
    done = False
    with monkeypatch.context() as patched:
        _kill_at(patched, count)
        try:
            if what == "apply":
                _watch.apply(transaction, candidate, 0)
            elif what == "confirm":
                transaction.confirm(TOKEN)
            else:
                _watch.undo(transaction, "the first reason")
            done = True
        except Killed:
            pass
    # Whoever comes next: the watcher after an applier or itself, the controller's next try after a confirmation.
    if what == "confirm":
        report = _commit.result(TOKEN, confirm=True)
        assert report["state"] == "confirmed"
    elif transaction.armed is not None and not (what == "apply" and transaction.last_report()["state"] == "applied"):
        if what == "undo twice":
            with monkeypatch.context() as patched:
                _kill_at(patched, 3)
                with pytest.raises(Killed):
                    _watch.undo(transaction, "the second reason")
        _watch.undo(transaction, "the last reason")
        assert transaction.last_report()["state"] == "restored"
        assert transaction.last_report()["left"] == []
    if what.startswith("undo"):
        assert transaction.armed is None
        report = _commit.result(TOKEN, confirm=False)
        assert report["state"] == "restored"
        assert report["error"] in ("the first reason", "the last reason", "the second reason")
    found = files(tmp_path)
    assert found in (OLD, NEW), found
    return done, "old" if found == OLD else "new"


def test_an_applier_at_work_is_left_alone_until_it_hangs(
    transaction: Transaction, candidate: Path, clock: Clock
) -> None:
    begin(transaction, candidate)
    (transaction.directory / "applier").write_text("1\n")
    with _apply.exclusive():
        assert _watch.reason_to_restore(transaction) == ""
        clock.seconds += _transaction.APPLY_SECONDS
        assert _watch.reason_to_restore(transaction) == "the change was still being applied after 120 s"


def test_an_interrupted_undo_keeps_its_reason(transaction: Transaction, candidate: Path) -> None:
    begin(transaction, candidate)
    _watch.apply(transaction, candidate, 0)
    transaction.report(TOKEN, "restoring", "the first reason")
    _watch.undo(transaction, "the second reason")
    assert transaction.last_report()["error"] == "the first reason"


def test_a_watcher_that_is_started_again_has_nothing_to_wait_for(
    transaction: Transaction, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.seconds += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    assert _watch.watch(transaction) == 0
    assert not slept
    transaction.announce(TOKEN)
    assert _watch.watch(transaction) == 0
    assert sum(slept) == pytest.approx(_transaction.START_SECONDS, abs=0.1)


@pytest.mark.parametrize("passed", [3600.0, -900.0], ids=["an hour ago", "before the boot"])
def test_who_was_killed_before_arming_keeps_nobody_waiting(
    transaction: Transaction, clock: Clock, passed: float
) -> None:
    note = transaction.announce("deadbeef")
    assert transaction.about_to_arm
    clock.seconds += passed
    assert not transaction.about_to_arm
    assert transaction.announce(TOKEN).exists()
    assert not note.exists()


@pytest.mark.parametrize("begun", [False, True], ids=["it was not heard", "it was heard before"])
def test_what_asks_for_the_applier_is_killed(
    transaction: Transaction, candidate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Whether systemd heard it or not: the host undoes what came of it at once, and says why."""
    staged = Candidate("run", None)
    staged.entries, staged.directory = json.loads((candidate / "index.json").read_text())["entries"], candidate
    stopped = []

    def run(argv: list[str]) -> str:
        if "apply" in argv:
            if begun:
                (transaction.directory / "applier").write_text("0\n")
                (tmp_path / "etc/changed").write_text("half\n")
            raise ApplyError("systemd-run returned -9: ")
        return ""

    monkeypatch.setattr(_commit, "end_leftover", lambda: None)
    monkeypatch.setattr(_commit, "_install_guard", lambda: None)
    monkeypatch.setattr(_commit, "COMMITTING", candidate)
    monkeypatch.setattr(_commit._run, "run", run)
    monkeypatch.setattr(_commit.subprocess, "run", lambda argv, **_named: stopped.append(argv))
    _commit.start(staged, TOKEN, "192.0.2.100", 30)
    assert stopped == [["systemctl", "stop", f"kvmnet-commit-{TOKEN}"]]
    assert transaction.armed == TOKEN
    reason = _watch.reason_to_restore(transaction)
    expected = (
        "what applied the change was killed" if begun else "the change was never begun: systemd-run returned -9: "
    )
    assert reason == expected
    _watch.undo(transaction, reason)
    assert files(tmp_path) == OLD
    report = _commit.result(TOKEN, confirm=False)
    assert (report["state"], report["error"]) == ("restored", expected)
