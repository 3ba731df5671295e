# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What the module config_files is asked for, read and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "50-kvmnet-"
# From the weakest to the strongest: when several rules of a unit apply, the strongest one covers the others.
ACTIONS = ("signal-HUP", "reload", "reload-or-restart", "restart")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(?:service|socket|timer|path|mount|target)")
_MODE = re.compile(r"0?[0-7]{3,4}")


@dataclass(frozen=True)
class FileWant:
    """A file as it should be; no content means that it should not be there."""

    path: str
    content: bytes | None
    mode: int
    force: bool


@dataclass(frozen=True)
class Trigger:
    """What a unit does when one of these files, or a file in one of these directories, changes."""

    paths: tuple[str, ...]
    action: str


@dataclass(frozen=True)
class UnitWant:
    """A unit as it should be; None is not managed."""

    name: str
    enabled: bool | None
    started: bool | None
    masked: bool | None
    order: int
    triggers: tuple[Trigger, ...]
    index: int = 0


@dataclass(frozen=True)
class Command:
    """A program to run when one of these files changes."""

    argv: tuple[str, ...]
    undo: tuple[str, ...]
    paths: tuple[str, ...]
    order: int
    before: bool = False


@dataclass(frozen=True)
class LeaseWatch:
    """A dnsmasq lease file that must not contradict a file of reservations."""

    leases: str
    reservations: str
    interfaces: Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """Everything the module is asked for."""

    files: tuple[FileWant, ...]
    exclusive: tuple[tuple[str, str], ...]
    validate: tuple[tuple[str, ...], ...]
    units: tuple[UnitWant, ...]
    commands: tuple[Command, ...]
    release: LeaseWatch | None


def touches(paths: Iterable[str], path: str) -> bool:
    """Whether a path is one of these, or lies directly in one of these directories."""
    return any(path == item or str(PurePosixPath(path).parent) == item.rstrip("/") for item in paths)


def _is_path(path: str) -> bool:
    pure = PurePosixPath(path)
    return pure.is_absolute() and ".." not in pure.parts and pure.name != ""


def _read_files(rows: Iterable[Mapping[str, Any]], problems: list[Problem]) -> list[FileWant]:
    files = []
    seen: dict[str, int] = {}
    for index, row in enumerate(rows):
        path = str(row["path"])
        if not _is_path(path):
            problems.append(Problem("files", index, "path", path, "an absolute path without '..'"))
        first = seen.setdefault(path, index)
        if first != index:
            problems.append(Problem("files", index, "path", path, f"a path of its own: files[{first}] has this one"))
        present = row["state"] == "present"
        if present and row["content"] is None:
            problems.append(Problem("files", index, "content", None, "the file's text, unless state is absent"))
        mode = row["mode"]
        # Without quotes YAML makes the number 420 of 0644, which looks like an octal mode too
        if not isinstance(mode, str) or not _MODE.fullmatch(mode):
            problems.append(Problem("files", index, "mode", mode, "an octal mode as a quoted string, such as '0644'"))
            mode = "0644"
        content = str(row["content"] or "").encode() if present else None
        files.append(FileWant(path, content, int(mode, 8), bool(row["force"])))
    return files


def _read_exclusive(rows: Iterable[Mapping[str, Any]], problems: list[Problem]) -> list[tuple[str, str]]:
    exclusive = []
    for index, row in enumerate(rows):
        directory, prefix = str(row["directory"]).rstrip("/"), str(row["prefix"])
        if not _is_path(directory):
            problems.append(Problem("exclusive", index, "directory", directory, "an absolute path without '..'"))
        if not prefix or "/" in prefix:
            problems.append(
                Problem(
                    "exclusive",
                    index,
                    "prefix",
                    prefix,
                    f"the beginning of the names of your own files, such as {PREFIX}",
                )
            )
        exclusive.append((directory, prefix))
    return exclusive


