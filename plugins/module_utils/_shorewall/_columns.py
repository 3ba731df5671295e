# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The building blocks of the schema: what a column is, which values it takes, and what a file is made of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

# What no value may contain: Shorewall gives each of these a meaning of its own, at any place of a line.
_FORBIDDEN = re.compile(r"[\s#;\"'`\\]|[^\x20-\x7e]|(?<![@%&$])\{|(?<!\w)\}")
# The options that a row has besides its columns.
RESERVED = frozenset({"section", "comment", "matches", "origin", "state", "before", "after"})
# Most of what is ever written; nothing of it means anything to Shorewall.
_HARMLESS = re.compile(r"[\w.:/,+=$@%&!~<>*^|?\[\]-]*", re.ASCII)
_INNERMOST = re.compile(r"\([^()]*\)")


def is_expressible(value: str) -> bool:
    """Whether a value can stand in a column; single blanks can inside parentheses, which have to match."""
    if _HARMLESS.fullmatch(value):
        return True
    if not _FORBIDDEN.search(value) and "(" not in value and ")" not in value:
        return True
    count = 1
    outside = value
    while count:
        outside, count = _INNERMOST.subn("_", outside)
    return (
        not _FORBIDDEN.search(value.replace(" ", "_"))
        and not re.search(r"[ ()]", outside)
        and not re.search(r"^ | $|  ", value)
    )


@dataclass(frozen=True)
class Kind:
    """The type of a column's value.

    Args:
        allowed: what is right, as a phrase for error messages and documentation.
        check: whether a value (one element, for a list) is right; shell variables are never given to it.
        is_list: the column holds values with commas between them.
        choices: the values, when they are a few words.
        is_number: the values are whole numbers.
    """

    allowed: str
    check: Callable[[str], bool]
    is_list: bool = False
    choices: tuple[str, ...] = ()
    is_number: bool = False

    def is_right(self, value: str) -> bool:
        """Whether one value can be written into the column."""
        if not value or not is_expressible(value):
            return False
        return "$" in value or self.check(value)


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def _is_number(low: int, high: int) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            return low <= int(value, 0) <= high
        except ValueError:
            return False

    return check


def text(allowed: str, pattern: str = r".+", is_list: bool = False) -> Kind:
    """Return a kind whose values match a pattern."""
    return Kind(allowed, _matches(pattern), is_list)


def number(low: int, high: int) -> Kind:
    """Return a kind whose values are whole numbers."""
    if low > high:
        raise ValueError(f"no number from {low} to {high}")
    return Kind(f"a number from {low} to {high}", _is_number(low, high), is_number=True)


def choice(*choices: str) -> Kind:
    """Return a kind whose values are a few words."""
    twice = _twice(choices)
    if twice:
        raise ValueError(f"choices given twice: {', '.join(twice)}")
    return Kind("one of " + ", ".join(choices), lambda value: value in choices, choices=choices)


def options(simple: str = "", valued: str = "") -> Kind:
    """Return a kind for an options column.

    Args:
        simple: the names of the options that take no value.
        valued: the names of those that take one; a trailing question mark says that it can be left out.
    """
    bare = set(simple.split())
    with_value = {name.rstrip("?") for name in valued.split()}
    either = {name.rstrip("?") for name in valued.split() if name.endswith("?")}
    twice = _twice([*simple.split(), *(name.rstrip("?") for name in valued.split() if name.rstrip("?") not in bare)])
    if twice:
        raise ValueError(f"options given twice: {', '.join(twice)}")
    both = bare & with_value
    if both:
        raise ValueError(f"options with and without a value: {', '.join(sorted(both))}")

    def check(value: str) -> bool:
        name, equals, given = value.partition("=")
        if equals:
            return name in with_value and bool(given)
        return name in bare or name in either

    names = sorted(bare | {f"{name}=..." for name in with_value - either} | {f"{name}[=...]" for name in either})
    return Kind("a list of " + ", ".join(names), check, is_list=True)


@dataclass(frozen=True)
class Column:
    """One column of a file.

    Args:
        name: its key in Shorewall's C(key=value) form and the module's option.
        kind: its type.
        required: a row without it is wrong.
        default: what Shorewall takes when it is left out; written out of the comparison.
        aliases: other keys that Shorewall's C(key=value) form takes for it.
        parts: the options it is split into, joined with C(joint), when that is not just the name.
        joint: the character between the parts.
        refers: the file whose rows it names, where each of its values is such a name.
    """

    name: str
    kind: Kind
    required: bool = False
    default: str = "-"
    aliases: tuple[str, ...] = ()
    parts: tuple[tuple[str, Kind], ...] = ()
    joint: str = ""
    refers: str = ""

    @property
    def fields(self) -> tuple[tuple[str, Kind], ...]:
        """The module's options that make up the column."""
        return self.parts or ((self.name, self.kind),)


