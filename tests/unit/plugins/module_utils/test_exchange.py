# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A firewall's directory changes whole: the applier is killed before every single thing it does to the disk."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply, _commit, _exchange

OLD = {"rules": "old", "gone": "old", "kept": "same"}
NEW = {"rules": "new", "kept": "same", "sub/fresh": "new"}
# What another process can see of the work, but for modes and owners.
_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "ctypes.dlsym"}


class Host:
    """A configuration, its compiled script, and a kernel that holds what the script said when it last ran."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.config, self.script, self.kernel = root / "etc/shorewall", root / "var/firewall", root / "kernel"
        for name, text in OLD.items():
            path = self.config / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.script.parent.mkdir()
        self.script.write_text("old")
        self.kernel.write_text("old")
        self.fails = False
        monkeypatch.setattr(_apply, "STATE", root / "state")
        monkeypatch.setattr(_apply, "LOCK", root / "lock")
        monkeypatch.setattr(_apply, "WHOLE", (str(self.config),))
        monkeypatch.setattr(os, "sync", lambda: None)
        monkeypatch.setitem(_apply._STEPS, "shorewall", self.load)

    def load(self, key: str, args: dict[str, Any]) -> None:
        wanted = self.script.read_text()
        if self.fails and wanted == "new":
            self.kernel.write_text("stopped")
            raise _apply.ApplyError("the script said no")
        _apply.write_file(self.kernel, wanted.encode(), 0o644)

    def stage(self, wanted: dict[str, str] | None = None) -> Candidate:
        """What a run of the roles stages: files compared with what is there, and what an earlier run left undone."""
        wanted = NEW if wanted is None else wanted
        directory = self.root / "candidate"
        candidate = Candidate("run", directory)
        for name in set(OLD) | set(NEW):
            path = str(self.config / name)
            if name in wanted:
                candidate.put(path, wanted[name])
            else:
                candidate.remove(path)
        if candidate.put(str(self.script), wanted["rules"]):
            candidate.step("shorewall", "shorewall", 60, routing=False)
        _commit.resume(candidate)
        if not candidate.empty:
            candidate.save(directory)
        return candidate

    def apply(self) -> None:
        if not self.stage().empty:
            _apply.apply_candidate(self.root / "candidate", self.root / "state/previous")

    def tree(self) -> dict[str, str]:
        found = sorted(path for path in self.config.rglob("*") if path.is_file())
        return {str(path.relative_to(self.config)): path.read_text() for path in found}

    def leftovers(self) -> set[str]:
        return {path.name for path in (self.root / "etc").iterdir()} - {"shorewall", ".shorewall.kvmnet-previous"}

    def killed(self, work: Callable[[], None], at: int) -> bool:
        """Do it in a process that is killed before its Nth change to the disk; whether it was."""
        child = os.fork()
        if child == 0:
            seen = 0

            def hook(event: str, args: tuple[Any, ...]) -> None:
                nonlocal seen
                writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
                if event in _EVENTS or writes:
                    seen += 1
                    if seen == at:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            try:
                work()
            finally:
                os._exit(0)
        _unused, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)


@pytest.fixture(name="make_host")
def fixture_make_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Host]:
    def make(number: int) -> Host:
        root = tmp_path / str(number)
        root.mkdir()
        return Host(root, monkeypatch)

    return make


def cannot_exchange(one: Path, other: Path) -> None:
    raise OSError(errno.EXDEV, "as on an overlay")


def test_the_directory_is_exchanged_and_the_previous_one_kept(make_host: Callable[[int], Host]) -> None:
    host = make_host(0)
    before = (host.config / "kept").stat()
    host.apply()
    assert host.tree() == NEW
    assert host.kernel.read_text() == "new"
    previous = _exchange.previous_of(host.config)
    assert {name: (previous / name).read_text() for name in OLD} == OLD
    after = (host.config / "kept").stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_uid) == (before.st_mtime_ns, before.st_mode, before.st_uid)
    assert host.leftovers() == set()
    assert host.stage().empty

    _apply.apply_candidate(host.root / "state/previous", host.root / "state/again")
    assert (host.tree(), host.kernel.read_text()) == (OLD, "old")


@pytest.mark.parametrize("exchanges", [True, False], ids=["renameat2", "EXDEV"])
def test_killed_anywhere_it_is_old_or_new_and_the_next_run_heals(
    make_host: Callable[[int], Host], monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(_exchange, "rename_exchange", cannot_exchange)
    killed = 0
    while True:
        host = make_host(killed)
        if not host.killed(host.apply, killed + 1):
            break
        killed += 1 if exchanges else 2
        if exchanges:
            assert host.tree() in (OLD, NEW), f"a mix after a kill before change {killed}"
        assert set(host.tree().values()) <= {"old", "new", "same"}, "a part of a file"
        assert host.script.read_text() in ("old", "new")
        host.apply()
        assert (host.tree(), host.script.read_text(), host.kernel.read_text()) == (NEW, "new", "new"), killed
        assert host.leftovers() == set()
        assert host.stage().empty
    assert host.tree() == NEW
    assert killed > 30, "the kills were not where the work is"


def test_a_failure_after_a_kill_goes_back_to_before_both(make_host: Callable[[int], Host]) -> None:
    killed = 0
    while True:
        host = make_host(killed)
        if not host.killed(host.apply, killed + 1):
            break
        killed += 3
        host.fails = True
        if host.stage().empty:
            continue
        with pytest.raises(_apply.ApplyError, match="the script said no; everything was put back"):
            _apply.apply_candidate(host.root / "candidate", host.root / "state/previous")
        finished = not (host.root / "state/undo").exists() and (host.root / "state/previous").exists()
        assert (host.tree(), host.script.read_text(), host.kernel.read_text()) == (OLD, "old", "old") or finished
    assert killed > 30


def test_a_failing_script_puts_the_old_configuration_back(make_host: Callable[[int], Host]) -> None:
    host = make_host(0)
    host.fails = True
    with pytest.raises(_apply.ApplyError, match="the script said no; everything was put back"):
        host.apply()
    assert (host.tree(), host.script.read_text(), host.kernel.read_text()) == (OLD, "old", "old")
    assert host.leftovers() == set()


def test_a_directory_that_is_not_there_yet_is_made(make_host: Callable[[int], Host]) -> None:
    host = make_host(0)
    _exchange.build(host.root / "etc/other", {"a/b": (b"x", 0o600), "c": None})
    _exchange.put_in_place(host.root / "etc/other", {"a/b": (b"x", 0o600), "c": None})
    assert (host.root / "etc/other/a/b").read_text() == "x"
    assert (host.root / "etc/other/a/b").stat().st_mode & 0o777 == 0o600
    assert host.leftovers() == {"other"}
