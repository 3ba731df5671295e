# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Read one host's variables by the schema: right values become rows for the cross checks, wrong ones problems."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._units import with_unit
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

from ._schema import VARIABLES, Variable
from ._types import Key, Kind, ListOf, Table, WrongError

PREFIX = "kvmnet_"
# Below this two names have too little in common to be one and its misspelling
_CLOSE_KEY = 0.6
_CLOSE_VARIABLE = 0.9


class Unresolved:
    """A value whose template could not be resolved."""

    def __init__(self, template: str, reason: str) -> None:
        self.template = template
        self.reason = reason


class Row:
    """One entry: its values in checked form, and where it stands.

    A value that is wrong is given, but reads as None: cross checks that need it are silent about it.
    """

    def __init__(self, host: str, variable: str, index: int | None, name: str | None = None) -> None:
        self.host = host
        self.variable = variable
        self.index = index
        self.prefix = "" if name is None else f"{name}."
        self.values: dict[str, Any] = {}
        self.raw: dict[str, object] = {}
        self.meant: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        return self.values.get(key)

    def given(self, key: str) -> bool:
        """Whether the entry says anything about a key, right, wrong or misspelt."""
        return key in self.raw or key in self.meant

    def problem(self, key: str | None, allowed: str, value: object = None) -> Problem:
        """Return a problem of this entry; the value is the one found unless another is given."""
        found = value if value is not None or key is None else self.raw.get(key)
        return Problem(self.variable, self.index, None if key is None else self.prefix + key, found, allowed, self.host)

    @property
    def place(self) -> str:
        """Where the entry stands, for messages about another one."""
        inner = f".{self.prefix.rstrip('.')}" if self.prefix else ""
        return f"{self.variable}{'' if self.index is None else f'[{self.index}]'}{inner}"


@dataclass
class Host:
    """What one host's inventory says. None: the variable is not set, or is not of its shape."""

    name: str
    groups: frozenset[str] = frozenset()
    management: Row | None = None
    uplinks: list[Row] | None = None
    networks: list[Row] | None = None
    guests: list[Row] | None = None
    images: dict[str, Row] | None = None
    users: list[Row] | None = None
    policies: list[Row] | None = None
    rules: list[Row] | None = None
    address_lists: list[Row] | None = None
    problems: list[Problem] = field(default_factory=list)


def repeated(
    rows: Iterable[Row], key: str, identity: Callable[[Any], Hashable] = lambda value: value
) -> Iterator[tuple[Row, Row]]:
    """Yield each row whose key has a value that stood in an earlier row, with that row."""
    seen: dict[Hashable, Row] = {}
    for row in rows:
        value = row[key]
        if value is None:
            continue
        mine = identity(value)
        if mine in seen:
            yield row, seen[mine]
        else:
            seen[mine] = row


