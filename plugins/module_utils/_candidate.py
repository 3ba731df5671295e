# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The candidate: an overlay of files on the live system, and the steps that make the system follow them.

The staging modules of one run share it, so that a later one sees what an earlier one staged. Nothing of it is live
until C(network_guard) commits it. A module that runs on its own (C(stage=false)) uses a private one and applies it
at once.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._apply import (
    apply_candidate,
    content_path,
    load_index,
    write_file,
    write_json,
)

# On the file system of /etc, so that installing a file is a rename.
ROOT = Path("/etc/.kvmnet")
SHARED = ROOT / "candidate"

STAGING_OPTIONS: dict[str, dict[str, Any]] = {
    "stage": {"type": "bool", "default": False},
    "run_id": {"type": "str"},
}


def _merge(old: Any, new: Any) -> Any:
    """Merge two values of a step's argument: or for booleans, union for lists, the newer one otherwise."""
    if isinstance(old, bool) and isinstance(new, bool):
        return old or new
    if isinstance(old, list) and isinstance(new, list):
        return old + [item for item in new if item not in old]
    return new


class Candidate:
    """What this run would change on the host.

    Args:
        run_id: the run that it belongs to.
        directory: where it is kept between the modules of a run, or None for a private one.
        host_root: the root of the host's file system; tests give a directory.
    """

    def __init__(self, run_id: str | None, directory: Path | None, host_root: Path = Path("/")) -> None:
        self.run_id = run_id
        self.directory = directory
        self.host_root = host_root
        self.entries: dict[str, dict[str, Any]] = {}
        self.steps: dict[tuple[str, str], dict[str, Any]] = {}
        self._contents: dict[str, bytes] = {}

    @classmethod
    def begin(cls, run_id: str | None, stage: bool) -> Candidate:
        """Open the run's candidate, or a private one when not staging; what another run left behind is not read."""
        candidate = cls(run_id, SHARED if stage else None)
        candidate.load()
        return candidate

    def load(self) -> None:
        """Read what this run staged before."""
        try:
            index = None if self.directory is None else load_index(self.directory)
        except ValueError:
            # Nothing waited for the disk: a power cut may have left half of what an earlier run staged.
            index = None
        if self.directory is None or index is None or index["run_id"] != self.run_id:
            return
        self.entries = index["entries"]
        self.steps = {(step["kind"], step["key"]): step for step in index["steps"]}
        for path, entry in self.entries.items():
            if entry["state"] == "present":
                self._contents[path] = content_path(self.directory, path).read_bytes()

    def _on_host(self, path: str) -> Path:
        return self.host_root / path.lstrip("/")

    @property
    def empty(self) -> bool:
        """Whether nothing is staged."""
        return not self.entries and not self.steps

    def live(self, path: str) -> bytes | None:
        """Return a file's content on the host now, or None."""
        try:
            return self._on_host(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def read(self, path: str) -> bytes | None:
        """Return a file's content as it will be, or None."""
        entry = self.entries.get(path)
        if entry is None:
            return self.live(path)
        return self._contents[path] if entry["state"] == "present" else None

    def listdir(self, directory: str) -> list[str]:
        """Return the names in a directory as they will be, sorted."""
        try:
            names = {entry.name for entry in self._on_host(directory).iterdir()}
        except (FileNotFoundError, NotADirectoryError):
            names = set()
        prefix = directory.rstrip("/") + "/"
        for path, entry in self.entries.items():
            name = path.removeprefix(prefix)
            if name == path or "/" in name:
                continue
            if entry["state"] == "present":
                names.add(name)
            else:
                names.discard(name)
        return sorted(names)

    def put(self, path: str, content: bytes | str, mode: int = 0o644) -> bool:
        """Stage a file.

        Returns:
            Whether it differs from the live one in content or mode; an entry that does not is dropped, so that what
            is live is never rewritten.
        """
        data = content.encode() if isinstance(content, str) else content
        if self.live(path) == data and self._on_host(path).stat().st_mode & 0o7777 == mode:
            self._drop(path)
            return False
        self.entries[path] = {"state": "present", "mode": mode}
        self._contents[path] = data
        return True

    def remove(self, path: str) -> bool:
        """Stage the removal of a file and return whether it is there now."""
        if self.live(path) is None:
            self._drop(path)
            return False
        self.entries[path] = {"state": "absent"}
        self._contents.pop(path, None)
        return True

    def _drop(self, path: str) -> None:
        self.entries.pop(path, None)
        self._contents.pop(path, None)

    def step(self, kind: str, key: str, order: int, **args: Any) -> None:
        """Stage a step; the same kind and key again is merged into one."""
        staged = self.steps.setdefault((kind, key), {"kind": kind, "key": key, "order": order, "args": {}})
        for name, value in args.items():
            staged["args"][name] = _merge(staged["args"][name], value) if name in staged["args"] else value

    def save(self, directory: Path) -> None:
        """Write the candidate to a directory, in place of what was there."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, mode=0o700)
        for path, content in self._contents.items():
            write_file(content_path(directory, path), content, 0o600)
        write_json(
            directory / "index.json",
            {"run_id": self.run_id, "entries": self.entries, "steps": list(self.steps.values())},
        )

    def discard(self) -> None:
        """Forget what this run staged."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def finish(self, check_mode: bool) -> None:
        """End the module's work on it: keep a staged candidate (in check mode too, it is scratch), apply a private one.

        Raises:
            ApplyError: applying failed; everything was put back, or the text says what was not.
        """
        if self.directory is not None:
            ROOT.mkdir(mode=0o700, exist_ok=True)
            if self.empty:
                self.discard()
            else:
                self.save(self.directory)
        elif not check_mode and not self.empty:
            ROOT.mkdir(mode=0o700, exist_ok=True)
            private = Path(tempfile.mkdtemp(prefix="direct-", dir=ROOT))
            try:
                self.save(private)
                apply_candidate(private)
            finally:
                shutil.rmtree(private, ignore_errors=True)
