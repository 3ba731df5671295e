# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""What a change leaves behind, by which it is known later: files as it made them, directories that were not there."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

_STAMP = re.compile(rb"(?m)^# configuration ([0-9a-f]{64})\n\Z")


def stamp_of(script: bytes | None) -> str:
    """Return the fingerprint of a configuration, as the compiled script that comes from it has it at its end."""
    found = _STAMP.search(script or b"")
    return found[1].decode() if found else ""


def fingerprint(path: Path, mode: int | None = None) -> str | None:
    """Return a file's mode and fingerprint, or None where there is no file.

    Args:
        path: the file.
        mode: the mode that it will have, if it is not in its place yet.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    # The same configuration compiled again is the same firewall.
    told = stamp_of(content) or hashlib.sha256(content).hexdigest()
    return f"{path.stat().st_mode & 0o7777 if mode is None else mode:04o} {told}"


def owner_of(path: Path) -> list[int] | None:
    """Return a file's user and group by number, or None where there is no file."""
    try:
        about = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [about.st_uid, about.st_gid]


def new_directories(index: dict[str, Any]) -> list[str]:
    """Return the directories that a change makes, inner ones first."""
    wanted = {
        parent
        for path, entry in index["entries"].items()
        if entry["state"] == "present"
        for parent in Path(path).parents
    }
    return sorted((str(path) for path in wanted if not path.exists()), reverse=True)
