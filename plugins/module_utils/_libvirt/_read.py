# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Read what a call says by its spec: what is wrong becomes problems, and what is right is left for all other checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.validation import check_type_bool, check_type_dict, check_type_int, check_type_list

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import argument_spec
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._patch import problem_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._seed import USER_SPEC
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._units import CONTROL, meant_key, whole
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

# Lists whose members' places are told of later too
_NUMBERED = ("nics", "disks")
_WORDS = {"str": "a text", "path": "a path", "bool": "true or false", "list": "a list", "dict": "a dictionary"}

Spec = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Entry:
    """One entry of C(guests).

    Args:
        values: what it says, as far as that is right. A member of a list keeps its place, and lacks what is wrong.
        position: its place in the list.
        unread: the options that it says something wrong about, or by a wrong name: nothing follows from their absence.
    """

    values: Mapping[str, Any]
    position: int
    unread: frozenset[str] = frozenset()


def place(entry: Mapping[str, Any], position: int) -> tuple[str, int | None]:
    """Return the inventory variable and the index that an entry came from."""
    variable, bracket, index = str(entry.get("source") or "").partition("[")
    if bracket and index.rstrip("]").isdigit():
        return variable, int(index.rstrip("]"))
    return "guests", position


class _WrongError(Exception):
    """A value is not what its option takes; the text is what would be allowed."""


def _plain(name: str, spec: Mapping[str, Any], value: Any) -> Any:
    """Return a value in its option's type, converted from what Ansible converts it from."""
    kind = spec["type"]
    words = _WORDS.get(kind) or whole(name, value)
    try:
        if kind == "int":
            if isinstance(value, (bool, float)):
                raise _WrongError(words)
            return check_type_int(value)
        if kind == "bool":
            return check_type_bool(value)
        if kind == "dict":
            return check_type_dict(value)
        if kind == "list":
            if isinstance(value, Mapping):
                raise _WrongError(words)
            return list(value) if isinstance(value, (list, tuple)) else check_type_list(value)
    except TypeError:
        raise _WrongError(words) from None
    if not isinstance(value, (str, int, float)):
        raise _WrongError(words)
    if CONTROL.search(str(value)):
        raise _WrongError(f"{words} without control characters")
    return str(value)


def _awaited(item: Any) -> Any:
    if isinstance(item, Mapping) and len(item) == 1 and "port" in item:
        port = _plain("port", {"type": "int"}, item["port"])
        return {"port": port} if 0 < port < 65536 else None
    return item if item in ("lease", "agent") else None


def _value(name: str, spec: Mapping[str, Any], value: Any) -> Any:
    found = _plain(name, spec, value)
    choices = spec.get("choices")
    if spec["type"] != "list":
        if choices and found not in choices:
            raise _WrongError(f"one of {', '.join(choices)}")
        return found
    if choices:
        if any(item not in choices for item in found):
            raise _WrongError(f"a list of {', '.join(choices)}")
    elif spec["elements"] == "raw":
        words = "a list of lease, agent and port: NUMBER"
        try:
            found = [_awaited(item) for item in found]
        except _WrongError:
            raise _WrongError(words) from None
        if None in found:
            raise _WrongError(words)
    elif spec["elements"] == "str":
        if not all(isinstance(item, (str, int, float)) and not isinstance(item, bool) for item in found):
            raise _WrongError("a list of texts")
        return [str(item) for item in found]
    elif not all(isinstance(item, Mapping) for item in found):
        raise _WrongError("a list of dictionaries")
    return found


@dataclass
class _Found:
    values: dict[str, Any]
    unread: set[str]
    problems: list[Problem]


def _known_keys(meant: str | None, spec: Iterable[str]) -> str:
    known = ", ".join(name for name in spec if name != "source")
    return f"no such key{f', did you mean {meant}?' if meant else ';'} Known: {known}"


