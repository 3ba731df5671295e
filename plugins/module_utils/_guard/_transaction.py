# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""One change of a host's network that undoes itself unless it is confirmed.

Before the first write the old files, the state of the kernel and that of systemd's units are on the disk, and a marker
says so. While the marker is there, whoever finds it (the watcher at the deadline or when it is stopped, the applier
when a step fails, the boot) puts everything back. Confirming takes the marker away.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._snapshot import read_state
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._traces import new_directories

# What may be at work when a change is applied; after that it counts as hanging.
APPLY_SECONDS = 120
# Until the applier has begun.
START_SECONDS = 15
# Beside the units that a candidate names: what loads the network and its firewalls at boot, and what lets one log in.
UNITS = (
    *("shorewall.service", "shorewall6.service", "systemd-networkd.service", "systemd-networkd.socket"),
    *("ssh.service", "ssh.socket", "sshd.service"),
)
# What the firewalls' scripts note about themselves, and the names of routing tables, which they write.
KEPT_DIRECTORIES = ("/var/lib/shorewall", "/var/lib/shorewall6")
KEPT_FILES = ("/etc/iproute2/rt_tables",)
# A firewall's compiled script is a file of the candidate.
_OTHERWISE_KEPT = "firewall"
_SPARE = 1 << 20


