# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Commit a candidate from outside Ansible's process tree, and read how it went."""

from __future__ import annotations

import contextlib
import inspect
import io
import ipaddress
import os
import shlex
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import ROOT, Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import (
    _apply,
    _compare,
    _departure,
    _exchange,
    _firewall,
    _networkd,
    _restore,
    _run,
    _snapshot,
    _traces,
    _transaction,
    _units,
    _watch,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._ability import BOOT_UNIT, WATCHER
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import Transaction
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COMMITTING = ROOT / "committing"
# Time for the module's answer to reach the controller before the network changes under its connection.
APPLY_DELAY = 0.5
_PARTS = (
    *(_run, _units, _departure, _exchange, _traces, _firewall, _networkd, _apply, _snapshot, _compare, _transaction),
    *(_restore, _watch),
)
PROGRAM = _apply.STATE / "guard.pyz"

_BOOT_TEXT = """\
# Managed by ursa.kvmnet: puts the network's files back when the host went down before a commit was confirmed.
[Unit]
Description=Undo a commit of the network that was never confirmed
DefaultDependencies=no
ConditionPathExists={marker}
RequiresMountsFor={state} {python} /var/lib /etc /usr
After=systemd-remount-fs.service
Before=network-pre.target systemd-networkd.service networking.service ifupdown-pre.service systemd-sysctl.service
Before=shorewall-init.service shorewall.service shorewall6.service dnsmasq.service sysinit.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} {program} boot

[Install]
WantedBy=sysinit.target
"""


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
    named: dict[str, int] = {}
    for order, command in enumerate(commands, _apply.OWN_COMMANDS):
        argv = command["argv"]
        name = shlex.join(argv)
        named[name] = named.get(name, 0) + 1
        # The same one again is another step.
        again = f" ({named[name]})" if named[name] > 1 else ""
        candidate.step("command", f"{name}{again}", order, argv=argv, undo=command["undo"])


def pack_program() -> bytes:
    """Return what stays on the host: the guard and what it imports, as one program that Python runs without Ansible."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        package = _apply.__name__.rpartition(".")[0]
        parents = package.split(".")
        for depth in range(1, len(parents) + 1):
            archive.writestr("/".join([*parents[:depth], "__init__.py"]), "")
        for part in _PARTS:
            archive.writestr(f"{part.__name__.replace('.', '/')}.py", inspect.getsource(part))
        archive.writestr("__main__.py", f"import sys\n\nfrom {package}._watch import main\n\nsys.exit(main())\n")
    return packed.getvalue()


def resume(candidate: Candidate) -> None:
    """Take over the steps of a commit that was killed on its way; what this run wants to be done goes before."""
    for step in _apply.unfinished():
        staged = candidate.steps.get((step["kind"], step["key"]), {}).get("args", {})
        mergeable = {name: value for name, value in step["args"].items() if isinstance(value, bool | list)}
        new = {name: value for name, value in step["args"].items() if name not in staged}
        candidate.step(step["kind"], step["key"], step["order"], **mergeable | new)


def _install_guard() -> None:
    """Install the program, and the unit that runs it at the next boot should this one end before the confirmation."""
    _apply.STATE.mkdir(parents=True, mode=0o700, exist_ok=True)
    _apply.write_file(PROGRAM, pack_program(), 0o600)
    state = _apply.STATE
    text = _BOOT_TEXT.format(marker=state / "armed", state=state, python=sys.executable, program=PROGRAM)
    same = BOOT_UNIT.is_file() and BOOT_UNIT.read_text(encoding="utf-8") == text
    if not same or not os.path.lexists(BOOT_UNIT.parent / "sysinit.target.wants" / BOOT_UNIT.name):
        _apply.write_file(BOOT_UNIT, text.encode(), 0o644)
        _run.run(["systemctl", "daemon-reload"])
        _run.run(["systemctl", "enable", BOOT_UNIT.name])


def _unit(name: str, *properties: str) -> list[str]:
    options = [f"--property={setting}" for setting in ("Type=exec", *properties)]
    return ["systemd-run", "--quiet", "--collect", f"--unit={name}", *options]


def _is_watched() -> bool:
    done = subprocess.run(["systemctl", "is-active", WATCHER], capture_output=True, text=True, check=False)
    # One that systemd is about to start again is there as well.
    return done.stdout.strip() in ("active", "activating", "deactivating", "reloading")


def end_leftover() -> None:
    """Undo a change that was left behind with nobody to watch over it.

    Raises:
        ApplyError: there was one; the text says what became of it.
    """
    transaction = Transaction()
    end = time.monotonic() + _transaction.START_SECONDS + 1
    # The watcher of the last change is about to end, or another change is about to be armed.
    while transaction.armed is None and _is_watched() and time.monotonic() < end:
        time.sleep(0.1)
    token = transaction.armed
    if token is None:
        return
    if _is_watched():
        raise _run.ApplyError(transaction.describe_other())
    about = transaction.about()
    _install_guard()
    _run.run([*_unit(f"kvmnet-leftover-{token}"), "--wait", sys.executable, str(PROGRAM), "stoppost"])
    report = transaction.last_report()
    left = "; ".join(report.get("left") or []) or "everything is as it was before"
    transaction.tell(token)
    raise _run.ApplyError(
        f"commit {token} by {about.get('peer') or 'somebody'} was never confirmed, and nothing watched over it any "
        f"more; it was undone now ({left}). Run again"
    )


def check_free(candidate: Candidate, check_mode: bool) -> None:
    """See to it that no other change is on its way on this host.

    Raises:
        ApplyError: one is, or was and nobody watched over it; the text says by whom, and what became of it.
    """
    transaction = Transaction()
    token = transaction.armed
    if token is None:
        return
    if not _is_watched():
        if not check_mode:
            end_leftover()
        by = transaction.about().get("peer") or "somebody"
        raise _run.ApplyError(
            f"commit {token} by {by} was never confirmed, and nothing watches over it any more; a run that is not in "
            "check mode undoes it first"
        )
    if not candidate.empty:
        raise _run.ApplyError(transaction.describe_other())


def untold(check_mode: bool) -> str:
    """Return the report of a commit that was undone, if no controller has heard of it, and note that one has now."""
    transaction = Transaction()
    report = transaction.last_report()
    if report.get("state") != "restored" or transaction.armed is not None or transaction.told == report["token"]:
        return ""
    if not check_mode:
        # On a full disk it is told again.
        with contextlib.suppress(OSError):
            transaction.tell(report["token"])
    left = "; ".join(report.get("left") or []) or "everything is as it was before it"
    when = f" at {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(report['ended']))}" if "ended" in report else ""
    return f"the last commit, by {report.get('peer') or 'somebody'}, was undone{when}: {report['error']} ({left})"


def start(candidate: Candidate, token: str, peer: str | None, timeout: int) -> None:
    """Arm the guard, start the applier as a unit of its own and return before it touches anything.

    Raises:
        ApplyError: another change is on its way, or systemd did not start the watcher; nothing was touched.
    """
    end_leftover()
    _install_guard()
    candidate.save(COMMITTING)
    transaction = Transaction()
    program = [sys.executable, str(PROGRAM)]
    arming = transaction.announce(token)
    watch = ("Restart=on-failure", "RestartSec=200ms", "StartLimitIntervalSec=0", "OOMScoreAdjust=-900")
    stoppost = f"ExecStopPost={sys.executable} {PROGRAM} stoppost"
    try:
        _run.run([*_unit(WATCHER, *watch, stoppost), *program, "watch"])
        try:
            transaction.begin(COMMITTING, token, peer, timeout)
        except _run.ApplyError:
            if transaction.armed is None:
                _run.run(["systemctl", "stop", WATCHER])
            raise
    finally:
        arming.unlink(missing_ok=True)
    unit = f"kvmnet-commit-{token}"
    try:
        apply = [*program, "apply", str(COMMITTING), f"--delay={APPLY_DELAY}"]
        _run.run([*_unit(unit, "OOMScoreAdjust=-900"), *apply])
    except _run.ApplyError as error:
        # What asked systemd may have ended after it was heard. The watcher undoes whatever came of it, and reports.
        subprocess.run(["systemctl", "stop", unit], capture_output=True, check=False)
        transaction.fail_start(token, str(error))


def result(token: str, confirm: bool) -> dict[str, Any]:
    """Return the report of a commit.

    C(state) is C(running), C(applied), C(restoring), C(confirmed), C(restored) or C(unknown).

    Args:
        token: the commit.
        confirm: make it lasting. Whoever says so came over a connection that was opened after the report was
            C(applied): one that is older may be let in for that reason alone.
    """
    transaction = Transaction()
    if confirm:
        transaction.confirm(token)
    report = transaction.last_report()
    if report.get("token") != token:
        return {"state": "unknown", "error": "the host has no report of this commit"}
    if report["state"] == "restored" and transaction.armed == token:
        return {**report, "state": "restoring"}
    if report["state"] == "restoring" and transaction.armed != token:
        # It is over: the last word was written meanwhile, or could not be on a full disk.
        left = ["what became of it could not be written down: compare the host with its inventory"]
        silent = {**report, "state": "restored", "restored": [], "found": [], "left": left, "seconds": 0}
        again = transaction.last_report()
        return silent if again == report else again
    if report["state"] == "restored":
        # Who asks hears of it now; on a full disk the next one does too.
        with contextlib.suppress(OSError):
            transaction.tell(token)
    return report
