# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One change that is confirmed or undone, on files of the test's own; killed at any of its steps it comes to an end."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import (
    _apply,
    _commit,
    _previous,
    _restore,
    _transaction,
    _watch,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import Transaction

NOTHING: dict[str, Any] = {
    **{name: {} for name in ("links", "addresses", "firewall", "sysctls", "units")},
    **{name: {"4": [], "6": []} for name in ("routes", "rules")},
    "ipsets": "",
}
TOKEN = "c0ffee00"


class Killed(BaseException):
    """What a kill -9 is to a test: nothing handles it."""


class Clock:
    """The seconds since the boot."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(name="clock")
def fixture_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_transaction, "now", clock)
    monkeypatch.setattr(_watch, "now", clock)
    return clock


@pytest.fixture(name="transaction")
def fixture_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Transaction:
    state = tmp_path / "guard"
    state.mkdir()
    monkeypatch.setattr(_apply, "STATE", state)
    monkeypatch.setattr(_apply, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(_transaction, "KEPT_DIRECTORIES", ())
    monkeypatch.setattr(_transaction, "KEPT_FILES", ())
    monkeypatch.setattr(_restore, "KEPT_DIRECTORIES", ())
    monkeypatch.setattr(_restore, "KEPT_FILES", ())
    monkeypatch.setattr(_restore, "_PAUSE", 0)
    monkeypatch.setattr(_restore.Restorer, "prune_ipsets", lambda self: None)
    monkeypatch.setattr(_restore, "read_firewall", dict)
    for module in (_transaction, _restore):
        monkeypatch.setattr(module, "read_state", lambda units: NOTHING)
    return Transaction()


@pytest.fixture(name="candidate")
def fixture_candidate(tmp_path: Path) -> Path:
    """Change one file, make one in a directory of its own, take one away."""
    live, directory = tmp_path / "etc", tmp_path / "candidate"
    live.mkdir()
    (live / "changed").write_text("old\n")
    (live / "gone").write_text("precious\n")
    entries: dict[str, Any] = {str(live / "gone"): {"state": "absent"}}
    for name in ("changed", "made/new"):
        path = str(live / name)
        entries[path] = {"state": "present", "mode": 0o644}
        _apply.write_file(_apply.content_path(directory, path), b"new\n", 0o644)
    _apply.write_json(directory / "index.json", {"run_id": "run", "entries": entries, "steps": []})
    return directory


def files(tmp_path: Path) -> dict[str, str]:
    live = tmp_path / "etc"
    return {
        str(path.relative_to(live)): path.read_text() if path.is_file() else "a directory" for path in live.rglob("*")
    }


OLD = {"changed": "old\n", "gone": "precious\n"}
NEW = {"changed": "new\n", "made": "a directory", "made/new": "new\n"}


def begin(transaction: Transaction, candidate: Path, timeout: float = 30) -> None:
    transaction.begin(candidate, TOKEN, "192.0.2.100", timeout)


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


def test_an_applier_at_work_is_left_alone_until_it_hangs(
    transaction: Transaction, candidate: Path, clock: Clock
) -> None:
    begin(transaction, candidate)
    (transaction.directory / "applier").write_text("1\n")
    with _apply.exclusive():
        assert _watch.reason_to_restore(transaction) == ""
        clock.seconds += _transaction.APPLY_SECONDS
        assert _watch.reason_to_restore(transaction) == "the change was still being applied after 120 s"


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


def test_an_interrupted_undo_keeps_its_reason(transaction: Transaction, candidate: Path) -> None:
    begin(transaction, candidate)
    _watch.apply(transaction, candidate, 0)
    transaction.report(TOKEN, "restoring", "the first reason")
    _watch.undo(transaction, "the second reason")
    assert transaction.last_report()["error"] == "the first reason"


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


def test_a_disk_without_room_for_a_word_is_no_reason_not_to_undo(
    transaction: Transaction, candidate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(transaction, candidate)
    _watch.apply(transaction, candidate, 0)
    spare = transaction.directory / "spare"
    assert spare.exists()
    rooms = []

    def full(*arguments: object, **more: object) -> None:
        rooms.append(spare.exists())
        raise OSError(28, "No space left on device")

    transaction.report(TOKEN, "restoring", "a test says so")
    monkeypatch.setattr(transaction, "report", full)
    _watch.undo(transaction, "another reason")
    assert rooms == [False, False]
    assert files(tmp_path) == OLD
    assert transaction.armed is None
    report = _commit.result(TOKEN, confirm=False)
    assert (report["state"], report["error"]) == ("restored", "a test says so")
    assert "could not be written down" in report["left"][0]


def test_a_file_that_could_not_be_put_back_is_named(
    transaction: Transaction, candidate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(transaction, candidate)
    _watch.apply(transaction, candidate, 0)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_apply, "install_files", full)
    _watch.undo(transaction, "a test says so")
    assert f"{tmp_path}/etc/changed is not as it was" in transaction.last_report()["left"]
    assert "[Errno 28] No space left on device" in transaction.last_report()["left"]


@pytest.mark.parametrize("broken", [False, True])
def test_systemd_networkd_is_started_anew_where_it_does_not_answer(
    transaction: Transaction, candidate: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    called = []

    def run(argv: list[str], **more: object) -> str:
        called.append(argv)
        if broken and argv[0] == "networkctl":
            raise ApplyError("it does not answer")
        return ""

    begin(transaction, candidate)
    monkeypatch.setattr(_restore, "run", run)
    restorer = _restore.Restorer(transaction)
    restorer.before = {**NOTHING, "units": {"systemd-networkd.service": {"active": "active"}}}
    restorer.networkd()
    restart = [["systemctl", "restart", "systemd-networkd.service"]]
    assert called == [["networkctl", "reload"], *(restart if broken else [])]
    assert restorer.errors == (["it does not answer"] if broken else [])


def test_a_state_that_cannot_be_read_for_a_moment_is_read_again(
    transaction: Transaction, candidate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(transaction, candidate)
    _watch.apply(transaction, candidate, 0)
    answers: list[Any] = [ApplyError("no memory"), ApplyError("no memory"), NOTHING, ApplyError("no memory")]

    def read_state(units: object) -> dict[str, Any]:
        answer = answers.pop(0) if answers else NOTHING
        if isinstance(answer, ApplyError):
            raise answer
        return dict(answer)

    monkeypatch.setattr(_restore, "read_state", read_state)
    _watch.undo(transaction, "a test says so")
    assert transaction.last_report()["left"] == []
    assert files(tmp_path) == OLD
