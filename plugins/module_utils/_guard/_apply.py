# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""Apply a candidate to the host, whole, or put everything back.

A candidate is a directory with C(index.json) (C(run_id), C(entries): path -> state and mode, C(steps)) and the new
contents below C(files/). Files are installed first, each by temporary file and rename; then the steps run in order.
When one fails, the inverse candidate, made before the first write, is applied: old files, same steps.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._departure import STOPPING, runs_first, stop_unit
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._exchange import (
    WHOLE,
    build,
    next_of,
    put_in_place,
    rename_exchange,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._firewall import (
    clear_going,
    firewall_inverse,
    step_ipset,
    step_ipset_prune,
    step_shorewall,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._networkd import networkd_inverse, step_networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError, run
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._traces import (
    fingerprint,
    new_directories,
    owner_of,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._units import unit_inverse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STATE = Path("/var/lib/kvmnet/guard")
LOCK = Path("/run/lock/kvmnet.lock")
# From here on the user's own commands are numbered, in the order that they are written in.
OWN_COMMANDS = 1000


def prepare_file(path: Path, content: bytes, mode: int, owner: Sequence[int] | None = None) -> Path:
    """Write a file's new content beside it and return where; renaming it into place is then all that is left to do.

    Args:
        path: the file.
        content: what it is to hold.
        mode: its mode.
        owner: user and group by number; without them those that the file has keep it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.kvmnet-new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        user, group = owner or owner_of(path) or (-1, -1)
        os.fchown(handle.fileno(), user, group)
        os.fchmod(handle.fileno(), mode)
    return temporary


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file so that readers see the old one or the new one, never a part."""
    prepare_file(path, content, mode).rename(path)


def write_json(path: Path, data: object) -> None:
    """Write data as JSON, readable by root only."""
    write_file(path, json.dumps(data, indent=1, sort_keys=True).encode(), 0o600)


def content_path(directory: Path, path: str) -> Path:
    """Return where a candidate keeps the new content of a path."""
    return directory / "files" / path.lstrip("/")


def load_index(directory: Path) -> dict[str, Any] | None:
    """Return a candidate's index, or None when there is no candidate."""
    try:
        index: dict[str, Any] = json.loads((directory / "index.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return index


def sysctl_values(content: str) -> dict[str, str]:
    """Return what the kernel holds now for the keys that a sysctl file sets."""
    values = {}
    for line in content.splitlines():
        key, equals, _unused = line.partition("=")
        key = key.strip().removeprefix("-")
        path = Path("/proc/sys", key if "/" in key else key.replace(".", "/"))
        if equals and not key.startswith(("#", ";")) and path.is_file():
            values[key] = path.read_text(encoding="utf-8").strip()
    return values


def make_inverse(directory: Path, index: dict[str, Any], target: Path) -> None:
    """Write the candidate that undoes another one, from the files as they are now.

    Where the target holds the inverse of a change that was interrupted, what it says of a file or step stays: the
    state to go back to is the one before that change.
    """
    interrupted, final = load_index(target), target
    target = target.with_name(f"{target.name}.new")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, mode=0o700)
    entries = {}
    after = {
        path: fingerprint(content_path(directory, path), entry["mode"]) if entry["state"] == "present" else None
        for path, entry in index["entries"].items()
    }
    made = new_directories(index)
    for path in index["entries"]:
        live = Path(path)
        if live.is_file():
            entries[path] = {"state": "present", "mode": live.stat().st_mode & 0o7777, "owner": owner_of(live)}
            write_file(content_path(target, path), live.read_bytes(), 0o600)
        else:
            entries[path] = {"state": "absent"}
    steps = []
    for step in index["steps"]:
        if step["kind"] == "unit":
            action = unit_inverse(step["args"]["action"], step["key"])
            if action is not None:
                steps.append({**step, "args": {**step["args"], "action": action}})
        elif step["kind"] == "shorewall":
            steps.append({**step, "args": firewall_inverse(step["key"], step["args"])})
        elif step["kind"] == "command" and "undo" in step["args"]:
            argv, undo, order = step["args"]["argv"], step["args"]["undo"], step["order"]
            if order >= OWN_COMMANDS:
                # The last one is undone first.
                order = 3 * OWN_COMMANDS - 1 - order
            # One without an undo is there to be run again, should this be undone.
            steps.append({**step, "order": order, "args": {**step["args"], "argv": undo or [], "undo": argv}})
        elif step["kind"] == "sysctl":
            staged = content_path(directory, step["key"])
            content = staged if staged.is_file() else Path(step["key"])
            values = sysctl_values(content.read_text(encoding="utf-8")) if content.is_file() else {}
            steps.append({**step, "args": {"values": values}})
        elif step["kind"] == "networkd":
            # The links it would wait for are those that go.
            args = {key: value for key, value in step["args"].items() if key != "links"}
            steps.append({**step, "args": networkd_inverse(args)})
        elif step["kind"] == "ip":
            # Kernel objects made by a batch are put back by the steps that own their files.
            continue
        else:
            steps.append(step)
    if interrupted is not None:
        entries |= interrupted["entries"]
        after = interrupted.get("after", {}) | after
        made = sorted({*made, *interrupted.get("directories", ())}, reverse=True)
        shutil.copytree(final / "files", target / "files", dirs_exist_ok=True)
        steps = join_steps(interrupted["steps"], steps)
    # What runs first ran before the files that it needs could go.
    redo = [step for step in index["steps"] if not runs_first(step, index["entries"])]
    about = {"run_id": index["run_id"], "after": after, "directories": made}
    inverse = {**about, "entries": entries, "steps": steps, "redo": redo}
    write_json(target / "index.json", inverse)
    os.sync()
    if interrupted is None:
        shutil.rmtree(final, ignore_errors=True)
        target.rename(final)
    else:
        rename_exchange(target, final)
        shutil.rmtree(target)


def join_steps(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return steps, and of others those that are not among them."""
    named = {(step["kind"], step["key"]) for step in first}
    return first + [step for step in second if (step["kind"], step["key"]) not in named]


def unfinished() -> list[dict[str, Any]]:
    """Return the steps of a change that was killed on its way; none while one is being applied.

    Its files are found by comparing, but nothing else would notice that the system does not follow them.
    """
    index = load_index(STATE / "undo")
    if index is None or not _is_free():
        return []
    # Batches for the kernel are no files' consequence: they are staged anew from what the kernel holds.
    return [step for step in index.get("redo", ()) if step["kind"] != "ip"]


def _is_free() -> bool:
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _split(
    directory: Path, index: dict[str, Any]
) -> tuple[dict[Path, dict[str, tuple[bytes, int] | None]], dict[Path, tuple[bytes, int] | None]]:
    """Return what a candidate makes of directories that are exchanged whole, and of files."""
    whole: dict[Path, dict[str, tuple[bytes, int] | None]] = {}
    files: dict[Path, tuple[bytes, int] | None] = {}
    for path, entry in sorted(index["entries"].items()):
        present = entry["state"] == "present"
        wanted = (content_path(directory, path).read_bytes(), entry["mode"]) if present else None
        root = next((root for root in WHOLE if path.startswith(f"{root}/")), None)
        if root is None:
            files[Path(path)] = wanted
        else:
            whole.setdefault(Path(root), {})[path.removeprefix(f"{root}/")] = wanted
    return whole, files


def install_files(directory: Path, index: dict[str, Any], running: bool = True) -> None:
    """Put every file of the candidate in its place; a power cut leaves each of them old or new, never a part.

    A firewall's configuration is one unit: its directory is old or new. All contents are on the disk before the first
    rename, which takes one wait for hundreds of files.

    Args:
        directory: the candidate.
        index: its index.
        running: the firewalls may be at work, and one whose script goes is cleared by it first.
    """
    if running:
        clear_going(directory, index["entries"])
    whole, files = _split(directory, index)
    for live, contents in whole.items():
        build(live, contents)
    owners = {Path(path): entry.get("owner") for path, entry in index["entries"].items()}
    prepared = [
        (prepare_file(path, *wanted, owners[path]), path) for path, wanted in files.items() if wanted is not None
    ]
    os.sync()
    # Before the compiled scripts: a script that does not match its configuration is compiled again.
    for live, contents in whole.items():
        put_in_place(live, contents)
    for temporary, path in prepared:
        temporary.rename(path)
    for path, wanted in files.items():
        if wanted is None:
            path.unlink(missing_ok=True)
    os.sync()


def _step_sysctl(key: str, args: dict[str, Any]) -> None:
    if Path(key).is_file():
        # Keys of a module that is not loaded do not exist yet: modules-load.d and the boot set them.
        run(["sysctl", "-e", "-q", "-p", key])
    # The kernel keeps a value when the file that set it goes.
    for name, value in args.get("values", {}).items():
        run(["sysctl", "-e", "-q", "-w", f"{name}={value}"])


def _step_ip(key: str, args: dict[str, Any]) -> None:
    run([key, "-batch", "-"], stdin="".join(f"{line}\n" for line in args["lines"]))


def _step_unit(key: str, args: dict[str, Any]) -> None:
    action = args["action"]
    if action == "signal-HUP":
        run(["systemctl", "kill", "--signal=HUP", key])
    elif action in STOPPING:
        stop_unit(key, action)
    elif action.endswith("-now"):
        run(["systemctl", action.removesuffix("-now"), "--now", key])
    else:
        run(["systemctl", action, key])


def _step_command(key: str, args: dict[str, Any]) -> None:
    # There are commands for one direction only.
    if args["argv"]:
        run(args["argv"])


_STEPS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    "sysctl": _step_sysctl,
    "networkd": step_networkd,
    "ip": _step_ip,
    "unit": _step_unit,
    "ipset": step_ipset,
    "shorewall": step_shorewall,
    "ipset-prune": step_ipset_prune,
    "command": _step_command,
}


def run_steps(
    index: dict[str, Any], first: bool, go_on: bool = False, began: Callable[[dict[str, Any]], None] | None = None
) -> list[str]:
    """Run a candidate's steps in order.

    Args:
        first: those that need the old files, before they change; else the others.
        go_on: go on after a failure and collect it, as an undo must.
        began: called before each step.

    Returns:
        What failed, when going on.

    Raises:
        ApplyError: the first failure, when not going on.
    """
    errors = []
    steps = sorted(index["steps"], key=lambda step: (step["order"], step["kind"], step["key"]))
    entries = index["entries"]
    if not first and any(path.startswith("/etc/systemd/system/") for path in entries):
        run(["systemctl", "daemon-reload"])
    for step in steps:
        if runs_first(step, entries) != first:
            continue
        if began:
            began(step)
        try:
            _STEPS[step["kind"]](step["key"], step["args"])
        except ApplyError as error:
            if not go_on:
                raise ApplyError(f"{step['kind']} {step['key']}: {error}") from error
            errors.append(f"{step['kind']} {step['key']}: {error}")
    return errors


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Hold the lock that makes sure that one change at a time is applied to this host."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def apply_candidate(directory: Path, previous: Path = STATE / "previous") -> None:
    """Apply a candidate and keep its inverse, or put everything back.

    Args:
        directory: the candidate; removed when it is applied or put back.
        previous: where its inverse is kept for C(rollback).

    Raises:
        ApplyError: a step failed; everything was put back, or the text says what was not.
    """
    index = load_index(directory)
    if index is None:
        raise ApplyError(f"{directory} holds no candidate")
    if (STATE / "armed").exists():
        raise ApplyError("a commit on this host is not confirmed yet: run again when it is, or is undone")
    # The lock, once taken, is not free.
    index["steps"] = join_steps(index["steps"], unfinished())
    with exclusive():
        undo = STATE / "undo"
        make_inverse(directory, index, undo)
        try:
            run_steps(index, first=True)
            install_files(directory, index)
            run_steps(index, first=False)
        except (ApplyError, OSError) as error:
            inverse = load_index(undo)
            if inverse is None:
                raise ApplyError(f"{error}; and the saved state {undo} is gone") from error
            left = run_steps(inverse, first=True, go_on=True)
            install_files(undo, inverse)
            left += run_steps(inverse, first=False, go_on=True)
            shutil.rmtree(undo)
            shutil.rmtree(directory)
            outcome = "everything was put back" if not left else "putting it back failed in part: " + "; ".join(left)
            raise ApplyError(f"{error}; {outcome}") from error
        for root in WHOLE:
            # Left by a change that was killed.
            shutil.rmtree(next_of(Path(root)), ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)
        undo.rename(previous)
        shutil.rmtree(directory)
