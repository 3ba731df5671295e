# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own commands, done and undone in their order; and what the next run is told of one that was undone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import (
    _apply,
    _commit,
    _previous,
    _restore,
    _watch,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import Transaction

from .conftest import TOKEN


def write(log: Path, word: str) -> list[str]:
    """Return a command that notes a word and the content of the file that changes with it."""
    return ["sh", "-c", f"echo {word} $(cat {log.parent}/file) >> {log}"]


class Change:
    """A file that changes, and commands that say when they were run.

    Args:
        tmp_path: where.
        commands: the user's own: C(argv) and C(undo).
    """

    def __init__(self, tmp_path: Path, commands: list[dict[str, Any]]) -> None:
        self.log, self.file = tmp_path / "log", tmp_path / "file"
        self.log.write_text("")
        self.file.write_text("old")
        self.file.chmod(0o600)
        candidate = Candidate("run", tmp_path / "candidate")
        files = [{"path": str(self.file), "content": "new", "mode": "0640", "state": "present"}]
        _commit.add_own(candidate, files, commands)
        candidate.save(tmp_path / "committing")
        self.directory = tmp_path / "committing"

    def begin(self, transaction: Transaction) -> int:
        transaction.begin(self.directory, TOKEN, "192.0.2.100", 30)
        return _watch.apply(transaction, self.directory, 0)

    @property
    def said(self) -> list[str]:
        return self.log.read_text().splitlines()


def both(log: Path, word: str) -> dict[str, Any]:
    return {"argv": write(log, word), "undo": write(log, f"un{word}")}


