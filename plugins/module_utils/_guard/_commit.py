# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Commit a candidate from outside Ansible's process tree, and read how it went."""

from __future__ import annotations

import inspect
import io
import ipaddress
import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import ROOT, Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import (
    _apply,
    _departure,
    _exchange,
    _firewall,
    _run,
    _units,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COMMITTING = ROOT / "committing"
# Time for the module's answer to reach the controller before the network changes under its connection.
APPLY_DELAY = 0.5
_COMMAND_ORDER = 90


def describe(candidate: Candidate) -> Plan:
    """Return what committing the candidate does, file by file and step by step."""
    plan = Plan()
    for path, entry in sorted(candidate.entries.items()):
        there = candidate.live(path) is not None
        if entry["state"] == "absent":
            plan.add(Change("delete", "file", path))
        else:
            options = {} if there else {"mode": (None, f"{entry['mode']:04o}")}
            plan.add(Change("change" if there else "create", "file", path, options))
    for step in sorted(candidate.steps.values(), key=lambda step: (step["order"], step["kind"], step["key"])):
        if step["args"].get("argv") == []:
            # It is there for its undo.
            continue
        action = step["args"].get("action", "")
        plan.add(Change("change", step["kind"], step["key"], note=action))
    return plan


def check_input(files: Iterable[Mapping[str, Any]], commands: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Check the user's own additions to the commit."""
    problems = []
    for index, entry in enumerate(files):
        path = Path(entry["path"])
        if not path.is_absolute() or ".." in path.parts:
            problems.append(Problem("files", index, "path", entry["path"], "an absolute path without '..'"))
        if entry["state"] == "present" and entry.get("content") is None:
            problems.append(Problem("files", index, "content", None, "the file's text, unless state is absent"))
        mode = entry["mode"]
        if not (mode.isdigit() and len(mode) in (3, 4) and set(mode) <= set("01234567")):
            problems.append(Problem("files", index, "mode", mode, "an octal mode as a quoted string, such as '0644'"))
    for index, command in enumerate(commands):
        for key in ("argv", "undo"):
            argv = command[key]
            if argv is None:
                continue
            if not argv:
                problems.append(Problem("commands", index, key, argv, "a program and its arguments"))
            elif shutil.which(argv[0]) is None:
                problems.append(Problem("commands", index, key, argv[0], "a program that is installed on the host"))
    return problems


def check_admitted(peer: str, admit: Iterable[str]) -> Problem | None:
    """Refuse a change after which the controller's own address would not be let in."""
    networks = list(admit)
    address = ipaddress.ip_address(peer)
    if any(address in ipaddress.ip_network(network, strict=False) for network in networks):
        return None
    own = f"{peer}/{address.max_prefixlen}"
    allowed = f"a list that holds {peer}, the address you are connected from: add {own}, or the network it is in"
    return Problem("kvmnet_management", None, "sources", networks, allowed)


def add_own(candidate: Candidate, files: Iterable[Mapping[str, Any]], commands: Iterable[Mapping[str, Any]]) -> None:
    """Add the user's files, and the user's commands if there is anything to commit at all."""
    for entry in files:
        if entry["state"] == "absent":
            candidate.remove(entry["path"])
        else:
            candidate.put(entry["path"], entry["content"], int(entry["mode"], 8))
    if candidate.empty:
        return
    for command in commands:
        argv = command["argv"]
        candidate.step("command", " ".join(argv), _COMMAND_ORDER, argv=argv, undo=command["undo"])


def open_previous() -> Candidate | None:
    """Return the candidate that undoes the last commit, or None when there is none."""
    directory = _apply.STATE / "previous"
    index = _apply.load_index(directory)
    if index is None:
        return None
    candidate = Candidate(index["run_id"], directory)
    candidate.load()
    return candidate


def pack_applier() -> bytes:
    """Return the applier and what it imports as one program that Python runs without Ansible."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        package = _apply.__name__.rpartition(".")[0]
        parents = package.split(".")
        for depth in range(1, len(parents) + 1):
            archive.writestr("/".join([*parents[:depth], "__init__.py"]), "")
        for part in (_run, _units, _departure, _exchange, _firewall, _apply):
            archive.writestr(f"{part.__name__.replace('.', '/')}.py", inspect.getsource(part))
        archive.writestr("__main__.py", f"import sys\n\nfrom {package}._apply import main\n\nsys.exit(main())\n")
    return packed.getvalue()


def resume(candidate: Candidate) -> None:
    """Take over the steps of a commit that was killed on its way; what this run wants to be done goes before."""
    for step in _apply.unfinished():
        staged = candidate.steps.get((step["kind"], step["key"]), {}).get("args", {})
        mergeable = {name: value for name, value in step["args"].items() if isinstance(value, bool | list)}
        new = {name: value for name, value in step["args"].items() if name not in staged}
        candidate.step(step["kind"], step["key"], step["order"], **mergeable | new)


def start(candidate: Candidate, token: str) -> None:
    """Start the applier as a unit of its own and return before it touches anything.

    Raises:
        ApplyError: systemd did not start it.
    """
    _apply.STATE.mkdir(parents=True, mode=0o700, exist_ok=True)
    program = _apply.STATE / "apply.pyz"
    _apply.write_file(program, pack_applier(), 0o600)
    candidate.save(COMMITTING)
    report = _apply.STATE / "report.json"
    _apply.write_json(report, {"token": token, "state": "running", "error": None})
    unit = ["systemd-run", "--quiet", "--collect", f"--unit=kvmnet-commit-{token}", "--property=Type=exec"]
    options = [f"--token={token}", f"--delay={APPLY_DELAY}"]
    _run.run([*unit, sys.executable, str(program), str(COMMITTING), str(report), *options])


def result(token: str) -> dict[str, Any]:
    """Return the report of a commit: C(state) is C(running), C(applied), C(failed) or C(unknown)."""
    try:
        report: dict[str, Any] = json.loads((_apply.STATE / "report.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        report = {}
    if report.get("token") != token:
        return {"state": "unknown", "error": "the host has no report of this commit"}
    return report
