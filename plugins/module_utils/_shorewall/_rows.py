# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Rows: what the user gives, in the form that compares, and back; and the plan from one list of rows to another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Problem, compare
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _syntax
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._addresses import (
    PLACES,
    brief,
    is_long,
    mask,
    normalise,
    show,
    take_apart,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._columns import Column, FileSpec

# Options of a row that are no columns.
SECTION, COMMENT, INLINE, ORIGIN = "section", "comment", "matches", "origin"

_ORIGIN = re.compile(r"(?P<variable>\w+)(?:\[(?P<index>\d+)\])?(?:\.(?P<key>.+))?")


@dataclass(frozen=True)
class Row:
    """One row in normal form: two rows are equal when they mean the same to Shorewall.

    Args:
        values: the columns that say something, in the schema's order.
        section: the C(?SECTION) it stands in, or an empty string.
        comment: the C(?COMMENT) in effect.
        inline: the raw iptables text after C(;;).
        origin: the inventory key that it comes from; not part of the comparison.
    """

    values: tuple[tuple[str, str], ...]
    section: str = ""
    comment: str = ""
    inline: str = ""
    origin: str = field(default="", compare=False)

    def get(self, column: str) -> str:
        """Return a column's text, or an empty string."""
        for name, text in self.values:
            if name == column:
                return text
        return ""


def make_row(spec: FileSpec, texts: Mapping[str, str], **attributes: str) -> Row:
    """Build a row from the texts of its columns; what is empty or the default is left out."""
    values = tuple(
        (name, text) for name, default in spec.defaults if (text := texts.get(name, "-")) not in ("-", "", default)
    )
    places = PLACES.get(spec.name, ())
    if places and any(name in places and is_long(text) for name, text in values):
        values = tuple((name, normalise(text) if name in places else text) for name, text in values)
    return Row(values, **attributes)


def _elements(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return [str(value)]


def _join(column: Column, entry: Mapping[str, Any]) -> str:
    texts = [",".join(_elements(entry.get(option))) for option, _unused in column.fields]
    while texts and not texts[-1]:
        texts.pop()
    return column.joint.join(text or "-" for text in texts) if texts else ""


def split(column: Column, text: str) -> dict[str, Any]:
    """Return the module's options that a column's text stands for."""
    result: dict[str, Any] = {}
    texts = text.split(column.joint, len(column.parts) - 1) if column.parts else [text]
    for (option, kind), part in zip(column.fields, texts, strict=False):
        if part not in ("", "-"):
            result[option] = split_list(part) if kind.is_list else part
    return result


def split_list(text: str) -> list[str]:
    """Split at the commas outside parentheses."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
        depth += (character == "(") - (character == ")")
    parts.append(text[start:])
    return [part for part in parts if part]


def locate(origin: str, option: str, index: int) -> tuple[str, int | None]:
    """Return variable and index of a row: where it comes from if it says so, else its place in the module's option."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return option, index
    return found["variable"], int(found["index"]) if found["index"] else None


def read_entry(spec: FileSpec, entry: Mapping[str, Any], index: int, option: str = "") -> tuple[Row, list[Problem]]:
    """Turn one entry of the module's option into a row.

    Args:
        spec: the file.
        entry: the entry; unknown keys were refused before.
        index: its place in the list.
        option: the module's option, by default the file's name.

    Returns:
        The row and everything that is wrong with it.
    """
    origin = str(entry.get(ORIGIN) or "")
    variable, place = locate(origin, option or spec.name, index)
    problems = []
    texts = {}
    for column in spec.columns:
        if not column.required and all(entry.get(name) is None for name, _unused in column.fields):
            texts[column.name] = ""
            continue
        for name, kind in column.fields:
            values = _elements(entry.get(name))
            problems += [
                Problem(variable, place, name, value, kind.allowed) for value in values if not kind.is_right(value)
            ]
            if not kind.is_list and len(values) > 1:
                problems.append(Problem(variable, place, name, entry[name], kind.allowed))
        texts[column.name] = _join(column, entry)
        first, kind = column.fields[0]
        if column.required and not _elements(entry.get(first)):
            problems.append(Problem(variable, place, first, None, kind.allowed))
    head, kind = spec.columns[0].fields[0]
    if _syntax.FOREIGN.match(texts[spec.columns[0].name] + " "):
        problems.append(Problem(variable, place, head, entry[head], f"{kind.allowed}; this begins a directive"))
    for name in spec.elsewhere:
        if entry.get(name) is not None:
            problems.append(Problem(variable, place, name, entry[name], "nothing, with this version of IP"))
    section = str(entry.get(SECTION) or spec.default_section)
    if section and section not in spec.sections:
        problems.append(Problem(variable, place, SECTION, section, "one of " + ", ".join(spec.sections)))
    extra = {}
    for name, offered in ((COMMENT, spec.has_comments), (INLINE, spec.has_inline)):
        extra[name] = " ".join(str(entry.get(name) or "").split(" "))
        if extra[name] and (not offered or not extra[name].isascii() or not extra[name].isprintable()):
            problems.append(
                Problem(variable, place, name, extra[name], "one line of ASCII text" if offered else "nothing")
            )
    return make_row(spec, texts, section=section, comment=extra[COMMENT], inline=extra[INLINE], origin=origin), problems


def read_entries(
    spec: FileSpec, entries: Iterable[Mapping[str, Any]], option: str = ""
) -> tuple[list[Row], list[Problem]]:
    """Turn a list of entries into rows; duplicate keys are problems."""
    rows: list[Row] = []
    problems: list[Problem] = []
    seen: set[tuple[str, ...]] = set()
    for index, entry in enumerate(entries):
        row, found = read_entry(spec, entry, index, option)
        rows.append(row)
        problems += found
        key = key_of(spec, row)
        if key and not found and key in seen:
            variable, place = locate(row.origin, option or spec.name, index)
            problems.append(
                Problem(
                    variable, place, spec.key[0], ", ".join(key), f"one {spec.noun} of each {' and '.join(spec.key)}"
                )
            )
        seen.add(key)
    return rows, problems


def to_options(spec: FileSpec, row: Row) -> dict[str, Any]:
    """Return a row as the module's options, without what is not set."""
    result: dict[str, Any] = {}
    values = dict(row.values)
    for column in spec.columns:
        if column.name in values:
            result.update(split(column, values[column.name]))
        elif column.default != "-":
            result[column.name] = column.default
    if row.section != spec.default_section:
        result[SECTION] = row.section
    if row.comment:
        result[COMMENT] = row.comment
    if row.inline:
        result[INLINE] = row.inline
    return result


def key_of(spec: FileSpec, row: Row) -> tuple[str, ...]:
    """Return what names a row, or an empty tuple where rows have no names."""
    options = to_options(spec, row) if spec.key else {}
    return tuple(_show(options.get(name)) for name in spec.key)


def label_of(spec: FileSpec, row: Row) -> str:
    """Return a row in the user's words, such as C(net->$FW ACCEPT tcp 22)."""
    options = to_options(spec, row)
    names = list(spec.key or spec.label)
    words = []
    if "source" in names and "dest" in names:
        words.append(f"{_show(options.get('source'))}->{_show(options.get('dest'))}")
        names = [name for name in names if name not in ("source", "dest")]
    words += [_show(options[name]) for name in names if name in options]
    return " ".join(words)


def _show(value: Any) -> str:
    return brief(",".join(value) if isinstance(value, list) else str("-" if value is None else value))


def _options(spec: FileSpec, row: Row) -> dict[str, object]:
    return {name: value for name, value in to_options(spec, row).items() if name not in spec.key}


def plan_rows(spec: FileSpec, have: list[Row], want: list[Row]) -> list[Change]:
    """Return the changes that lead from the rows of a file to the wanted ones, in the user's terms."""
    keys = [key_of(spec, row) for row in have]
    if spec.key and len(set(keys)) == len(keys):
        return _plan_by_key(spec, dict(zip(keys, have, strict=True)), {key_of(spec, row): row for row in want})
    gone = Counter(have) - Counter(want)
    new = Counter(want) - Counter(have)
    changes = list(_plan_lists(spec, gone, new))
    changes += [Change("delete", spec.noun, label_of(spec, row)) for row in gone.elements()]
    for row in new.elements():
        changes.append(
            Change(
                "create",
                spec.noun,
                label_of(spec, row),
                {key: (None, value) for key, value in _rest(spec, row).items()},
            )
        )
    if not changes and spec.ordered and have != want:
        changes.append(_moved(spec, [label_of(spec, row) for row in have], [label_of(spec, row) for row in want]))
    return changes


def _plan_lists(spec: FileSpec, gone: Counter[Row], new: Counter[Row]) -> Iterator[Change]:
    """Take out of both those that differ in nothing but the addresses of a long list, and say which these are."""
    places = PLACES.get(spec.name, ())
    long = [row for row in (*gone, *new) if any(is_long(row.get(column)) for column in places)]
    if not long:
        return

    def about(row: Row) -> Row:
        return replace(row, values=tuple((name, mask(text) if name in places else text) for name, text in row.values))

    wanted = {about(row) for row in long}
    before: dict[Row, list[Row]] = {}
    for row in gone.elements():
        if (pattern := about(row)) in wanted:
            before.setdefault(pattern, []).append(row)
    for row in list(new.elements()):
        others = before.get(about(row))
        if not others:
            continue
        other = others.pop(0)
        gone[other] -= 1
        new[row] -= 1
        options: dict[str, tuple[object, object]] = {}
        for column in places:
            old, now = take_apart(other.get(column)), take_apart(row.get(column))
            if old is None or now is None or old[1] == now[1]:
                continue
            name = column if len(places) > 1 else "list"
            for word, some, known in (("added", now[1], set(old[1])), ("removed", old[1], set(now[1]))):
                if found := [one for one in some if one not in known]:
                    options[f"{name} {word}"] = (None, show(found))
        yield Change("change", spec.noun, label_of(spec, row), options)


def _rest(spec: FileSpec, row: Row) -> dict[str, object]:
    """What the label does not say."""
    return {name: value for name, value in to_options(spec, row).items() if name not in spec.label}


def _plan_by_key(spec: FileSpec, have: dict[tuple[str, ...], Row], want: dict[tuple[str, ...], Row]) -> list[Change]:
    changes = []
    for key in [*want, *(key for key in have if key not in want)]:
        row = want.get(key) or have[key]
        before = _options(spec, have[key]) if key in have else None
        after = _options(spec, want[key]) if key in want else None
        if before is not None and after is not None:
            after = dict.fromkeys(before) | after
        change = compare(spec.noun, label_of(spec, row), before, after)
        if change is not None:
            changes.append(change)
    order_before = [key for key in have if key in want]
    order_after = [key for key in want if key in have]
    if spec.ordered and order_before != order_after:
        changes.append(_moved(spec, [" ".join(key) for key in order_before], [" ".join(key) for key in order_after]))
    return changes


def _moved(spec: FileSpec, before: list[str], after: list[str]) -> Change:
    """Name only the stretch that moved: a list of a thousand rules would hide it."""
    first = next(index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1])
    last = next(index for index in range(len(before) - 1, -1, -1) if before[index] != after[index])
    return Change("change", spec.name, "order", {"order": (before[first : last + 1], after[first : last + 1])})