def now() -> float:
    """Return seconds since the boot, which no setting of the clock changes, time asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Transaction:
    """The one change that is on its way on this host, if there is one.

    Args:
        state: where everything about it is kept, on a disk that outlives a power cut.
    """

    def __init__(self, state: Path | None = None) -> None:
        self.state = _apply.STATE if state is None else state
        self.directory = self.state / "transaction"
        self.marker = self.state / "armed"
        self.undo = self.state / "undo"
        self.report_path = self.state / "report.json"

    @property
    def armed(self) -> str | None:
        """The token of the change that is not confirmed yet, or None."""
        try:
            return self.marker.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None

    @property
    def about_to_arm(self) -> bool:
        """Whether somebody is about to arm a change."""
        return any(self._is_fresh(path) for path in self.state.glob("arming-*"))

    def announce(self, token: str) -> Path:
        """Note that a change is about to be armed, and return the file that says so; it ends with that."""
        for path in self.state.glob("arming-*"):
            # Who was killed could not take it away.
            if not self._is_fresh(path):
                path.unlink(missing_ok=True)
        path = self.state / f"arming-{token}"
        _apply.write_file(path, f"{now()}\n".encode(), 0o600)
        return path

    @staticmethod
    def _is_fresh(path: Path) -> bool:
        try:
            # One from before the boot may be in the future.
            return abs(now() - float(path.read_text(encoding="ascii"))) < 2 * START_SECONDS
        except (OSError, ValueError):
            return False

    def about(self) -> dict[str, Any]:
        """Return who began the change, when, and how long it may go unconfirmed."""
        return self._load(self.directory / "about.json")

    def snapshot(self) -> dict[str, Any]:
        """Return the state of the network before the change."""
        return self._load(self.directory / "state.json")

    @staticmethod
    def _load(path: Path) -> dict[str, Any]:
        try:
            loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return loaded

    def begin(self, candidate: Path, token: str, peer: str | None, timeout: float) -> None:
        """Save what there is and arm.

        Raises:
            ApplyError: another change is on its way, or something could not be saved; nothing was touched.
        """
        index = _apply.load_index(candidate)
        if index is None:
            raise ApplyError(f"{candidate} holds no candidate")
        index["steps"] = _apply.join_steps(index["steps"], _apply.unfinished())
        with _apply.exclusive():
            if self.armed is not None:
                raise ApplyError(self.describe_other())
            try:
                self._save(candidate, index, {"token": token, "peer": peer, "timeout": timeout, "began": time.time()})
            except OSError as error:
                raise ApplyError(f"what there is could not be saved: {error}") from error
            self.extend(START_SECONDS)
            self.report(token, "running")
            os.sync()
            _apply.write_file(self.marker, f"{token}\n".encode(), 0o600)
            os.sync()

    def _save(self, candidate: Path, index: dict[str, Any], about: dict[str, Any]) -> None:
        (self.state / "rolledback").unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True, mode=0o700)
        _apply.write_json(candidate / "index.json", index)
        _apply.make_inverse(candidate, index, self.undo)
        units = {*UNITS, *(step["key"] for step in index["steps"] if step["kind"] == "unit")}
        _apply.write_json(self.directory / "state.json", read_state(units))
        for number, directory in enumerate(KEPT_DIRECTORIES):
            if Path(directory).is_dir():
                ignore = shutil.ignore_patterns(_OTHERWISE_KEPT)
                shutil.copytree(directory, self.directory / f"kept-{number}", symlinks=True, ignore=ignore)
        for number, file in enumerate(KEPT_FILES):
            if Path(file).is_file():
                shutil.copy2(file, self.directory / f"file-{number}")
        _apply.write_json(
            self.directory / "about.json", about | {"made": _made(index), "directories": new_directories(index)}
        )
        # Putting files back takes room that a full disk has not.
        old = sum(path.stat().st_size for path in self.undo.rglob("*") if path.is_file())
        with (self.directory / "spare").open("wb") as spare:
            os.posix_fallocate(spare.fileno(), 0, old + _SPARE)

    def describe_other(self) -> str:
        """Say what stands in the way of another change."""
        about = self.about()
        since = time.strftime("%H:%M:%S", time.localtime(about.get("began", 0)))
        left = max(0, round(self.deadline() - now()))
        return (
            f"another change is on its way on this host, begun at {since} by {about.get('peer') or 'somebody'} "
            f"(commit {self.armed}); it is confirmed or undone within {left} s: run again then"
        )

    def note_command(self, step: dict[str, Any]) -> None:
        """Note that one of the user's own commands is begun: what was not begun needs no undo."""
        if step["kind"] == "command" and step["order"] >= _apply.OWN_COMMANDS:
            with (self.directory / "commands").open("a", encoding="utf-8") as notes:
                notes.write(f"{json.dumps(step['key'])}\n")
                notes.flush()
                os.fsync(notes.fileno())

    def commands(self) -> list[str]:
        """Return which of the user's own commands were begun."""
        try:
            lines = (self.directory / "commands").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        begun = []
        for line in lines:
            # A power cut may leave a part of a line: what it was about to name was not begun yet.
            with contextlib.suppress(ValueError):
                begun.append(str(json.loads(line)))
        return begun

    def deadline(self) -> float:
        """Return when the change is undone unless it is confirmed before, in seconds since the boot."""
        try:
            return float((self.directory / "deadline").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0.0

    def extend(self, seconds: float) -> None:
        """Let the change go unconfirmed for so long from now on."""
        _apply.write_file(self.directory / "deadline", f"{now() + seconds}\n".encode(), 0o600)

    def report(self, token: str, state: str, error: str | None = None, **more: Any) -> None:
        """Leave word for the controller's next connection."""
        _apply.write_json(self.report_path, {"token": token, "state": state, "error": error, **more})

    def fail_start(self, token: str, error: str) -> None:
        """Note that the applier could not be started, for the watcher to end the change, whether it began or not."""
        with _apply.exclusive():
            if self.armed == token and self.last_report().get("state") == "running":
                self.report(token, "running", error)
                self.extend(0)

    def last_report(self) -> dict[str, Any]:
        """Return the word that was left last; none that a power cut has spoilt, since nothing waits for the disk."""
        try:
            return self._load(self.report_path)
        except ValueError:
            return {}

    @property
    def told(self) -> str:
        """The commit of whose undoing a controller has heard."""
        try:
            return (self.state / "told").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""

    def tell(self, token: str) -> None:
        """Note that a controller has heard of it."""
        _apply.write_file(self.state / "told", f"{token}\n".encode(), 0o600)

    def confirm(self, token: str) -> bool:
        """Make the change lasting, if it is applied and still there.

        Returns:
            False when somebody is at work on it: ask again.
        """
        with try_exclusive() as free:
            if not free:
                return False
            report = self.last_report()
            # Applied and without a marker: a confirmation that was killed on its way is brought to its end.
            if (report.get("token"), report.get("state")) == (token, "applied") and self.armed in (token, None):
                self.marker.unlink(missing_ok=True)
                os.sync()
                if self.undo.is_dir():
                    previous = self.state / "previous"
                    shutil.rmtree(previous, ignore_errors=True)
                    self.undo.rename(previous)
                peer = self.about().get("peer")
                shutil.rmtree(self.directory, ignore_errors=True)
                self.report(token, "confirmed", seconds=report.get("seconds"), ended=time.time(), peer=peer)
            return True

    def close(self, outcome: str) -> None:
        """End a change that was undone: from here on nobody undoes it again."""
        self.marker.rename(self.state / outcome)
        os.sync()
        shutil.rmtree(self.undo, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def _made(index: dict[str, Any]) -> list[str]:
    """Return the links that the change makes itself, and may be taken away with it."""
    names = []
    for path, entry in index["entries"].items():
        directory, _slash, name = path.rpartition("/")
        made = directory == "/etc/systemd/network" and name.endswith(".netdev") and entry["state"] == "present"
        if made and not Path(path).exists():
            names.append(name.removesuffix(".netdev").removeprefix("50-kvmnet-"))
    return sorted(names)


@contextlib.contextmanager
def try_exclusive() -> Iterator[bool]:
    """Hold the host's lock if nobody else does."""
    _apply.LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _apply.LOCK.open("a", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
