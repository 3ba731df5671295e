# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may ask of a commit, and what is said of what may not be asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _input, _mounts

DEFAULTS: dict[str, Any] = {
    "timeout": 30,
    "admit": [],
    "connect": None,
    "rollback": False,
    "files": [],
    "commands": [],
}
MOUNTS = r"""
21 1 0:5 / / rw,relatime - ext4 /dev/vda1 rw
22 21 0:6 / /proc rw,nosuid - proc proc rw
23 21 0:7 / /usr ro,relatime - ext4 /dev/vda2 rw
24 21 0:8 / /srv/with\040space rw - ext4 /dev/vda3 ro,errors=continue
25 21 0:9 / /run rw - tmpfs tmpfs rw
26 21 0:10 / /etc rw - overlay overlay rw,lowerdir=/etc,upperdir=/run/upper,workdir=/run/work
27 21 0:11 / /proc rw - tmpfs hidden rw
"""


def file(path: str, **changes: Any) -> dict[str, Any]:
    return {"path": path, "content": "mine\n", "mode": "0644", "state": "present", **changes}


def said(files: list[dict[str, Any]]) -> dict[str, str]:
    return {problem.place(): problem.allowed for problem in _input.check_files(files)}


def test_files_that_can_be_put_in_place_are_taken(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("old")
    files = [file(str(there)), file(str(tmp_path / "new" / "deep" / "file")), file("/etc/sysctl.d/60-mine.conf")]
    assert said([*files, file("/proc/no-such", state="absent", content=None)]) == {}


@pytest.mark.parametrize(
    "path", ["mine.conf", "/etc/../mine", "/etc//mine", "//etc/mine", "/etc/mine/", "/", "~/mine", "", "/etc/a\0b"]
)
def test_a_path_is_absolute_and_plain(path: str) -> None:
    assert "an absolute path in its plain form" in said([file(path)])["files[0].path"]


def test_what_is_no_file_and_cannot_become_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    directory = str(tmp_path)
    paths = [directory, f"{directory}/link", f"{directory}/dangling", f"{directory}/pipe", f"{directory}/file/below"]
    answers = list(said([file(path) for path in paths]).values())
    assert answers == [
        "the path of a file: what is there is a directory",
        f"the path of the file itself, {directory}/file: this is a link to it",
        f"the path of the file itself, {directory}/nowhere: this is a link to it",
        "the path of a file: what is there is a device, a socket or a pipe",
        f"a path below directories: {directory}/file is none",
    ]


def test_the_kernels_files_are_not_put_in_place() -> None:
    answers = said([file("/proc/sys/net/ipv4/ip_forward"), file("/sys/class/net/mine")])
    assert "/proc is the kernel's own (proc); use commands" in answers["files[0].path"]
    assert "the kernel's own (sysfs)" in answers["files[1].path"]


def test_a_file_system_that_takes_no_files_is_named() -> None:
    def at(path: str) -> _input.Place:
        return _input.Place("nothing", mount=_mounts.Mount("/usr", "ext4", writable=False))

    problems = _input.check_files([file("/usr/mine")], at)
    assert "/usr is mounted read-only" in problems[0].allowed
    assert _input.check_files([file("/usr/mine", state="absent")], at) == []


def test_the_guard_does_not_change_what_it_works_with() -> None:
    files = [file("/var/lib/kvmnet/guard/armed"), file("/etc/.kvmnet/x"), file(_input.OWN[2])]
    assert all("outside the guard's own files" in text for text in said(files).values())
    assert len(said(files)) == 3


def test_a_path_stands_once() -> None:
    answers = said([file("/etc/mine"), file("/etc/other"), file("/etc/mine", content="other")])
    assert answers == {"files[2].path": "each path once: files[0] has it"}


def test_all_that_is_wrong_is_said_at_once() -> None:
    files = [file("relative", content=None, mode="rw-r--r--"), file("/etc/mine", mode="0999")]
    files.append(file("/etc/number", mode=0o644))
    assert sorted(said(files)) == [
        "files[0].content",
        "files[0].mode",
        "files[0].path",
        "files[1].mode",
        "files[2].mode",
    ]


def wrong_commands(commands: list[dict[str, Any]], staged: dict[str, Any] | None = None) -> dict[str, str]:
    present = {"ip": "/usr/sbin/ip", "/opt/mine": "/opt/mine"}
    found = _input.check_commands(commands, staged or {}, present.get)
    return {problem.place(): problem.allowed for problem in found}


def command(*argv: str, undo: list[str] | None = None) -> dict[str, Any]:
    return {"argv": list(argv), "undo": undo}


def test_programs_are_on_the_host() -> None:
    assert wrong_commands([command("ip", "link"), command("/opt/mine", undo=["ip"])]) == {}
    answers = wrong_commands(
        [command("no-such"), command(), command("./mine"), command("ip", undo=["/no/such"]), command("", undo=[])]
    )
    assert list(answers) == [
        f"commands[{n}].{key}" for n, key in enumerate(("argv", "argv", "argv", "undo", "argv"))
    ] + ["commands[4].undo"]
    assert "on the host" in answers["commands[0].argv"]
    assert "absolute path" in answers["commands[2].argv"]


def test_a_program_may_come_with_the_change_but_not_what_undoes_it() -> None:
    staged = {
        "/usr/local/sbin/new": {"state": "present", "mode": 0o755},
        "/etc/data": {"state": "present", "mode": 0o644},
    }
    assert wrong_commands([command("new"), command("/usr/local/sbin/new", undo=["ip"])], staged) == {}
    assert list(wrong_commands([command("/etc/data")], staged)) == ["commands[0].argv"]
    answers = wrong_commands([command("ip", undo=["new"])], staged)
    assert answers == {
        "commands[0].undo": "a program that is there without this change: it is run with the old files in place"
    }


def test_a_program_that_the_change_takes_away_can_only_undo() -> None:
    staged = {"/opt/mine": {"state": "absent", "mode": 0}}
    assert list(wrong_commands([command("/opt/mine", undo=["/opt/mine"])], staged)) == ["commands[0].argv"]


def test_the_options_are_looked_at_together() -> None:
    wrong = {
        "timeout": 4,
        "admit": ["192.0.2.0/24", "everybody", "192.0.2.0/33"],
        "connect": "gate.example",
        "rollback": True,
        "files": [file("/etc/mine")],
        "commands": [command("ip")],
    }
    problems = _input.check_options({**DEFAULTS, **wrong})
    assert [problem.place() for problem in problems] == [
        *("timeout", "admit[1]", "admit[2]", "connect", "files", "commands")
    ]
    assert "a reload eats none of them" in problems[0].allowed
    assert _input.check_options({**DEFAULTS, "timeout": 5, "admit": ["2001:db8::/32"], "connect": "2001:db8::1"}) == []


def test_only_root_commits() -> None:
    assert _input.check_user(0) == []
    assert "say become: true" in str(_input.check_user(1000)[0])


def test_the_kernels_list_of_mounts_is_read() -> None:
    mounts = _mounts.parse(MOUNTS.strip())
    assert [mount.point for mount in mounts if not mount.writable] == ["/usr", "/srv/with space"]

    def kind(path: str) -> tuple[str, str]:
        found = _mounts.covering(mounts, path)
        return (found.point, found.kind) if found else ("", "")

    assert kind("/usr/lib/x") == ("/usr", "ext4")
    assert kind("/usrlocal") == ("/", "ext4")
    # The last one hides the others.
    assert kind("/proc/x") == ("/proc", "tmpfs")


def test_what_a_power_cut_takes_is_known() -> None:
    mounts = _mounts.parse(MOUNTS.strip())
    points = {
        path: _mounts.in_memory(mounts, path, lambda _path: True)
        for path in ("/var/lib/x", "/run/x", "/etc/x", "/usr/x")
    }
    assert {path: mount.kind if mount else None for path, mount in points.items()} == {
        "/var/lib/x": None,
        "/run/x": "tmpfs",
        # What it writes goes to /run.
        "/etc/x": "overlay",
        "/usr/x": None,
    }
    # A container's own /run is not the one that its machine mounted its disk from.
    assert _mounts.in_memory(mounts, "/etc/x", lambda _path: False) is None
