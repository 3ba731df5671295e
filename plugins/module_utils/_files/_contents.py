# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The files themselves: put them on the candidate, and say in short what changes in them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate

    from ._request import FileWant

# A diff is read by a person; the rest of it is counted.
LINES_SHOWN = 20


@dataclass(frozen=True)
class FileChange:
    """A file that will differ from the live one; None is a file that is not there."""

    path: str
    before: bytes | None
    after: bytes | None
    mode_before: int | None
    mode_after: int | None


def _mode(candidate: Candidate, path: str) -> int | None:
    try:
        return (candidate.host_root / path.lstrip("/")).stat().st_mode & 0o7777
    except (FileNotFoundError, NotADirectoryError):
        return None


def _remove(candidate: Candidate, path: str) -> Iterator[FileChange]:
    before, mode = candidate.live(path), _mode(candidate, path)
    if candidate.remove(path):
        yield FileChange(path, before, None, mode, None)


def stage_files(
    candidate: Candidate, wants: Iterable[FileWant], exclusive: Iterable[tuple[str, str]]
) -> list[FileChange]:
    """Put the wanted files on the candidate, remove those that carry a prefix and are not wanted.

    Returns:
        What differs from the live files.
    """
    changes: list[FileChange] = []
    wanted = {want.path for want in wants}
    for want in wants:
        if want.content is None:
            changes += _remove(candidate, want.path)
            continue
        before, mode = candidate.live(want.path), _mode(candidate, want.path)
        if before is not None and not want.force:
            continue
        if candidate.put(want.path, want.content, want.mode):
            changes.append(FileChange(want.path, before, want.content, mode, want.mode))
    for directory, prefix in exclusive:
        for name in candidate.listdir(directory):
            path = f"{directory}/{name}"
            if name.startswith(prefix) and path not in wanted:
                changes += _remove(candidate, path)
    return changes


def _lines(content: bytes) -> list[str] | None:
    try:
        return content.decode().splitlines()
    except UnicodeDecodeError:
        return None


def line_changes(before: bytes, after: bytes) -> dict[str, tuple[object, object]]:
    """Return what differs line by line: C(line N) -> (text before, text after), numbered as in the new file."""
    old, new = _lines(before), _lines(after)
    if old is None or new is None:
        return {"bytes": (len(before), len(after))}
    found: dict[str, tuple[object, object]] = {}
    for tag, old_from, old_to, new_from, new_to in difflib.SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            continue
        gone, come = old[old_from:old_to], new[new_from:new_to]
        for offset in range(max(len(gone), len(come))):
            pair = (gone[offset] if offset < len(gone) else None, come[offset] if offset < len(come) else None)
            # A line that only goes has no number in the new file: it is told by its number in the old one.
            place = f"line {new_from + offset + 1}" if offset < len(come) else f"old line {old_from + offset + 1}"
            found[place] = pair
    shown = dict(list(found.items())[:LINES_SHOWN])
    if len(found) > len(shown):
        shown["and"] = (None, f"{len(found) - len(shown)} more lines")
    if not found and before != after:
        shown["line ends"] = (None, "changed")
    return shown


def describe(change: FileChange) -> Change:
    """Return a file's change in the user's terms."""
    if change.after is None:
        return Change("delete", "file", change.path)
    mode_after = f"{change.mode_after or 0:04o}"
    if change.before is None:
        return Change(
            "create", "file", change.path, {"mode": (None, mode_after), "lines": (None, change.after.count(b"\n"))}
        )
    options: dict[str, tuple[object, object]] = {}
    if change.mode_before != change.mode_after:
        options["mode"] = (f"{change.mode_before or 0:04o}", mode_after)
    if change.before != change.after:
        options |= line_changes(change.before, change.after)
    return Change("change", "file", change.path, options)