def read(variable: str, index: int | None, prefix: str, entry: Mapping[str, Any], spec: Spec) -> _Found:
    """Read an entry, and what is in it, by a spec."""
    found = _Found({}, set(), [])

    def wrong(key: str, value: object, allowed: str) -> None:
        found.problems.append(Problem(variable, index, f"{prefix}{key}", value, allowed))
        found.unread.add(key)

    for key, value in entry.items():
        if key not in spec:
            meant = meant_key(str(key), spec)
            # The name, not the value: what stands under a wrong name may be a secret
            wrong(str(key), str(key), _known_keys(meant, spec))
            found.unread.update([meant] if meant else [])
        elif value is not None:
            try:
                found.values[key] = _value(key, spec[key], value)
            except _WrongError as exc:
                wrong(key, value, str(exc))
    for key, row in spec.items():
        if row.get("required") and entry.get(key) is None and key not in found.unread:
            wrong(key, None, _WORDS.get(row["type"]) or whole(key, None))
    for key, row in spec.items():
        if "options" in row and key in found.values:
            _read_members(found, variable, index, f"{prefix}{key}", key, row["options"])
    return found


def _read_members(found: _Found, variable: str, index: int | None, path: str, key: str, spec: Spec) -> None:
    value = found.values[key]
    alone = isinstance(value, Mapping)
    members = []
    for number, member in enumerate([value] if alone else value):
        here = path if alone else f"{path}[{number}]"
        inner = read(variable, index, f"{here}.", member, spec)
        found.problems += inner.problems
        if key == "xml_patch" and not inner.problems and (allowed := problem_of(inner.values)) is not None:
            found.problems.append(Problem(variable, index, here, inner.values.get("xml"), allowed))
            continue
        if inner.problems:
            found.unread.add(key)
        # One that is not known by what it must have is not one to go on with
        lacks = any(row.get("required") and name not in inner.values for name, row in spec.items())
        if not lacks or key in _NUMBERED:
            members.append({} if lacks else inner.values)
    found.values[key] = members[0] if alone else members


def read_entries(entries: Sequence[Any]) -> tuple[list[Entry], list[Problem]]:
    """Read the entries of C(guests)."""
    spec = argument_spec()
    spec["users"] = {**spec["users"], "options": USER_SPEC}
    rows: list[Entry] = []
    problems: list[Problem] = []
    for position, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            problems.append(Problem("guests", position, None, entry, "a dictionary"))
            continue
        variable, index = place(entry, position)
        found = read(variable, index, "", entry, spec)
        problems += found.problems
        rows.append(Entry(found.values, position, frozenset(found.unread)))
    return rows, problems


def read_users(users: Sequence[Any]) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Read the users of all guests."""
    found: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for index, user in enumerate(users):
        if not isinstance(user, Mapping):
            problems.append(Problem("users", index, None, user, "a dictionary with name and ssh_keys"))
            continue
        row = read("users", index, "", user, USER_SPEC)
        problems += row.problems
        if "name" in row.values:
            found.append(row.values)
    return found, problems


def read_call(params: Mapping[str, Any], spec: Spec) -> tuple[dict[str, Any], list[Problem]]:
    """Read what a call says, its lists of entries as they are: those are read for themselves, and keep their places."""
    given = {key: value for key, value in params.items() if value is not None}
    named = [key for key, row in spec.items() if "options" in row and isinstance(given.get(key), (list, tuple))]
    lists = {key: list(given.pop(key)) for key in named}
    bare = {key: {name: of for name, of in row.items() if name != "options"} for key, row in spec.items()}
    found = read("", None, "", given, {key: row for key, row in bare.items() if key not in lists})
    problems = [Problem(str(problem.key), None, None, problem.value, problem.allowed) for problem in found.problems]
    defaults = {key: row.get("default", []) for key, row in spec.items()}
    return {**defaults, **found.values, **lists}, problems


def told_once(problems: Iterable[Problem], told: Iterable[Problem]) -> list[Problem]:
    """Leave out what is only another word on a place of which something was told already."""
    places = {problem.place() for problem in told}
    return [problem for problem in problems if problem.place() not in places]


def _rank(problem: Problem) -> tuple[bool, str, int]:
    if problem.index is None:
        return problem.variable == "images", "", 0
    return False, problem.variable, problem.index


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems as a reader goes through a call: its own options, its lists by index, the images."""
    return sorted(problems, key=_rank)
