# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""From what is asked for to the candidate and the plan."""

from __future__ import annotations

import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan, Problem

from . import _contents, _leases, _sysctl, _units
from ._request import touches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate

    from ._request import Request
    from ._units import UnitState

_SYSCTL_ORDER = 20
# After the units: dnsmasq must have read its reservations again before a lease is given back.
_RELEASE_ORDER = 58
_UNIT_DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system")


def _unit_files(name: str) -> set[str]:
    """Return the names of the files that a unit can come from."""
    stem, at, _instance = PurePosixPath(name).stem.partition("@")
    return {name, f"{stem}{at}{PurePosixPath(name).suffix}"}


def _stage_sysctls(request: Request, candidate: Candidate, changed: set[str], plan: Plan) -> None:
    for want in request.files:
        if want.content is None or not _sysctl.is_sysctl(want.path):
            continue
        content = candidate.read(want.path) or b""
        drift = _sysctl.drifted(_sysctl.parse(content.decode(errors="replace")), candidate.host_root / "proc/sys")
        if drift or want.path in changed:
            candidate.step("sysctl", want.path, _SYSCTL_ORDER)
        if drift:
            plan.add(Change("change", "sysctl", want.path, drift))


def _stage_leases(request: Request, candidate: Candidate, plan: Plan) -> None:
    watch = request.release
    if watch is None:
        return
    leases = _leases.parse_leases((candidate.live(watch.leases) or b"").decode(errors="replace"))
    before = _leases.parse_reservations((candidate.live(watch.reservations) or b"").decode(errors="replace"))
    after = _leases.parse_reservations((candidate.read(watch.reservations) or b"").decode(errors="replace"))
    for lease, reason in _leases.contradictions(leases, before, after, time.time()):
        argv = _leases.release_command(lease, watch.interfaces)
        if argv is None:
            continue
        candidate.step("command", f"release {lease.address} {lease.mac}", _RELEASE_ORDER, argv=argv, undo=[])
        plan.add(Change("delete", "lease", f"{lease.address} of {lease.name or lease.mac}", note=reason))


def stage(request: Request, candidate: Candidate, states: Mapping[str, UnitState]) -> Plan:
    """Put everything on the candidate.

    Args:
        states: how the units are now.

    Returns:
        What differs from the live system.
    """
    plan = Plan()
    changes = _contents.stage_files(candidate, request.files, request.exclusive)
    for change in changes:
        plan.add(_contents.describe(change))
    paths = [change.path for change in changes]
    gone = {change.path for change in changes if change.after is None}
    _stage_sysctls(request, candidate, set(paths), plan)
    for unit in request.units:
        goes = bool(gone & {f"{_UNIT_DIRECTORIES[0]}/{name}" for name in _unit_files(unit.name)})
        outcome = _units.decide(unit, states[unit.name], paths, goes)
        for step in outcome.steps:
            candidate.step(step.kind, step.key, step.order, **step.args)
        plan.add(outcome.change)
    for command in request.commands:
        because = [path for path in paths if touches(command.paths, path)]
        if because:
            label = " ".join(command.argv or command.undo)
            args = {"argv": list(command.argv), "undo": list(command.undo)}
            candidate.step("command", label, command.order, **args, **({"before": True} if command.before else {}))
            if command.argv:
                plan.add(Change("change", "command", label, note=f"because {', '.join(because)} changed"))
    _stage_leases(request, candidate, plan)
    return plan


def missing_units(request: Request, candidate: Candidate, states: Mapping[str, UnitState]) -> list[Problem]:
    """Return the units that are to run and that neither the host nor the candidate has."""
    problems = []
    for unit in request.units:
        if states[unit.name].known or not (unit.enabled or unit.started):
            continue
        names = _unit_files(unit.name)
        if not any(candidate.read(f"{directory}/{name}") for directory in _UNIT_DIRECTORIES for name in names):
            problems.append(
                Problem("units", unit.index, "name", unit.name, "a unit that is installed on the host, or one of files")
            )
    return problems