def test_commands_are_run_in_their_order_and_undone_the_other_way_with_the_old_files(
    transaction: Transaction, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    # The same one twice, and none is first by its name.
    change = Change(tmp_path, [both(log, "c"), {"argv": write(log, "b"), "undo": None}, both(log, "a"), both(log, "c")])
    assert change.begin(transaction) == 0
    assert change.said == ["c new", "b new", "a new", "c new"]
    _watch.undo(transaction, "a test says so")
    assert change.said[4:] == ["unc old", "una old", "unc old"]
    assert (change.file.read_text(), change.file.stat().st_mode & 0o777) == ("old", 0o600)
    assert transaction.last_report()["left"] == []


def test_what_was_not_begun_needs_no_undo(transaction: Transaction, tmp_path: Path) -> None:
    log = tmp_path / "log"
    failing = {"argv": ["sh", "-c", "exit 7"], "undo": write(log, "unfail")}
    change = Change(tmp_path, [both(log, "a"), failing, both(log, "b")])
    assert change.begin(transaction) == 1
    # What failed may have done a part of it.
    assert change.said == ["a new", "unfail old", "una old"]
    assert transaction.last_report()["left"] == []
    assert "returned 7" in transaction.last_report()["error"]


def test_an_undo_that_fails_is_not_passed_over(transaction: Transaction, tmp_path: Path) -> None:
    change = Change(tmp_path, [{"argv": ["true"], "undo": ["sh", "-c", "echo no such thing >&2; exit 3"]}])
    change.begin(transaction)
    _watch.undo(transaction, "a test says so")
    left = transaction.last_report()["left"]
    assert len(left) == 1
    assert left[0].startswith("command true: ")
    assert "returned 3: no such thing" in left[0]


def test_an_undo_that_could_not_be_run_at_boot_is_told(
    transaction: Transaction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_restore, "read_units", lambda names: {})
    monkeypatch.setattr(_restore, "run", lambda argv: "")
    log = tmp_path / "log"
    change = Change(tmp_path, [both(log, "a"), {"argv": write(log, "b"), "undo": None}])
    change.begin(transaction)
    _watch.undo(transaction, "the host went down", at_boot=True)
    assert change.said == ["a new", "b new"]
    left = transaction.last_report()["left"]
    assert len(left) == 1
    assert "was not run, since the host went down: sh -c 'echo una" in left[0]
    assert change.file.read_text() == "old"


def commit(transaction: Transaction, change: Change) -> None:
    assert change.begin(transaction) == 0
    assert _commit.result(TOKEN, confirm=True)["state"] == "confirmed"


def put_back(transaction: Transaction, tmp_path: Path) -> None:
    previous = _previous.open_previous()
    assert previous is not None
    previous.save(tmp_path / "committing")
    transaction.begin(tmp_path / "committing", TOKEN, "192.0.2.100", 30)
    assert _watch.apply(transaction, tmp_path / "committing", 0) == 0
    assert _commit.result(TOKEN, confirm=True)["state"] == "confirmed"


def test_putting_back_twice_is_doing_it_again(transaction: Transaction, tmp_path: Path) -> None:
    assert _previous.open_previous() is None
    log = tmp_path / "log"
    change = Change(tmp_path, [both(log, "b"), {"argv": write(log, "c"), "undo": None}, both(log, "a")])
    commit(transaction, change)
    put_back(transaction, tmp_path)
    assert change.said[3:] == ["una old", "unb old"]
    assert (change.file.read_text(), change.file.stat().st_mode & 0o777) == ("old", 0o600)
    put_back(transaction, tmp_path)
    assert change.said[5:] == ["b new", "c new", "a new"]
    assert (change.file.read_text(), change.file.stat().st_mode & 0o777) == ("new", 0o640)


def test_what_somebody_changed_since_is_not_overwritten(transaction: Transaction, tmp_path: Path) -> None:
    change = Change(tmp_path, [])
    commit(transaction, change)
    assert _previous.check_unchanged() == []
    for spoil in (
        lambda: change.file.write_text("by hand"),
        lambda: (change.file.write_text("new"), change.file.chmod(0o600)),
        change.file.unlink,
    ):
        spoil()
        problems = _previous.check_unchanged()
        assert [problem.place() for problem in problems] == [f"rollback.{change.file}"]
        assert "undo this change too" in problems[0].allowed
    change.file.write_text("new")
    change.file.chmod(0o640)
    assert _previous.check_unchanged() == []


def test_what_a_firewall_writes_itself_is_nobodys_change(
    transaction: Transaction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = Change(tmp_path, [])
    commit(transaction, change)
    change.file.write_text("1 isp\n")
    assert len(_previous.check_unchanged()) == 1
    monkeypatch.setattr(_previous, "KEPT_FILES", (str(change.file),))
    assert _previous.check_unchanged() == []


def test_the_same_configuration_compiled_again_is_no_change(tmp_path: Path) -> None:
    stamp = f"# configuration {'0123456789abcdef' * 4}\n"
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(f"# compiled on Monday\n{stamp}")
    other.write_text(f"# compiled on Tuesday\n{stamp}")
    assert _previous.fingerprint(one) == _previous.fingerprint(other)
    other.write_text(f"# compiled on Tuesday\n{stamp.replace('0', '1')}")
    assert _previous.fingerprint(one) != _previous.fingerprint(other)


def test_a_commit_from_before_there_were_fingerprints_can_be_put_back(transaction: Transaction) -> None:
    index = {"run_id": "run", "entries": {"/etc/mine": {"state": "absent"}}, "steps": []}
    _apply.write_json(transaction.state / "previous" / "index.json", index)
    assert _previous.check_unchanged() == []


def test_the_next_run_hears_once_of_a_change_that_was_undone(transaction: Transaction, tmp_path: Path) -> None:
    assert _commit.untold(False) == ""
    Change(tmp_path, []).begin(transaction)
    assert _commit.untold(False) == ""
    _watch.undo(transaction, "a test says so")
    # Check mode changes nothing, so it hears of it each time.
    assert _commit.untold(True) == _commit.untold(True) != ""
    said = _commit.untold(False)
    assert "by 192.0.2.100, was undone at 2" in said
    assert "a test says so (everything is as it was before it)" in said
    assert _commit.untold(False) == _commit.untold(True) == ""


def test_what_cannot_be_noted_as_told_is_told_all_the_same(
    transaction: Transaction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_transaction: Transaction, _token: str) -> None:
        raise OSError(28, "No space left on device")

    Change(tmp_path, []).begin(transaction)
    _watch.undo(transaction, "a test says so")
    monkeypatch.setattr(Transaction, "tell", full)
    assert "a test says so" in _commit.untold(False)
    assert _commit.untold(False) == _commit.untold(True) != ""


def test_who_made_the_change_hears_of_its_end_at_once(transaction: Transaction, tmp_path: Path) -> None:
    Change(tmp_path, []).begin(transaction)
    _watch.undo(transaction, "a test says so")
    assert _commit.result(TOKEN, confirm=False)["state"] == "restored"
    assert _commit.untold(False) == ""


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("check_mode", [True, False])
def test_another_change_stands_in_the_way(
    transaction: Transaction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: bool, check_mode: bool
) -> None:
    undone = []

    def end() -> None:
        undone.append(1)
        raise ApplyError("it was undone now")

    monkeypatch.setattr(_commit, "_is_watched", lambda: watched)
    monkeypatch.setattr(_commit, "end_leftover", end)
    nothing, something = Candidate("run", None), Candidate("run", None)
    something.put("/etc/mine", "mine")
    _commit.check_free(something, check_mode)
    Change(tmp_path, []).begin(transaction)
    words = "another change is on its way" if watched else "nothing watches over it" if check_mode else "undone now"
    with pytest.raises(ApplyError, match=words):
        _commit.check_free(something, check_mode)
    if watched:
        _commit.check_free(nothing, check_mode)
    else:
        with pytest.raises(ApplyError, match=words):
            _commit.check_free(nothing, check_mode)
    assert bool(undone) == (not watched and not check_mode)
    assert transaction.armed == TOKEN


def test_what_was_put_right_is_told_in_words(
    transaction: Transaction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [
        *("the link br9 is there still", "eth0: mtu was 1500, is 1400", "eth0: the address 192.0.2.20/24 is gone"),
        "the route 'default via 192.0.2.1 dev eth0 proto 4' is gone",
        # It goes with the address.
        "the route '192.0.2.0/24 dev eth0 proto 2 scope 253 src 192.0.2.20' is gone",
    ]
    answers = iter([wrong])
    monkeypatch.setattr(_restore._compare, "differences", lambda *_unused: next(answers, []))
    change = Change(tmp_path, [])
    change.begin(transaction)
    _watch.undo(transaction, "a test says so")
    assert transaction.last_report()["found"] == [
        *("the link br9 was new", "eth0: mtu was 1500, had become 1400", "eth0: the address 192.0.2.20/24 was gone"),
        "the route 'default via 192.0.2.1 dev eth0' was gone",
    ]
    assert transaction.last_report()["restored"] == [str(change.file)]


def test_a_bridge_that_others_use_by_now_does_not_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_previous, "_SYS", tmp_path)
    for port in ("tap-web", "eth1", "veth7"):
        (tmp_path / "br9" / "brif" / port).mkdir(parents=True)
    candidate = Candidate("run", None)
    network = "/etc/systemd/network/50-kvmnet"
    names = ("br9.netdev", "br9.network", "tap-web.netdev", "tap-web.network")
    candidate.entries = {f"{network}-{name}": {"state": "absent"} for name in names}
    candidate.entries[f"{network}-eth1.network"] = {"state": "present", "mode": 0o644}
    problems = _previous.check_ports(candidate)
    assert [(problem.place(), problem.value) for problem in problems] == [("rollback.br9", "has the ports veth7")]
    (tmp_path / "br9" / "brif" / "veth7").rmdir()
    assert _previous.check_ports(candidate) == []


def test_a_file_keeps_its_owner_and_one_that_went_gets_it_back(
    transaction: Transaction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _handle, user, group: given.append((user, group)))
    change = Change(tmp_path, [])
    owners = {change.file: [107, 4]}
    for module in (_apply, _restore):
        monkeypatch.setattr(module, "owner_of", lambda path: owners.get(path) if path.is_file() else None)
    transaction.begin(change.directory, TOKEN, "192.0.2.100", 30)
    given.clear()
    assert _watch.apply(transaction, change.directory, 0) == 0
    assert [owner for owner in given if owner != (-1, -1)] == [(107, 4)]
    # Somebody takes it away meanwhile, and its owner with it.
    change.file.unlink()
    given.clear()
    _watch.undo(transaction, "a test says so")
    assert [owner for owner in given if owner != (-1, -1)] == [(107, 4)]
    assert change.file.read_text() == "old"
