# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The module's rows among those of others: which go, which are new, and where those stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import FileSpec
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import (
    COMMENT,
    ORIGIN,
    Row,
    key_of,
    locate,
    read_entries,
    read_entry,
    to_options,
)

# Options of a row that are not written.
STATE, BEFORE, AFTER = "state", "before", "after"
ABSENT = "absent"


@dataclass
class Merged:
    """The rows that a file shall hold.

    Args:
        rows: all of them.
        glued: those that have to stand right before the row that follows them.
        problems: what is wrong with the entries.
    """

    rows: list[Row] = field(default_factory=list)
    glued: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def numbered(entries: Iterable[Mapping[str, Any]], option: str) -> list[dict[str, Any]]:
    """Return entries that each know where they come from, whatever is put before or taken out from between them."""
    return [{**entry, ORIGIN: entry.get(ORIGIN) or f"{option}[{index}]"} for index, entry in enumerate(entries)]


def present(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries that shall be there."""
    return [dict(entry) for entry in entries if entry.get(STATE) != ABSENT]


def take_all(spec: FileSpec, entries: Iterable[Mapping[str, Any]]) -> Merged:
    """Return the rows of a file that holds nothing else: their order is that of the list."""
    listed = list(entries)
    rows, problems = read_entries(spec, present(listed))
    for index, entry in enumerate(listed):
        for key in (BEFORE, AFTER):
            if entry.get(key) is not None:
                problems.append(_problem(spec, entry, index, key, "nothing: with exclusive the list's order counts"))
    return Merged(rows, problems=problems)


def merge(spec: FileSpec, have: Iterable[Row], entries: Iterable[Mapping[str, Any]]) -> Merged:
    """Return the rows of a file in which those of others stay.

    A new row stands where C(before) or C(after) says. Without them it stands behind the one that is listed before it,
    or before the one that is listed behind it; a policy stands before the first one that would hide it; everything else
    stands at the end of its section.
    """
    listed = list(entries)
    merged = Merged(list(have))
    wishes: list[tuple[Mapping[str, Any], int, Row]] = []
    for index, entry in enumerate(listed):
        row, problems = read_entry(spec, entry, index)
        if entry.get(STATE) == ABSENT:
            # What names a row is enough to take it away.
            problems = [problem for problem in problems if problem.value is not None or problem.key in spec.key]
            merged.rows = [one for one in merged.rows if not _is_same(spec, one, row, entry)]
        else:
            wishes.append((entry, index, row))
        merged.problems += problems
    if not merged.problems:
        _place_all(spec, merged, wishes)
    return merged


def _is_same(spec: FileSpec, one: Row, row: Row, entry: Mapping[str, Any]) -> bool:
    if spec.key:
        return key_of(spec, one) == key_of(spec, row)
    return _identity(spec, one) == _identity(spec, row) and (not entry.get(COMMENT) or one.comment == row.comment)


def _identity(spec: FileSpec, row: Row) -> tuple[object, ...]:
    """Return what makes two rows the same one; a comment is something said about it."""
    return key_of(spec, row) if spec.key else (row.values, row.section, row.inline)


def _place_all(spec: FileSpec, merged: Merged, wishes: list[tuple[Mapping[str, Any], int, Row]]) -> None:
    rows = merged.rows
    known = [_identity(spec, row) for row in rows]
    there = set(known)
    # Where the row that is listed before it stands.
    previous: int | None = None
    for number, (entry, index, row) in enumerate(wishes):
        identity = _identity(spec, row)
        found = _find(known, identity, previous or 0) if identity in there else None
        if found is not None:
            if not row.comment and not spec.key:
                row = replace(row, comment=rows[found].comment)
            rows[found] = row
        place, problems = _asked_place(spec, rows, row, found, (entry, index))
        merged.problems += problems
        if place is None and found is None:
            if previous is not None and rows[previous].section == row.section:
                place = previous + 1
            else:
                later = {
                    _identity(spec, other)
                    for _entry, _index, other in wishes[number + 1 :]
                    if other.section == row.section
                }
                place = _usual_place(spec, rows, known, row, later)
        if place is not None:
            if found is not None:
                del rows[found], known[found]
                place -= found < place
            rows.insert(place, row)
            known.insert(place, identity)
            there.add(identity)
            follows = place + 1 < len(rows) and rows[place + 1].section == row.section
            if (
                follows
                and entry.get(AFTER) is None
                and (found is not None or previous is None or place != previous + 1)
            ):
                merged.glued.append(row)
        previous = found if place is None else place


def _find(known: list[tuple[object, ...]], identity: tuple[object, ...], start: int) -> int:
    """Return where a row stands that is there, most likely behind the one that is listed before it."""
    try:
        return known.index(identity, start)
    except ValueError:
        return known.index(identity)


def _asked_place(
    spec: FileSpec, rows: list[Row], row: Row, found: int | None, source: tuple[Mapping[str, Any], int]
) -> tuple[int | None, list[Problem]]:
    """Return where C(before) and C(after) want a row, or nothing where it stands right or nothing is asked for."""
    entry, index = source
    wanted = {key: entry[key] for key in (BEFORE, AFTER) if entry.get(key) is not None}
    bounds = {BEFORE: len(rows), AFTER: -1}
    problems = []
    for key, pattern in wanted.items():
        unknown = [name for name in pattern if name not in spec.options]
        matching = [
            number
            for number, other in enumerate(rows)
            if number != found and other.section == row.section and _fits(spec, other, pattern)
        ]
        if unknown:
            problems.append(_problem(spec, entry, index, key, "options of the rows: " + ", ".join(spec.options)))
        elif not matching:
            inside = f" of the section {row.section}" if row.section else ""
            problems.append(_problem(spec, entry, index, key, f"what a row{inside} of the file says"))
        else:
            bounds[key] = matching[0] if key == BEFORE else matching[-1]
    if problems or not wanted:
        return None, problems
    if bounds[AFTER] >= bounds[BEFORE]:
        allowed = "a row that stands before the one that after names" if AFTER in wanted else "another row"
        return None, [_problem(spec, entry, index, BEFORE, allowed)]
    if found is not None and bounds[AFTER] < found < bounds[BEFORE]:
        return None, []
    return (bounds[BEFORE] if AFTER not in wanted else bounds[AFTER] + 1), []


def _fits(spec: FileSpec, row: Row, pattern: Mapping[str, Any]) -> bool:
    options = to_options(spec, row)
    return all(_text(options.get(name)) == _text(value) for name, value in pattern.items())


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return "" if value is None else str(value)


def _usual_place(
    spec: FileSpec,
    rows: list[Row],
    known: list[tuple[object, ...]],
    row: Row,
    later: set[tuple[object, ...]],
) -> int:
    for number, identity in enumerate(known):
        if identity in later and rows[number].section == row.section:
            return number
    if spec.key == ("source", "dest"):
        return next((number for number, other in enumerate(rows) if _hides(other, row)), len(rows))
    return len(rows)


def _hides(general: Row, row: Row) -> bool:
    """Whether a policy decides everything that another one behind it would."""
    return all(_covers(general.get(column), row.get(column)) for column in ("source", "dest"))


def _covers(general: str, text: str) -> bool:
    zones, _unused, excluded = general.partition("!")
    names = set(text.partition("!")[0].split(","))
    if zones.rstrip("+-") in ("all", "any"):
        return not names & set(excluded.split(","))
    return names <= set(zones.split(","))


def _problem(spec: FileSpec, entry: Mapping[str, Any], index: int, key: str, allowed: str) -> Problem:
    variable, place = locate(str(entry.get(ORIGIN) or ""), spec.name, index)
    return Problem(variable, place, key, entry[key], allowed)