def hint(name: str, known: Iterable[str], cutoff: float = _CLOSE_KEY) -> str | None:
    """Return the known name that was probably meant."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return close[0] if close else None


class _Reader:
    """Reads entries of one variable of one host."""

    def __init__(self, host: str, variable: str, problems: list[Problem]) -> None:
        self.host = host
        self.variable = variable
        self.problems = problems

    def refuse(self, index: int | None, path: str | None, value: object, allowed: str) -> None:
        self.problems.append(Problem(self.variable, index, path, value, allowed, self.host))

    def row(self, table: Table, entry: object, index: int | None, name: str | None = None) -> Row | None:
        """Return an entry's row, or None where it is no entry at all."""
        row = Row(self.host, self.variable, index, name)
        if self._fill(row, table, entry, index, row.prefix):
            return row
        return None

    def _fill(self, row: Row, table: Table, entry: object, index: int | None, prefix: str) -> bool:
        if isinstance(entry, Unresolved) or not isinstance(entry, Mapping):
            allowed = "an entry with the keys " + ", ".join(table.names())
            self._wrong(index, prefix.rstrip("."), entry, allowed)
            return False
        # A template that yields nothing is how a value is left out in some entries only
        row.raw = {str(key): value for key, value in entry.items() if value is not None}
        known = {key.name: key for key in table.keys}
        for name in row.raw:
            if name not in known:
                meant = with_unit(name, known) or hint(name, known)
                say = f"{meant} is probably meant; " if meant else ""
                row.meant.update([meant] if meant else [])
                # The name, not the value: what stands under a wrong name may be a secret
                self.refuse(index, prefix + name, name, f"{say}the keys are {', '.join(known)}")
        for key in table.keys:
            if key.name in row.raw:
                self._key(row, key, row.raw[key.name], index, prefix + key.name)
            elif key.required and key.name not in row.meant:
                self.refuse(index, prefix + key.name, None, f"{key.kind.name.replace('`', '')}, required")
        return True

    def _key(self, row: Row, key: Key, value: object, index: int | None, path: str) -> None:
        before = len(self.problems)
        found = self._value(key.kind, value, index, path)
        if len(self.problems) == before:
            row.values[key.name] = found

    def _value(self, kind: Kind | ListOf | Table, value: object, index: int | None, path: str) -> Any:
        if isinstance(kind, Table):
            inner = Row(self.host, self.variable, index)
            inner.prefix = f"{path}."
            return inner if self._fill(inner, kind, value, index, inner.prefix) else None
        if isinstance(kind, ListOf):
            return self._list(kind, value, index, path)
        if isinstance(value, Unresolved):
            self._wrong(index, path, value, "")
            return None
        for where, template in _unresolved(path, value):
            self._wrong(index, where, template, "")
        try:
            return kind.read(value)
        except WrongError as wrong:
            self._wrong(index, path, value, str(wrong))
            return None

    def _list(self, kind: ListOf, value: object, index: int | None, path: str) -> list[Any] | None:
        if not isinstance(value, (list, tuple)):
            if kind.single:
                return [self._value(kind.kind, value, index, path)]
            self._wrong(index, path, value, f"a {kind.name}")
            return None
        if len(value) < kind.least or (kind.most is not None and len(value) > kind.most):
            count = f"exactly {kind.least}" if kind.least == kind.most else f"at least {kind.least}"
            self._wrong(index, path, value, f"{count} of {kind.kind.name}")
            return None
        return [self._value(kind.kind, item, index, f"{path}[{position}]") for position, item in enumerate(value)]

    def _wrong(self, index: int | None, path: str, value: object, allowed: str) -> None:
        if isinstance(value, Unresolved):
            self.refuse(index, path or None, value.template, f"a value that can be resolved: {value.reason}")
        elif isinstance(value, str) and "PRIVATE KEY" in value:
            self.refuse(index, path or None, "(a private key, not shown)", allowed)
        else:
            self.refuse(index, path or None, "" if value is None else value, allowed)


def _unresolved(path: str, value: object) -> Iterator[tuple[str, Unresolved]]:
    """Yield what could not be resolved inside a value that is read as it is."""
    if isinstance(value, Unresolved):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _unresolved(f"{path}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from _unresolved(f"{path}[{position}]", item)


def _names(host: str, names: Iterable[str]) -> list[Problem]:
    known = [variable.name for variable in VARIABLES]
    problems = []
    for name in sorted(set(names) - set(known)):
        if name.startswith(PREFIX):
            meant = hint(name, known)
            allowed = f"{meant} is probably meant" if meant else f"the variables are {', '.join(known)}"
            problems.append(
                Problem(name, None, None, name, f"{allowed} (names that begin with {PREFIX} are reserved)", host)
            )
        elif abs(len(name) - 13) < 8 and (meant := hint(name, known, _CLOSE_VARIABLE)):
            problems.append(Problem(name, None, None, name, f"{meant} is probably meant", host))
    return problems


def _read(host: Host, variable: Variable, value: object) -> Any:
    reader = _Reader(host.name, variable.name, host.problems)
    table = variable.kind
    if isinstance(table, Kind):
        return value
    if isinstance(value, Unresolved):
        reader.row(table, value, None)
        return None
    if variable.shape == "entry":
        return reader.row(table, value, None)
    if variable.shape == "named":
        if not isinstance(value, Mapping):
            reader.refuse(None, None, value, "names, each with the keys " + ", ".join(table.names()))
            return None
        rows = {str(name): reader.row(table, entry, None, str(name)) for name, entry in value.items()}
        return {name: row for name, row in rows.items() if row is not None}
    if not isinstance(value, (list, tuple)):
        reader.refuse(None, None, value, "a list of entries with the keys " + ", ".join(table.names()))
        return None
    return [row for row in (reader.row(table, entry, index) for index, entry in enumerate(value)) if row is not None]


def read_host(
    name: str, variables: Mapping[str, object], others: Iterable[str] = (), groups: Iterable[str] = ()
) -> Host:
    """Read what one host's inventory says.

    Args:
        name: the host.
        variables: its variables of the vocabulary, resolved; a value that cannot be is an Unresolved.
        others: names of all its variables, for hints on misspelt ones.
        groups: the groups it is in.
    """
    host = Host(name, frozenset(groups))
    host.problems += _names(name, [*variables, *others])
    for variable in VARIABLES:
        value = variables.get(variable.name)
        if value is not None:
            setattr(host, variable.name.removeprefix(PREFIX), _read(host, variable, value))
        elif variable.required:
            host.problems.append(Problem(variable.name, None, None, None, "a mapping, required on every host", name))
    return host
