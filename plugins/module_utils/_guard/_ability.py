# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Whether what undoes a change could run on this host: a change that could not be undone is not begun."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import ROOT, Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply, _exchange, _mounts
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._input import UNIT_PATH, find_program
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import KEPT_DIRECTORIES
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

UNITS = Path("/etc/systemd/system")
WATCHER = "kvmnet-guard.service"
BOOT_UNIT = UNITS / "kvmnet-guard-boot.service"
# Where a unit is looked for, the first place first; a link to /dev/null there masks it.
_MASKS = (UNITS, Path("/run/systemd/system"))
_NEEDED = ("ip", "sysctl", "systemctl", "systemd-run")
# What reads a state that another program puts back: the one without the other saves what nobody restores.
_PAIRS = {"iptables-save": "iptables-restore", "ip6tables-save": "ip6tables-restore"}
# The program itself, the reports, and the reserve that is held besides.
_SPARE = 4 << 20
_SPARE_FILES = 64
_PACKAGES = {"ip": "iproute2", "sysctl": "procps", "iptables-restore": "iptables", "ip6tables-restore": "iptables"}


@dataclass(frozen=True)
class Disk:
    """A place that is written to.

    Args:
        path: where.
        number: which file system it is on.
        free: free bytes.
        files: free inodes, or None where there is no limit.
        mount: its file system.
        memory: the mount by which it does not outlive a power cut.
    """

    path: str
    number: int
    free: int
    files: int | None
    mount: _mounts.Mount | None = None
    memory: _mounts.Mount | None = None


@dataclass(frozen=True)
class Host:
    """What undoing a change depends on.

    Args:
        systemd: the host was booted by systemd.
        programs: program -> where a unit finds it.
        networkd: systemd-networkd runs or is to be told something.
        python: the interpreter that the units will call, and the file system that it is on.
        masked: those of the guard's units that are masked.
        state: where everything about a change is kept.
        etc: where the files are changed.
    """

    systemd: bool
    programs: Mapping[str, str | None]
    networkd: bool
    python: tuple[str, _mounts.Mount | None]
    masked: tuple[str, ...]
    state: Disk
    etc: Disk


@dataclass
class Needs:
    """How much is written before a change can be undone: bytes and files on each of the two places."""

    state: tuple[int, int] = (0, 0)
    etc: tuple[int, int] = (0, 0)
    programs: list[str] = field(default_factory=list)


def check(host: Host, needs: Needs) -> list[Problem]:
    """Return what keeps a change from being undone."""
    problems = []
    if not host.systemd:
        allowed = "a host that was booted by systemd, which watches over the change and undoes it at the next boot"
        problems.append(Problem("host", None, "systemd", None, allowed))
    for program in sorted({*_NEEDED, *needs.programs, *(("networkctl",) if host.networkd else ())}):
        if host.programs.get(program) is None:
            package = f": install {_PACKAGES[program]}" if program in _PACKAGES else ""
            problems.append(Problem("host", None, program, None, f"this program in {UNIT_PATH}{package}"))
    for reads, restores in _PAIRS.items():
        if host.programs.get(reads) is not None and host.programs.get(restores) is None:
            allowed = f"this program beside {reads}: install {_PACKAGES[restores]}"
            problems.append(Problem("host", None, restores, None, allowed))
    problems += _check_python(*host.python)
    for unit in host.masked:
        allowed = f"a unit that systemd may start: systemctl unmask {unit}"
        problems.append(Problem("host", None, unit, "masked", allowed))
    return problems + _check_disks(host.state, host.etc, needs)


def _check_python(python: str, mount: _mounts.Mount | None) -> list[Problem]:
    why = ""
    if not python:
        why = "a Python by its absolute path: set ansible_python_interpreter"
    elif mount is not None and mount.kind in _mounts.VOLATILE:
        why = f"a Python that is there at the next boot: {mount.point} is in memory ({mount.kind})"
    elif mount is not None and mount.kind in _mounts.REMOTE:
        why = f"a Python that is there without the network: {mount.point} comes over it ({mount.kind})"
    return [Problem("host", None, "python", python or None, why)] if why else []


