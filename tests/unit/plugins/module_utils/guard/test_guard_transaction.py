# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change that is confirmed or undone, on files of the test's own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import (
    _apply,
    _commit,
    _previous,
    _watch,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import Transaction

from .conftest import NEW, OLD, TOKEN, Clock, begin, files


def test_a_confirmed_change_lasts(transaction: Transaction, candidate: Path, tmp_path: Path) -> None:
    begin(transaction, candidate)
    assert transaction.armed == TOKEN
    assert files(tmp_path) == OLD
    assert _watch.apply(transaction, candidate, 0) == 0
    assert _watch.reason_to_restore(transaction) == ""
    assert _commit.result(TOKEN, confirm=True)["state"] == "confirmed"
    assert transaction.armed is None
    assert files(tmp_path) == NEW
    assert sorted(path.name for path in transaction.state.iterdir()) == ["previous", "report.json"]


def test_an_unconfirmed_one_is_undone_whatever_the_clock_on_the_wall_says(
    transaction: Transaction, candidate: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(transaction, candidate)
    _watch.apply(transaction, candidate, 0)
    for wall in (0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda wall=wall: wall)
        assert _watch.reason_to_restore(transaction) == ""
    clock.seconds += 29.9
    assert _watch.reason_to_restore(transaction) == ""
    clock.seconds += 0.2
    assert _watch.watch(transaction) == 0
    assert files(tmp_path) == OLD
    report = _commit.result(TOKEN, confirm=False)
    assert report["error"] == "no new connection confirmed the change within 30 s"
    assert (report["state"], report["left"]) == ("restored", [])
    assert sorted(report["restored"]) == sorted(f"{tmp_path}/etc/{name}" for name in ("changed", "gone", "made/new"))


def test_a_timeout_that_is_shorter_than_the_apply_takes_counts_from_its_end(
    transaction: Transaction, candidate: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def reload(*_arguments: object, **_named: object) -> list[str]:
        clock.seconds += 40
        seen.append(_watch.reason_to_restore(transaction))
        return []

    monkeypatch.setattr(_apply, "run_steps", reload)
    begin(transaction, candidate, timeout=5)
    _watch.apply(transaction, candidate, 0)
    assert seen == ["", ""]
    clock.seconds += 4.9
    assert _watch.reason_to_restore(transaction) == ""
    clock.seconds += 0.2
    assert _watch.reason_to_restore(transaction) == "no new connection confirmed the change within 5 s"


def test_what_is_undone_cannot_be_confirmed_any_more(
    transaction: Transaction, candidate: Path, tmp_path: Path, clock: Clock
) -> None:
    begin(transaction, candidate)
    _watch.apply(transaction, candidate, 0)
    _watch.undo(transaction, "a test says so")
    assert _commit.result(TOKEN, confirm=True)["state"] == "restored"
    assert files(tmp_path) == OLD


def test_neither_what_is_not_applied_nor_another_commit_can_be_confirmed(
    transaction: Transaction, candidate: Path
) -> None:
    begin(transaction, candidate)
    assert _commit.result(TOKEN, confirm=True)["state"] == "running"
    assert transaction.armed == TOKEN
    _watch.apply(transaction, candidate, 0)
    assert _commit.result("deadbeef", confirm=True)["state"] == "unknown"
    assert transaction.armed == TOKEN


def test_a_second_change_is_refused_by_name(transaction: Transaction, candidate: Path, tmp_path: Path) -> None:
    begin(transaction, candidate)
    with pytest.raises(ApplyError, match=rf"another change .* by 192\.0\.2\.100 \(commit {TOKEN}\)"):
        transaction.begin(candidate, "deadbeef", "192.0.2.101", 30)
    assert transaction.armed == TOKEN
    assert files(tmp_path) == OLD


def test_a_step_that_fails_puts_everything_back(transaction: Transaction, candidate: Path, tmp_path: Path) -> None:
    index = _apply.load_index(candidate) or {}
    step = {"kind": "command", "key": "no", "order": 90, "args": {"argv": ["false"], "undo": None}}
    _apply.write_json(candidate / "index.json", {**index, "steps": [step]})
    begin(transaction, candidate)
    assert _watch.apply(transaction, candidate, 0) == 1
    assert files(tmp_path) == OLD
    report = transaction.last_report()
    assert report["state"] == "restored"
    assert report["error"].startswith("command no: false returned 1")


def test_what_cannot_be_saved_arms_nothing(
    transaction: Transaction, candidate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ApplyError, match=r"could not be saved.*No space left"):
        begin(transaction, candidate)
    assert transaction.armed is None
    assert files(tmp_path) == OLD


@pytest.mark.parametrize(
    ("state", "begun", "late", "reason"),
    [
        ("running", False, False, ""),
        ("running", False, True, "the change was never begun"),
        ("running", True, False, "what applied the change was killed"),
        ("applied", True, False, ""),
        ("applied", True, True, "no new connection confirmed the change within 30 s"),
        ("restoring", True, False, "what applied the change was killed"),
    ],
)
def test_what_is_undone_when(
    transaction: Transaction, candidate: Path, clock: Clock, state: str, begun: bool, late: bool, reason: str
) -> None:
    begin(transaction, candidate)
    transaction.report(TOKEN, state)
    if begun:
        (transaction.directory / "applier").write_text("1\n")
    clock.seconds += 100 if late else 0
    assert _watch.reason_to_restore(transaction) == reason


def test_a_report_without_the_end_is_not_believed(transaction: Transaction, candidate: Path) -> None:
    begin(transaction, candidate)
    transaction.report(TOKEN, "restored", "a test says so", left=[], restored=[], seconds=0.1)
    assert _commit.result(TOKEN, confirm=False)["state"] == "restoring"


def test_putting_a_commit_back_takes_its_links_away(transaction: Transaction) -> None:
    entries = {f"/etc/systemd/network/50-kvmnet-{name}.netdev": {"state": "absent"} for name in ("lo", "no-such")}
    _apply.write_json(transaction.state / "previous" / "index.json", {"run_id": "run", "entries": entries, "steps": []})
    candidate = _previous.open_previous()
    assert candidate is not None
    assert candidate.steps["ip", "ip"]["args"] == {"lines": ["link delete dev lo"]}
