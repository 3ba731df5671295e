# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply, _commit, _departure, _units


@pytest.fixture(name="host")
def fixture_host(tmp_path: Path) -> Path:
    """A host's root with one file on it."""
    root = tmp_path / "host"
    (root / "etc/x").mkdir(parents=True)
    (root / "etc/x/old").write_text("old")
    (root / "etc/x/old").chmod(0o644)
    return root


def open_candidate(host: Path, run_id: str = "run1") -> Candidate:
    candidate = Candidate(run_id, host.parent / "candidate", host)
    candidate.load()
    return candidate


def test_later_modules_of_a_run_see_what_earlier_ones_staged(host: Path) -> None:
    first = open_candidate(host)
    assert first.put("/etc/x/new", "new", 0o600)
    assert first.remove("/etc/x/old")
    first.step("networkd", "networkd", 30, restart=False, links=["br0"])
    first.finish(check_mode=True)

    second = open_candidate(host)
    assert second.read("/etc/x/new") == b"new"
    assert second.read("/etc/x/old") is None
    assert second.live("/etc/x/old") == b"old"
    assert second.listdir("/etc/x") == ["new"]
    second.step("networkd", "networkd", 30, restart=True, links=["br0", "tap-web"])
    assert second.steps[("networkd", "networkd")]["args"] == {"restart": True, "links": ["br0", "tap-web"]}


def test_what_another_run_left_behind_is_forgotten(host: Path) -> None:
    first = open_candidate(host)
    first.put("/etc/x/new", "new")
    first.finish(check_mode=False)
    second = open_candidate(host, "run2")
    assert second.empty
    second.finish(check_mode=False)
    assert not (host.parent / "candidate").exists()


@pytest.mark.parametrize("left", ["", "\0\0", '{"run_id": "run1", "ent'])
def test_what_a_power_cut_left_of_it_keeps_nobody_from_staging(host: Path, left: str) -> None:
    first = open_candidate(host)
    first.put("/etc/x/new", "new")
    first.finish(check_mode=False)
    (host.parent / "candidate/index.json").write_text(left)
    second = open_candidate(host)
    assert second.empty
    assert second.put("/etc/x/other", "other")
    second.finish(check_mode=False)
    assert open_candidate(host).listdir("/etc/x") == ["old", "other"]


def test_what_is_live_already_is_not_staged(host: Path) -> None:
    candidate = open_candidate(host)
    assert candidate.put("/etc/x/old", "changed")
    assert not candidate.put("/etc/x/old", "old")
    assert not candidate.remove("/etc/x/missing")
    assert candidate.empty
    assert candidate.put("/etc/x/old", "old", 0o600), "another mode is a change"


