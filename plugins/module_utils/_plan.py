# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What a module is about to do, and what is wrong with its input, both in the user's terms.

A plan is computed from normalised want and have before the first write. Check mode is the same code without the
apply, so the plan is the one source of C(changed), of the diff and of the returned C(changes).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Action = Literal["create", "change", "delete"]


def show(value: object) -> str:
    """Return a value as a user would write it in an inventory."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(show(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    return str(value)


@dataclass(frozen=True)
class Change:
    """One thing that is created, changed or deleted.

    Args:
        action: what happens to it.
        kind: the field's word for the thing, such as C(bridge) or C(guest).
        name: its name.
        options: option name -> (value before, value after).
        note: when or how it takes effect, such as C(at next boot).
    """

    action: Action
    kind: str
    name: str
    options: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    note: str = ""

    def lines(self) -> list[str]:
        """Return the change as readable lines; an option that does not exist on one side is left out there."""
        suffix = f", {self.note}" if self.note else ""
        sign = {"create": "+", "change": "~", "delete": "-"}[self.action]
        lines = [f"{sign} {self.kind} {self.name}: {self.action}{suffix}"]
        for option, (before, after) in self.options.items():
            if self.action == "create":
                if after is not None:
                    lines.append(f"    {option}: {show(after)}")
            elif self.action == "change":
                lines.append(f"    {option}: {show(before)} -> {show(after)}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the change as plain data for the module's result."""
        return {
            "action": self.action,
            "kind": self.kind,
            "name": self.name,
            "options": {key: {"before": before, "after": after} for key, (before, after) in self.options.items()},
            "note": self.note,
        }


class Plan:
    """An ordered list of changes."""

    def __init__(self, changes: Iterable[Change | None] = ()) -> None:
        self.changes: list[Change] = [change for change in changes if change is not None]

    def add(self, change: Change | None) -> None:
        """Append a change; None (nothing differs) is skipped so that callers can pass the result of M(compare)."""
        if change is not None:
            self.changes.append(change)

    @property
    def changed(self) -> bool:
        """Whether anything would happen."""
        return bool(self.changes)

    def lines(self) -> list[str]:
        """Return the whole plan as readable lines."""
        return [line for change in self.changes for line in change.lines()]

    def to_result(self) -> dict[str, Any]:
        """Return C(changed), C(changes) and C(diff) for C(exit_json)."""
        lines = self.lines()
        return {
            "changed": self.changed,
            "changes": [change.to_dict() for change in self.changes],
            "diff": {"prepared": "".join(f"{line}\n" for line in lines)},
        }


def compare(
    kind: str,
    name: str,
    have: Mapping[str, object] | None,
    want: Mapping[str, object] | None,
    note: str = "",
) -> Change | None:
    """Compare two normalised things option by option.

    Returns:
        The change that leads from have to want, or None when they are equal. Only options that want names are compared:
        what it does not name is not managed.
    """
    if want is None:
        return None if have is None else Change("delete", kind, name, {}, note)
    if have is None:
        return Change("create", kind, name, {key: (None, value) for key, value in want.items()}, note)
    options = {key: (have.get(key), value) for key, value in want.items() if have.get(key) != value}
    return Change("change", kind, name, options, note) if options else None


@dataclass(frozen=True)
class Problem:
    """One wrong value.

    Args:
        variable: the inventory variable or module option it stands in.
        index: its list index there, counted from 0.
        key: the key inside the entry.
        value: the value found.
        allowed: what would be right, as a phrase.
        host: the host whose inventory it is, where several are checked at once.
    """

    variable: str
    index: int | None
    key: str | None
    value: object
    allowed: str
    host: str | None = None

    def place(self) -> str:
        """Return where it is, as C(kvmnet_guests[1].address)."""
        index = "" if self.index is None else f"[{self.index}]"
        key = f".{self.key}" if self.key else ""
        return f"{self.variable}{index}{key}"

    def __str__(self) -> str:
        host = f"{self.host}: " if self.host else ""
        value = "is missing" if self.value is None else f"{show(self.value)!r} is wrong"
        return f"{host}{self.place()}: {value}; allowed: {self.allowed}"

    def to_dict(self) -> dict[str, Any]:
        """Return the problem as plain data for the module's result."""
        return {
            "host": self.host,
            "variable": self.variable,
            "index": self.index,
            "key": self.key,
            "value": self.value,
            "allowed": self.allowed,
        }


def report(problems: Iterable[Problem]) -> dict[str, Any]:
    """Return C(msg) and C(problems) for C(fail_json): every problem at once."""
    found = list(problems)
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    return {
        "msg": f"{count}, nothing was changed:\n" + "\n".join(f"- {problem}" for problem in found),
        "problems": [problem.to_dict() for problem in found],
    }
