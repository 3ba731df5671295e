# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""What a user may ask of a commit: every wrong value at once, before anything is armed."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _mounts
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

# The shortest window in which a controller can log in anew, try again, and say so.
SHORTEST_TIMEOUT = 5
# Where a unit of systemd finds programs, whatever the PATH of the login is.
UNIT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The guard cannot put back what it works with.
OWN = ("/etc/.kvmnet", "/var/lib/kvmnet/guard", "/etc/systemd/system/kvmnet-guard-boot.service")

_NO_FILES = {"directory": "a directory", "special": "a device, a socket or a pipe"}

Entries = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Place:
    """What is at a path now.

    Args:
        kind: C(file), C(nothing), C(directory), C(link) or C(special).
        leads: where a link leads.
        blocked: what stands where a directory would have to be.
        mount: the file system that a file there is on.
    """

    kind: str
    leads: str = ""
    blocked: str = ""
    mount: _mounts.Mount | None = None


def look(path: str) -> Place:
    """Return what is at a path."""
    near = _mounts.nearest(str(Path(path).parent))
    mount = _mounts.covering(_mounts.read(), near)
    if not Path(near).is_dir():
        return Place("nothing", blocked=near, mount=mount)
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return Place("nothing", mount=mount)
    if stat.S_ISLNK(mode):
        return Place("link", leads=os.path.realpath(path), mount=mount)
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory"}
    return Place(kinds.get(stat.S_IFMT(mode), "special"), mount=mount)


def check_files(files: Entries, at: Callable[[str], Place] = look) -> list[Problem]:
    """Check the user's own files."""
    problems = []
    paths: list[str] = []
    for index, entry in enumerate(files):
        why = _wrong_path(entry, at, paths)
        paths.append(entry["path"])
        if why:
            problems.append(Problem("files", index, "path", entry["path"], why))
        if entry["state"] == "present" and entry.get("content") is None:
            problems.append(Problem("files", index, "content", None, "the file's text, unless state is absent"))
        mode = entry["mode"]
        # Without quotes YAML makes the number 420 of 0644, which looks like an octal mode too.
        if not isinstance(mode, str) or not re.fullmatch("[0-7]{3,4}", mode):
            problems.append(Problem("files", index, "mode", mode, "an octal mode as a quoted string, such as '0644'"))
    return problems


def _wrong_path(entry: Mapping[str, Any], at: Callable[[str], Place], before: list[str]) -> str:
    """Return what would be right, or nothing."""
    path = entry["path"]
    plain = path.startswith("/") and not path.startswith("//") and os.path.normpath(path) == path and "\0" not in path
    if not plain or path == "/":
        return "an absolute path in its plain form, without '..', '//' or '/' at its end"
    if path in before:
        return f"each path once: files[{before.index(path)}] has it"
    if any(path == own or path.startswith(f"{own}/") for own in OWN):
        return "a path outside the guard's own files, which it could not put back"
    place = at(path)
    if place.kind == "link":
        return f"the path of the file itself, {place.leads}: this is a link to it"
    if place.kind in _NO_FILES:
        return f"the path of a file: what is there is {_NO_FILES[place.kind]}"
    if place.blocked:
        return f"a path below directories: {place.blocked} is none"
    if place.mount is None or (entry["state"] == "absent" and place.kind == "nothing"):
        return ""
    if place.mount.kind in _mounts.VIRTUAL:
        return f"a path on a disk: {place.mount.point} is the kernel's own ({place.mount.kind}); use commands"
    if not place.mount.writable:
        return f"a path that can be written: the file system {place.mount.point} is mounted read-only"
    return ""


def find_program(name: str) -> str | None:
    """Return where a unit of systemd finds a program on the host as it is."""
    return shutil.which(name, path=UNIT_PATH)


def check_commands(
    commands: Entries,
    staged: Mapping[str, Mapping[str, Any]],
    find: Callable[[str], str | None] = find_program,
) -> list[Problem]:
    """Check the user's own commands.

    Args:
        commands: the commands.
        staged: what becomes of files: path -> state and mode. A program may come, or go, with the change.
        find: where a program is on the host now.
    """
    problems = []
    for index, command in enumerate(commands):
        for key in ("argv", "undo"):
            argv = command[key]
            if argv is None:
                continue
            why = _wrong_program(argv, staged if key == "argv" else {}, find)
            if why and key == "undo" and argv and not _wrong_program(argv, staged, find):
                why = "a program that is there without this change: it is run with the old files in place"
            if why:
                problems.append(Problem("commands", index, key, argv[0] if argv else argv, why))
    return problems


def _wrong_program(argv: list[str], staged: Mapping[str, Mapping[str, Any]], find: Callable[[str], str | None]) -> str:
    if not argv or not argv[0]:
        return "a program and its arguments"
    name = argv[0]
    if "/" in name and not name.startswith("/"):
        return "a program by its name, or by an absolute path"
    paths = [name] if "/" in name else [f"{directory}/{name}" for directory in UNIT_PATH.split(":")]
    entries = [(path, staged[path]) for path in paths if path in staged]
    if any(entry["state"] == "present" and entry["mode"] & 0o111 for _path, entry in entries):
        return ""
    found = find(name)
    if found is None:
        return f"a program that is on the host, in {UNIT_PATH} or by its absolute path"
    return "a program that this change leaves there, with a mode that lets it be run" if found in staged else ""


def staged_files(files: Entries) -> dict[str, dict[str, Any]]:
    """Return what the user's own files become, in the form of a candidate's entries."""
    found = {}
    for entry in files:
        octal = re.fullmatch("[0-7]{1,4}", str(entry["mode"]))
        found[entry["path"]] = {"state": entry["state"], "mode": int(octal[0], 8) if octal else 0}
    return found


def check_user(number: int) -> list[Problem]:
    """Check who the module runs as: nobody but root can read what was staged."""
    allowed = "root on the host: say become: true, or log in as root"
    return [Problem("become", None, None, f"user {number}", allowed)] if number else []


def check_options(params: Mapping[str, Any]) -> list[Problem]:
    """Check the options that say how to commit."""
    problems = []
    if params["timeout"] < SHORTEST_TIMEOUT:
        allowed = (
            f"at least {SHORTEST_TIMEOUT} seconds: they count from the end of the apply, a reload eats none of them, "
            "but a new connection has to log in, try again and confirm"
        )
        problems.append(Problem("timeout", None, None, params["timeout"], allowed))
    for index, network in enumerate(params["admit"]):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            problems.append(Problem("admit", index, None, network, "an address or a network, such as 192.0.2.0/24"))
    if params["connect"] is not None:
        try:
            ipaddress.ip_address(params["connect"])
        except ValueError:
            allowed = "an address, since a name may still lead to the old one"
            problems.append(Problem("connect", None, None, params["connect"], allowed))
    for key in ("files", "commands"):
        if params["rollback"] and params[key]:
            allowed = "nothing with rollback, which puts back what the last commit did: leave them out"
            problems.append(Problem(key, None, None, f"{len(params[key])} of them", allowed))
    return problems