class Applied:
    """The applier on a directory tree instead of the host, with a step that fails on request."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.ran: list[tuple[str, dict[str, Any]]] = []
        monkeypatch.setattr(_apply, "STATE", root / "state")
        monkeypatch.setattr(_apply, "LOCK", root / "lock")
        monkeypatch.setitem(_apply._STEPS, "command", self.step)
        monkeypatch.setitem(_apply._STEPS, "unit", self.step)

    def step(self, key: str, args: dict[str, Any]) -> None:
        self.ran.append((key, args))
        if key == "fail":
            raise _apply.ApplyError("it said no")

    def apply(self, *keys: str) -> None:
        candidate = Candidate("run1", self.root / "candidate")
        candidate.load()
        candidate.put(str(self.root / "kept"), "new")
        candidate.put(str(self.root / "fresh"), "new", 0o600)
        candidate.remove(str(self.root / "gone"))
        for order, key in enumerate(keys):
            candidate.step("command", key, order)
        candidate.step("unit", "u.service", 50, action="enable")
        candidate.finish(check_mode=False)
        _apply.apply_candidate(self.root / "candidate", self.root / "state/previous")

    def tree(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.root.iterdir() if path.is_file() and path.name != "lock"}


@pytest.fixture(name="applied")
def fixture_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Applied:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "gone").write_text("old")
    return Applied(tmp_path, monkeypatch)


def test_a_candidate_is_applied_whole_and_kept_undoable(applied: Applied) -> None:
    applied.apply("second", "third")
    assert applied.tree() == {"kept": "new", "fresh": "new"}
    assert (applied.root / "fresh").stat().st_mode & 0o777 == 0o600
    assert [key for key, _unused in applied.ran] == ["second", "third", "u.service"]
    assert not (applied.root / "candidate").exists()

    _apply.apply_candidate(applied.root / "state/previous", applied.root / "state/again")
    assert applied.tree() == {"kept": "old", "gone": "old"}
    assert applied.ran[-1] == ("u.service", {"action": "disable"})


def test_a_failing_step_puts_everything_back(applied: Applied) -> None:
    with pytest.raises(_apply.ApplyError, match="command fail: it said no; putting it back failed in part"):
        applied.apply("first", "fail")
    assert applied.tree() == {"kept": "old", "gone": "old"}


def test_a_users_command_is_undone_as_the_user_says(applied: Applied) -> None:
    candidate = Candidate("run1", applied.root / "candidate")
    candidate.put(str(applied.root / "kept"), "new")
    commands = [{"argv": ["true", "do"], "undo": ["true", "undo"]}, {"argv": ["true", "once"], "undo": None}]
    _commit.add_own(candidate, [], commands)
    candidate.finish(check_mode=False)
    _apply.apply_candidate(applied.root / "candidate", applied.root / "state/previous")
    assert [args["argv"] for _unused, args in applied.ran] == [["true", "do"], ["true", "once"]]
    applied.ran.clear()
    _apply.apply_candidate(applied.root / "state/previous", applied.root / "state/again")
    # The one without an undo does nothing now, and is there to be run again should this be put back.
    assert [args["argv"] for _unused, args in applied.ran] == [[], ["true", "undo"]]


def test_what_needs_the_old_files_runs_before_they_go(applied: Applied, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit is stopped, and its program cleans up, while both are there; in the other direction too."""
    monkeypatch.setattr(_departure, "_UNITS", str(applied.root))
    there: list[tuple[str, bool]] = []
    stopped: set[str] = set()
    words = {"is-active": ("active", "inactive"), "is-enabled": ("enabled", "disabled")}
    monkeypatch.setattr(_units, "_says", lambda question, unit: words[question][unit in stopped])

    def note(key: str, args: dict[str, Any]) -> None:
        there.append((str(args.get("action") or args["argv"][0]), (applied.root / "gone").exists()))
        if there[-1][0] == "disable-now":
            stopped.add(key)
        elif there[-1][0] == "enable-now":
            stopped.discard(key)

    monkeypatch.setitem(_apply._STEPS, "unit", note)
    monkeypatch.setitem(_apply._STEPS, "command", lambda key, args: note(key, args) if args["argv"] else None)
    candidate = Candidate("run1", applied.root / "candidate")
    candidate.remove(str(applied.root / "gone"))
    candidate.step("command", "clear", 55, argv=["clear"], undo=[], before=True)
    candidate.step("command", "after", 56, argv=["after"], undo=["before"])
    candidate.step("unit", "gone", 50, action="disable-now")
    candidate.step("unit", "other.service", 50, action="restart")
    candidate.save(applied.root / "candidate")
    _apply.apply_candidate(applied.root / "candidate", applied.root / "state/previous")
    assert there == [("disable-now", True), ("clear", True), ("restart", False), ("after", False)]

    there.clear()
    _apply.apply_candidate(applied.root / "state/previous", applied.root / "state/again")
    assert there == [("enable-now", True), ("restart", True), ("before", True)]
    there.clear()
    _apply.apply_candidate(applied.root / "state/again", applied.root / "state/more")
    assert there == [("disable-now", True), ("clear", True), ("restart", False), ("after", False)]


def test_what_a_sysctl_file_changed_is_put_back_in_the_kernel(applied: Applied) -> None:
    conf = applied.root / "50-test.conf"
    candidate = Candidate("run1", applied.root / "candidate")
    candidate.put(str(conf), "# comment = 1\nkernel.pid_max = 1\n-no.such.key = 2\n")
    candidate.step("sysctl", str(conf), 20)
    candidate.save(applied.root / "candidate")
    index = _apply.load_index(applied.root / "candidate")
    assert index is not None
    _apply.make_inverse(applied.root / "candidate", index, applied.root / "undo")
    (step,) = (_apply.load_index(applied.root / "undo") or {})["steps"]
    assert step["args"] == {"values": {"kernel.pid_max": Path("/proc/sys/kernel/pid_max").read_text().strip()}}


def test_what_stays_on_the_host_stands_alone(tmp_path: Path) -> None:
    """It runs outside Ansible, so nothing but Python's own library is there."""
    program = tmp_path / "guard.pyz"
    program.write_bytes(_commit.pack_program())
    for command in ("apply none", "watch", "stoppost", "boot"):
        argv = [sys.executable, "-I", "-S", str(program), *command.split(), "--help"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_commit_refuses_to_shut_the_controller_out() -> None:
    assert _commit.check_admitted("172.20.1.107", ["10.0.0.0/8", "172.20.1.0/24"]) is None
    refused = _commit.check_admitted("172.20.2.9", ["172.20.1.0/24"])
    assert refused is not None
    assert "add 172.20.2.9/32" in str(refused)
