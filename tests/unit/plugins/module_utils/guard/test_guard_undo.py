# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An undo goes on where the host is short of something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import (
    _apply,
    _commit,
    _restore,
    _watch,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import Transaction

from .conftest import NOTHING, OLD, TOKEN, begin, files


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


@pytest.mark.parametrize("left", ["", "\0\0\0\0", '{"token": "c0f'])
def test_a_report_that_a_power_cut_has_spoilt_keeps_nobody_from_undoing(
    transaction: Transaction, candidate: Path, tmp_path: Path, left: str
) -> None:
    begin(transaction, candidate)
    _watch.apply(transaction, candidate, 0)
    transaction.report_path.write_text(left)
    assert transaction.last_report() == {}
    _watch.undo(transaction, "a test says so")
    assert files(tmp_path) == OLD
    assert transaction.last_report()["error"] == "a test says so"


def test_of_a_note_that_a_power_cut_has_spoilt_the_whole_lines_count(transaction: Transaction, candidate: Path) -> None:
    begin(transaction, candidate)
    for key in ("one", "two"):
        transaction.note_command({"kind": "command", "key": key, "order": _apply.OWN_COMMANDS})
    with (transaction.directory / "commands").open("a", encoding="utf-8") as notes:
        notes.write('"thr')
    assert transaction.commands() == ["one", "two"]