@dataclass(frozen=True)
class FileSpec:
    """One file of rows.

    Args:
        name: the file's name below /etc/shorewall.
        noun: one row of it in the user's words.
        columns: its columns, in the form of C(formats)'s highest number.
        key: the options that name a row; without it a row is named by everything that it says.
        label: the options that describe a row in a plan; C(source) and C(dest) are joined by an arrow.
        formats: for each older C(?FORMAT) the names of its columns, and C(+name) for one that is no more.
        file_format: the C(?FORMAT) to write, or 0 for a file that has none.
        sections: the file's C(?SECTION) names in order.
        default_section: the one that rows before the first C(?SECTION) belong to; empty where that is none of them.
        elsewhere: the options that only the other version of IP has.
        has_comments: C(?COMMENT) is allowed.
        has_inline: raw iptables text after C(;;) is allowed.
        ordered: the order of the rows has a meaning.
        routing: a change of it needs the routing tables to be set up anew.
    """

    name: str
    noun: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    formats: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    file_format: int = 0
    sections: tuple[str, ...] = ()
    default_section: str = ""
    elsewhere: tuple[str, ...] = ()
    has_comments: bool = False
    has_inline: bool = False
    ordered: bool = True
    routing: bool = False

    def __post_init__(self) -> None:
        for problem in self._contradictions():
            raise ValueError(f"{self.name}: {problem}")

    def _contradictions(self) -> Iterator[str]:
        names = [option for column in self.columns for option, _unused in column.fields]
        keys = [key for column in self.columns for key in (column.name, *column.aliases)]
        if not self.columns:
            yield "no column"
        for what, found in (("option", names), ("column key", keys), ("a section", list(self.sections))):
            if _twice(found):
                yield f"{what} given twice: {', '.join(_twice(found))}"
        unknown = [name for name in (*self.key, *self.label) if name not in names]
        if unknown:
            yield f"key or label names no option: {', '.join(unknown)}"
        both = sorted({*self.elsewhere} & {*names})
        if both:
            yield f"an option of this version of IP and of the other one alone: {', '.join(both)}"
        for name in sorted(RESERVED & set(names)):
            yield f"{name} is an option of every row"
        if self.default_section and self.default_section not in self.sections:
            yield f"the default section is none: {self.default_section}"
        for column in self.columns:
            if column.parts and (not column.joint or column.kind.is_list):
                yield f"{column.name} has parts, so it needs a joint and no list"
            if column.parts and any(kind.is_list for _unused, kind in column.parts[:-1]):
                yield f"only the last part of {column.name} can be a list"
            if column.default != "-" and column.required:
                yield f"{column.name} is required, so it needs no default"
            if column.default != "-" and not column.kind.is_right(column.default):
                yield f"{column.name}: the default {column.default} is none of its values"
        if self.formats and not self.file_format:
            yield "older formats without one to write"
        for number_, listed in self.formats.items():
            strangers = {name for name in listed if not name.startswith("+")} - {column.name for column in self.columns}
            if strangers or number_ == self.file_format:
                yield f"?FORMAT {number_} contradicts the columns: {', '.join(sorted(strangers))}"

    @cached_property
    def defaults(self) -> tuple[tuple[str, str], ...]:
        """The columns' names with what Shorewall takes when they are left out."""
        return tuple((column.name, column.default) for column in self.columns)

    def layout(self, number_: int) -> tuple[str, ...]:
        """Return the names of the columns under a C(?FORMAT)."""
        return self.formats.get(number_) or tuple(column.name for column in self.columns)

    @property
    def first_format(self) -> int:
        """The C(?FORMAT) that Shorewall takes when the file does not say."""
        return min(self.formats, default=self.file_format)

    def column(self, key: str) -> Column | None:
        """Return the column with this C(key=value) key."""
        return next((column for column in self.columns if key == column.name or key in column.aliases), None)

    @property
    def options(self) -> dict[str, Kind]:
        """The module's options for one row."""
        return dict(pair for column in self.columns for pair in column.fields)


def index_files(files: tuple[FileSpec, ...]) -> dict[str, FileSpec]:
    """Return the files by name, once they agree with each other."""
    table: dict[str, FileSpec] = {}
    for spec in files:
        if spec.name in table:
            raise ValueError(f"a file stands in the schema twice: {spec.name}")
        table[spec.name] = spec
    for spec in files:
        for column in filter(lambda column: column.refers, spec.columns):
            if column.refers not in table:
                raise ValueError(f"{spec.name}.{column.name} refers to no file: {column.refers}")
            if len(table[column.refers].key) != 1:
                raise ValueError(f"{spec.name}.{column.name} refers to {column.refers}, whose rows have no name")
    return table