def _check_disks(state: Disk, etc: Disk, needs: Needs) -> list[Problem]:
    problems = []
    # A host that keeps nothing comes back with the network that it was delivered with.
    if state.memory is not None and etc.memory is None:
        where = f"{state.memory.point}, which is in memory ({state.memory.kind})"
        allowed = f"a directory on a disk: a power cut would take the undo from {where}"
        problems.append(Problem("host", None, "state", state.path, allowed))
    together = state.number == etc.number
    wanted = {"state": needs.state, "etc": needs.etc}
    if together:
        wanted = {"state": (needs.state[0] + needs.etc[0], needs.state[1] + needs.etc[1])}
    for disk, key in ((state, "state"), (etc, "etc")):
        if disk.mount is not None and not disk.mount.writable:
            allowed = f"a directory that can be written: the file system {disk.mount.point} is mounted read-only"
            problems.append(Problem("host", None, key, disk.path, allowed))
        if key not in wanted:
            continue
        space, files = wanted[key]
        if disk.free < space:
            allowed = f"{_mib(space)} free there, to save what there is and to put it back: there are {_mib(disk.free)}"
            problems.append(Problem("host", None, key, disk.path, allowed))
        if disk.files is not None and disk.files < files:
            allowed = f"{files} free inodes there, to save what there is and to put it back: there are {disk.files}"
            problems.append(Problem("host", None, key, disk.path, allowed))
    return problems


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def needs(candidate: Candidate) -> Needs:
    """Return how much is written before, while and after the candidate is applied."""
    new = sum(len(candidate.read(path) or b"") for path in candidate.entries)
    old = sum(len(candidate.live(path) or b"") for path in candidate.entries)
    count = len(candidate.entries)
    kept, kept_count = _size(KEPT_DIRECTORIES)
    # A firewall's directory is made anew beside the old one, and the old one stays there as the previous one.
    roots = [root for root in _exchange.WHOLE if any(path.startswith(f"{root}/") for path in candidate.entries)]
    whole, whole_count = _size(roots)
    return Needs(
        state=(2 * old + kept + _SPARE, 2 * count + kept_count + _SPARE_FILES),
        etc=(2 * new + 2 * whole + _SPARE // 4, 2 * count + 2 * whole_count + _SPARE_FILES),
        programs=["ipset"] if any(step["kind"].startswith("ipset") for step in candidate.steps.values()) else [],
    )


def _size(directories: Iterable[str]) -> tuple[int, int]:
    sizes = []
    for path in (path for directory in directories for path in Path(directory).rglob("*")):
        # A firewall that is at work makes and removes files there.
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.lstat().st_size)
    return sum(sizes), len(sizes)


def look(candidate: Candidate) -> Host:
    """Return what the host has."""
    mounts = _mounts.read()
    active = Path("/run/systemd/netif/state").exists()
    told = any(step["kind"] == "networkd" for step in candidate.steps.values())
    programs = (*_NEEDED, *_PAIRS, *_PAIRS.values(), "networkctl", "ipset")
    python = os.path.realpath(sys.executable) if sys.executable else ""
    return Host(
        systemd=Path("/run/systemd/system").is_dir(),
        programs={program: find_program(program) for program in programs},
        networkd=active or told,
        python=(sys.executable or "", _mounts.covering(mounts, python) if python else None),
        masked=tuple(unit for unit in (WATCHER, BOOT_UNIT.name) if _is_masked(unit)),
        state=_disk(str(_apply.STATE), mounts),
        etc=_disk(str(ROOT), mounts),
    )


def _is_masked(unit: str) -> bool:
    found = next((place / unit for place in _MASKS if os.path.lexists(place / unit)), None)
    return found is not None and os.path.realpath(found) == os.devnull


def _disk(path: str, mounts: list[_mounts.Mount]) -> Disk:
    near = _mounts.nearest(path)
    about = os.statvfs(near)
    return Disk(
        path=path,
        number=Path(near).stat().st_dev,
        free=about.f_frsize * about.f_bfree,
        files=about.f_ffree if about.f_files else None,
        mount=_mounts.covering(mounts, near),
        memory=_mounts.in_memory(mounts, near),
    )


def check_host(candidate: Candidate) -> list[Problem]:
    """Return what keeps this candidate, once committed, from being undone on this host."""
    return check(look(candidate), needs(candidate))
