# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Validation commands, run on a copy of the files as they will be."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate

    from ._request import Request

_TIMEOUT = 60
_PLACE = re.compile(r"\bline (?P<line>[1-9][0-9]*) of (?P<path>/\S+)")


def _tree_paths(request: Request, candidate: Candidate) -> set[str]:
    """Return what the commands see: the files, and their neighbours in the directories that are named."""
    paths = {want.path for want in request.files}
    for directory, _prefix in request.exclusive:
        paths |= {f"{directory}/{name}" for name in candidate.listdir(directory)}
    return paths


def write_tree(root: Path, paths: Iterable[str], candidate: Candidate) -> None:
    """Write the files as they will be below a directory."""
    for path in paths:
        content = candidate.read(path)
        if content is None:
            continue
        copy = root / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)


def validate(request: Request, candidate: Candidate, missing_allowed: bool) -> tuple[bool, list[Problem]]:
    """Run the validation commands.

    Args:
        missing_allowed: pass over a program that is not installed, as check mode must before the packages are there.

    Returns:
        Whether every command ran, and what they objected to.
    """
    complete = True
    problems = []
    with tempfile.TemporaryDirectory(prefix="kvmnet-validate-") as name:
        root = Path(name)
        for directory, _prefix in request.exclusive:
            (root / directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
        write_tree(root, _tree_paths(request, candidate), candidate)
        for index, argv in enumerate(request.validate):
            if shutil.which(argv[0]) is None:
                complete = False
                if not missing_allowed:
                    problems.append(
                        Problem("validate", index, None, argv[0], "a program that is installed on the host")
                    )
                continue
            said = _run([word.replace("%s", name) for word in argv])
            if said is not None:
                shown = " ".join(word.replace("%s", "") for word in argv)
                said = quote_line(said.replace(name, ""), candidate)
                problems.append(Problem("validate", index, None, said, f"files that pass: {shown}"))
    return complete, problems


def quote_line(said: str, candidate: Candidate) -> str:
    """Add the text of the line that a message points to: the file that it names will never be there."""
    found = _PLACE.search(said)
    lines = (candidate.read(found["path"]) or b"").decode(errors="replace").splitlines() if found else []
    if found is None or int(found["line"]) > len(lines):
        return said
    return f"{said}: {lines[int(found['line']) - 1]}"


def _run(argv: list[str]) -> str | None:
    """Run a command; return what it said when it failed."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return " ".join((done.stderr + done.stdout).split())[-1000:] or f"returned {done.returncode}"
