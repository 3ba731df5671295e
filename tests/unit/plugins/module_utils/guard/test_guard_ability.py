# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that could not be undone on this host is not begun, and what is missing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _ability, _input, _mounts
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._ability import Disk, Host, Needs

PROGRAMS = ("ip", "sysctl", "systemctl", "systemd-run", "networkctl", "iptables-save", "iptables-restore")
ROOT = _mounts.Mount("/", "ext4")
MEMORY = _mounts.Mount("/run", "tmpfs")
MIB = 1 << 20
STATE = Disk("/var/lib/kvmnet/guard", 1, 100 * MIB, 1000, ROOT)
ETC = Disk("/etc/.kvmnet", 1, 100 * MIB, 1000, ROOT)
GOOD = Host(
    systemd=True,
    programs={program: f"/usr/sbin/{program}" for program in PROGRAMS},
    networkd=True,
    python=("/usr/bin/python3", ROOT),
    masked=(),
    state=STATE,
    etc=ETC,
)
NEEDS = Needs(state=(6 * MIB, 80), etc=(6 * MIB, 80))


def said(host: Host, needs: Needs = NEEDS) -> dict[str, str]:
    return {problem.place(): problem.allowed for problem in _ability.check(host, needs)}


def without(*programs: str) -> dict[str, str | None]:
    return {program: None if program in programs else path for program, path in GOOD.programs.items()}


def test_a_host_that_can_undo_is_taken() -> None:
    assert said(GOOD) == {}
    # No limit of inodes, and lists of addresses where there is ipset.
    programs = {**GOOD.programs, "ipset": "/usr/sbin/ipset"}
    assert said(replace(GOOD, programs=programs, etc=replace(ETC, files=None)), Needs(programs=["ipset"])) == {}


def test_a_host_without_systemd_is_refused() -> None:
    assert "booted by systemd" in said(replace(GOOD, systemd=False))["host.systemd"]


@pytest.mark.parametrize("program", ["ip", "sysctl", "systemctl", "systemd-run", "networkctl"])
def test_what_the_undo_calls_is_there(program: str) -> None:
    assert list(said(replace(GOOD, programs=without(program)))) == [f"host.{program}"]


def test_only_what_will_be_called_is_asked_for() -> None:
    programs = without("networkctl", "iptables-save", "iptables-restore")
    assert said(replace(GOOD, programs=programs, networkd=False)) == {}


def test_rules_that_are_saved_can_be_restored() -> None:
    answers = said(replace(GOOD, programs=without("iptables-restore")))
    assert answers == {"host.iptables-restore": "this program beside iptables-save: install iptables"}


def test_lists_of_addresses_need_their_program() -> None:
    assert list(said(GOOD, Needs(programs=["ipset"]))) == ["host.ipset"]


@pytest.mark.parametrize(
    ("python", "mount", "words"),
    [
        ("", None, "absolute path"),
        ("/run/venv/bin/python", MEMORY, "in memory (tmpfs)"),
        ("/home/me/venv/bin/python", _mounts.Mount("/home", "nfs4"), "without the network"),
    ],
)
def test_the_interpreter_is_there_at_the_next_boot(python: str, mount: _mounts.Mount | None, words: str) -> None:
    assert words in said(replace(GOOD, python=(python, mount)))["host.python"]


def test_a_masked_unit_is_named_with_the_remedy() -> None:
    answers = said(replace(GOOD, masked=("kvmnet-guard-boot.service",)))
    assert "systemctl unmask kvmnet-guard-boot.service" in answers["host.kvmnet-guard-boot.service"]


def test_what_is_saved_outlives_a_power_cut() -> None:
    overlay = _mounts.Mount("/", "overlay", upper="/run/upper")
    answers = said(replace(GOOD, state=replace(STATE, mount=overlay, memory=overlay)))
    assert "in memory (overlay)" in answers["host.state"]
    # On a host without a disk the change goes as well.
    assert said(replace(GOOD, state=replace(STATE, memory=overlay), etc=replace(ETC, memory=overlay))) == {}


def test_a_place_that_cannot_be_written_is_named() -> None:
    fixed = _mounts.Mount("/etc", "squashfs", writable=False)
    assert "/etc is mounted read-only" in said(replace(GOOD, etc=replace(ETC, mount=fixed)))["host.etc"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"free": 11 * MIB}, "12.0 MiB free there"), ({"files": 159}, "160 free inodes there")],
)
def test_one_disk_has_room_for_both(changes: dict[str, Any], words: str) -> None:
    full = replace(GOOD, state=replace(STATE, **changes), etc=replace(ETC, **changes))
    assert words in said(full)["host.state"]
    assert list(said(full)) == ["host.state"]
    apart = replace(full, etc=replace(ETC, number=2, **changes))
    assert said(apart) == {}
    scarce = replace(apart, etc=replace(ETC, number=2, free=5 * MIB, files=79))
    assert list(said(scarce)) == ["host.etc"]


def test_what_is_needed_follows_the_candidate(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/old").write_bytes(b"x" * 1000)
    candidate = Candidate("run", tmp_path / "candidate", host_root=tmp_path)
    small = _ability.needs(candidate)
    candidate.put("/etc/old", b"y" * 5000)
    candidate.step("ipset", "/etc/lists", 50, names=["a"])
    more = _ability.needs(candidate)
    assert more.state[0] - small.state[0] == 2000
    assert more.etc[0] - small.etc[0] == 10000
    assert more.state[1] - small.state[1] == more.etc[1] - small.etc[1] == 2
    assert (small.programs, more.programs) == ([], ["ipset"])


def test_this_host_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ip"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(_input, "UNIT_PATH", str(tmp_path))
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / _ability.WATCHER).symlink_to("/dev/null")
    monkeypatch.setattr(_ability, "_MASKS", (tmp_path / "units",))
    monkeypatch.setattr(_ability._apply, "STATE", tmp_path / "not" / "yet")
    host = _ability.look(Candidate("run", None))
    assert host.programs["ip"] == str(program)
    assert host.programs["sysctl"] is None
    assert host.masked == (_ability.WATCHER,)
    assert host.state.number == tmp_path.stat().st_dev
    assert host.state.free > 0
    assert host.python[0]
