# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Long lists of addresses in rows as sets of the kernel, which nobody has to know of.

The user's rows, and everything that is said of them, have the addresses. The files have a set in their place, so that
other addresses are no other configuration: nothing is compiled and nothing reloaded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._addresses import (
    PLACES,
    is_long,
    mask,
    put_together,
    take_apart,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import FileSpec
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import Row

Members = tuple[str, ...]
_NAME = re.compile(r"kvmnet[46]_\w*")
_MARK = "+kvmnet"
_NAMED = re.compile(r"(?P<head>.*)\+(?P<name>kvmnet[46]_\w+)")


class Use(NamedTuple):
    """What a list is there for: where its row stands, the row's columns without their addresses, the list's column."""

    file: str
    section: str
    said: tuple[tuple[str, str], ...]
    inline: str
    column: str


def is_derived(name: str) -> bool:
    """Whether a set is one of those that stand for lists in rows."""
    return _NAME.fullmatch(name) is not None


def named_in(text: str) -> set[str]:
    """Return the names of such sets in a file."""
    return set(re.findall(r"\+(kvmnet[46]_\w+)", text))


def uses_of(spec: FileSpec, row: Row) -> Iterator[tuple[str, Use]]:
    """Yield the columns of a row that can hold a list, each with what it is there for."""
    columns = PLACES.get(spec.name, ())
    if not columns:
        return
    said: tuple[tuple[str, str], ...] = ()
    for column, _unused in row.values:
        if column not in columns:
            continue
        # The destination of a translation is no list to compare with.
        if column == "dest" and re.match(r"DNAT|REDIRECT", row.get("action")):
            continue
        if not said:
            said = tuple((name, _masked(value) if name in columns else value) for name, value in row.values)
        yield column, Use(spec.name, row.section, said, row.inline, column)


def _masked(text: str) -> str:
    found = _NAMED.fullmatch(text)
    return f"{found['head']}(addresses)" if found else mask(text)


def _with(row: Row, column: str, text: str) -> Row:
    return replace(row, values=tuple((name, text if name == column else value) for name, value in row.values))


@dataclass
class Lists:
    """The sets that stand for lists in the rows of a firewall.

    Args:
        version: the version of IP.
        known: those of the host, by name.
        users: what each of them is used for in the files of the host.
        enabled: whether lists become sets at all.
        staged: those that were staged before.
        chosen: those of the rows that are being staged.
    """

    version: int
    known: Mapping[str, Members]
    users: dict[str, set[Use]] = field(default_factory=dict)
    enabled: bool = True
    staged: Mapping[str, Members] = field(default_factory=dict)
    chosen: dict[str, Members] = field(default_factory=dict)

    def note_users(self, spec: FileSpec, rows: Iterable[Row]) -> None:
        """Note what the rows of a file of the host use sets for."""
        for row in rows if self.known else ():
            for column, use in uses_of(spec, row) if any(_MARK in text for _unused, text in row.values) else ():
                found = _NAMED.fullmatch(row.get(column))
                if found:
                    self.users.setdefault(found["name"], set()).add(use)

    def expand(self, spec: FileSpec, row: Row) -> Row:
        """Return a row of a file with its addresses."""
        if not any(_MARK in text for _unused, text in row.values):
            return row
        for column in PLACES.get(spec.name, ()):
            found = _NAMED.fullmatch(row.get(column))
            members = self._members(found["name"]) if found else None
            if found and members:
                row = _with(row, column, put_together(found["head"], members, self.version))
        return row

    def _members(self, name: str) -> Members:
        return self.chosen.get(name) or self.staged.get(name) or self.known.get(name, ())

    def compact(self, spec: FileSpec, rows: list[Row], written: Iterable[Row] = ()) -> list[Row]:
        """Return the rows with a set in the place of each long list.

        Args:
            spec: the file.
            rows: its rows.
            written: those that stand in the file with their addresses, and stay as they are until these change.
        """
        if not self.enabled:
            return rows
        places: dict[int, dict[str, tuple[str, Members]]] = {}
        groups: dict[Members, list[Use]] = {}
        there: set[Row] | None = None
        for number, row in enumerate(rows):
            if not any(is_long(row.get(column)) for column in PLACES.get(spec.name, ())):
                continue
            there = set(written) if there is None else there
            if row in there:
                continue
            for column, use in uses_of(spec, row):
                text = row.get(column)
                found = take_apart(text) if is_long(text) else None
                if found and found[2] == self.version:
                    places.setdefault(number, {})[column] = (found[0], found[1])
                    groups.setdefault(found[1], []).append(use)
        names = self._name_all(groups)
        result = list(rows)
        for number, columns in places.items():
            for column, (head, members) in columns.items():
                result[number] = _with(result[number], column, f"{head}+{names[members]}")
        return result

    def _name_all(self, groups: Mapping[Members, list[Use]]) -> dict[Members, str]:
        """Name the sets: a list that is there keeps its name, and so does one that takes another's place everywhere.

        Else it is a new set: one that rules in the kernel still use for something else is filled before these are
        replaced.
        """
        taken = {members: name for name, members in self.chosen.items()}
        same: dict[Members, list[str]] = {}
        for name, members in self.known.items():
            same.setdefault(tuple(members), []).append(name)
        names = {members: taken[members] for members in groups if members in taken}
        for members, uses in groups.items():
            if members not in names and members in same:
                mine = [name for name in same[members] if self.users.get(name, set()) & set(uses)]
                names[members] = (mine or same[members])[0]
        for members, uses in groups.items():
            if members in names:
                continue
            used = {*names.values(), *self.chosen}
            wanted = set(uses)
            free = [name for name, others in self.users.items() if others and others <= wanted and name not in used]
            names[members] = free[0] if free else self._new_name(uses[0], used | self.known.keys())
        self.chosen.update({name: members for members, name in names.items()})
        return names

    def _new_name(self, use: Use, used: set[str]) -> str:
        text = dict(use.said)[use.column]
        zone = re.sub(r"\W", "", text.partition(":")[0].partition("(")[0]) or use.file
        number = 0
        while True:
            digest = hashlib.sha256(repr((tuple(use), number)).encode()).hexdigest()[:8]
            name = f"kvmnet{self.version}_{zone[:14]}_{digest}"
            if name not in used:
                return name
            number += 1