class _Paths:
    """The paths that triggers may name, so that a typo in one does not make it silent."""

    def __init__(
        self, files: Iterable[FileWant], exclusive: Iterable[tuple[str, str]], problems: list[Problem]
    ) -> None:
        self._paths = [file.path for file in files]
        self._directories = [directory for directory, _prefix in exclusive]
        self._problems = problems

    def check(self, variable: str, index: int, named: Iterable[str]) -> tuple[str, ...]:
        checked = tuple(named)
        for path in checked:
            inside = str(PurePosixPath(path).parent) in self._directories
            if path not in self._paths and path.rstrip("/") not in self._directories and not inside:
                allowed = "a path of files, a directory of exclusive, or a file in one"
                self._problems.append(Problem(variable, index, "paths", path, allowed))
        return checked


def _read_units(rows: Iterable[Mapping[str, Any]], paths: _Paths, problems: list[Problem]) -> list[UnitWant]:
    units: dict[str, UnitWant] = {}
    for index, row in enumerate(rows):
        name = str(row["name"])
        if not _UNIT.fullmatch(name):
            problems.append(Problem("units", index, "name", name, "a unit's full name, such as dnsmasq@kvmnet.service"))
        watched = paths.check("units", index, row["paths"])
        if bool(watched) != (row["action"] is not None):
            key, other = ("action", "paths") if watched else ("paths", "action")
            problems.append(Problem("units", index, key, None, f"given together with {other}"))
        started = None if row["state"] is None else row["state"] == "started"
        if row["masked"] and (row["enabled"] or started):
            problems.append(
                Problem("units", index, "masked", True, "false for a unit that is to be enabled or started")
            )
        before = units.get(name, UnitWant(name, None, None, None, row["order"], (), index))
        triggers = (*before.triggers, Trigger(watched, row["action"])) if watched and row["action"] else before.triggers
        units[name] = UnitWant(
            name=name,
            enabled=before.enabled if row["enabled"] is None else row["enabled"],
            started=before.started if started is None else started,
            masked=before.masked if row["masked"] is None else row["masked"],
            order=before.order,
            triggers=triggers,
            index=before.index,
        )
    return list(units.values())


def _read_argv(variable: str, index: int, argv: Iterable[Any], problems: list[Problem]) -> tuple[str, ...]:
    words = tuple(str(word) for word in argv)
    if not words:
        problems.append(
            Problem(variable, index, None if variable == "validate" else "argv", [], "a program and its arguments")
        )
    return words


def _read_release(row: Mapping[str, Any] | None, problems: list[Problem]) -> LeaseWatch | None:
    if row is None:
        return None
    for interface, address in row["interfaces"].items():
        try:
            IPv4Interface(address)
        except ValueError:
            problems.append(
                Problem(
                    "release", None, f"interfaces.{interface}", address, "the interface's IPv4 address with its prefix"
                )
            )
    return LeaseWatch(row["leases"], row["reservations"], row["interfaces"])


def read_request(params: Mapping[str, Any]) -> tuple[Request, list[Problem]]:
    """Read the module's options.

    Returns:
        What is asked for, and everything that is wrong with it; the former is to be used only when the latter is empty.
    """
    problems: list[Problem] = []
    files = _read_files(params["files"], problems)
    exclusive = _read_exclusive(params["exclusive"], problems)
    paths = _Paths(files, exclusive, problems)
    commands = [
        Command(
            argv=tuple(row["argv"]) if row["undo"] else _read_argv("commands", index, row["argv"], problems),
            undo=tuple(row["undo"] or ()),
            paths=paths.check("commands", index, row["paths"]),
            order=row["order"],
            before=row["before"],
        )
        for index, row in enumerate(params["commands"])
    ]
    if params["stage"] and not params["run_id"]:
        problems.append(Problem("run_id", None, None, None, "the name of the run, with stage"))
    request = Request(
        files=tuple(files),
        exclusive=tuple(exclusive),
        validate=tuple(_read_argv("validate", index, argv, problems) for index, argv in enumerate(params["validate"])),
        units=tuple(_read_units(params["units"], paths, problems)),
        commands=tuple(commands),
        release=_read_release(params["release"], problems),
    )
    return request, problems
