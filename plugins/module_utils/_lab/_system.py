# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Processes, namespaces and files of the machine the lab runs on."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NETNS_DIR = Path("/run/netns")
SYSTEMD = Path("/run/systemd/system")


class LabFailedError(Exception):
    """The lab could not be built; the message is for the user."""


def run(argv: Sequence[str], stdin: str = "", timeout: float = 60, env: Mapping[str, str] | None = None) -> str:
    """A command's output; a failure names the command and what it said."""
    try:
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, text=True, timeout=timeout, check=False, env=env
        )
    except FileNotFoundError as error:
        raise LabFailedError(f"{argv[0]}: command not found") from error
    except subprocess.TimeoutExpired as error:
        raise LabFailedError(f"{' '.join(argv)}: no end after {timeout:.0f} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LabFailedError(f"{' '.join(argv)}: {said or f'exit code {done.returncode}'}")
    return done.stdout


@contextmanager
def exclusive(path: Path, patience: float, what: str) -> Iterator[None]:
    """One at a time; the kernel ends the claim of who was killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with path.open("w", encoding="utf-8") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LabFailedError(f"another run is {what} and did not end in {patience:.0f} s") from None
                time.sleep(0.1)
        yield


def run_steps(steps: Iterable[Mapping[str, Any]]) -> None:
    """Commands in order; those that may fail do so silently."""
    for item in steps:
        try:
            run(item["argv"], item["stdin"])
        except LabFailedError:
            if not item["may_fail"]:
                raise


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with its PID this names it for ever. None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def alive(record: Mapping[str, Any] | None) -> bool:
    """Whether exactly the recorded process still runs."""
    return bool(record) and record is not None and start_time(int(record["pid"])) == record["start"]


def out_of_session(argv: Sequence[str], name: str) -> list[str]:
    """With systemd, out of the session or service that Ansible runs in, which may end its processes when it ends."""
    if not SYSTEMD.is_dir():
        return list(argv)
    scope = ["systemd-run", "--quiet", "--scope", "--collect", "--property=Delegate=yes"]
    # A scope that just ended may still have its name
    return [*scope, f"--unit={name}-{time.time_ns() // 1000000}", "--", *argv]


def spawn(argv: Sequence[str], log: Path) -> dict[str, int]:
    """Start a program that outlives us and everybody who waits for our output."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
        )
    start = start_time(process.pid)
    if start is None:
        raise LabFailedError(f"{' '.join(argv)}: ended at once; see {log}")
    return {"pid": process.pid, "start": start}


def end(record: Mapping[str, Any] | None, patience: float = 15.0) -> None:
    """End the recorded process, and nobody else who may have its number by now."""
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        if record is None or not alive(record):
            return
        os.kill(int(record["pid"]), number)
        deadline = time.monotonic() + seconds
        while alive(record) and time.monotonic() < deadline:
            time.sleep(0.05)


def namespace_id(name: str) -> str | None:
    """Tells a namespace from a later one of the same name."""
    try:
        status = os.stat(NETNS_DIR / name)
    except OSError:
        return None
    return f"{status.st_dev}:{status.st_ino}"


def namespace_pids(name: str) -> list[dict[str, int]]:
    """The processes inside one of the lab's namespaces."""
    found = []
    if namespace_id(name) is not None:
        for word in run(["ip", "netns", "pids", name]).split():
            start = start_time(int(word))
            if start is not None:
                found.append({"pid": int(word), "start": start})
    return found


def arguments(pid: int) -> list[str]:
    """The words a process was started with; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except OSError:
        return []


def link_masters(name: str) -> dict[str, str]:
    """Each device of a namespace with the bridge it is a port of."""
    if namespace_id(name) is None:
        return {}
    return {link["ifname"]: link.get("master", "") for link in json.loads(run(["ip", "-n", name, "-j", "link"]))}


def write_file(
    path: Path, content: str, mode: int = 0o644, owner: tuple[int, int] | None = None, write: bool = True
) -> bool:
    """Replace a file when it differs; True when it did."""
    data = content.encode()
    if path.exists() and path.read_bytes() == data and path.stat().st_mode & 0o7777 == mode:
        return False
    if not write:
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_bytes(data)
    temporary.chmod(mode)
    if owner is not None:
        os.chown(temporary, *owner)
    temporary.replace(path)
    return True
