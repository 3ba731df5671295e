# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What the two modules do: read, check, stage, compile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Problem
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _checks, _compile, _conf, _leftovers, _zones
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._compile import CompileResult, is_installed
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._config import Request
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import FAMILIES, IPV4, IPV6, Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._files import Staging, decode
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._gateways import Neighbour


class InvalidError(Exception):
    """The input is wrong."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


def family_of(params: Mapping[str, Any]) -> Family:
    """Return the firewall that a module's parameters are about."""
    return FAMILIES.get(str(params.get("family")), IPV4)


def _require_installed(check_mode: bool, family: Family) -> None:
    if not check_mode and not is_installed(family):
        raise InvalidError(
            [
                Problem(
                    family.product,
                    None,
                    None,
                    "not installed",
                    f"the package {family.product}, installed before its configuration is written",
                )
            ]
        )


def stage_zones(candidate: Candidate, params: Mapping[str, Any], check_mode: bool) -> Staging:
    """Stage zones, interfaces and hosts.

    Raises:
        InvalidError: the input is wrong.
    """
    family = family_of(params)
    _require_installed(check_mode, family)
    staging = Staging(candidate, family)
    present = [entry for entry in params["zones"] if entry.get("state") != "absent"]
    absent = {str(entry["name"]) for entry in params["zones"] if entry.get("state") == "absent"}
    rows, problems = _zones.read_zones(present, params.get("interfaces") or (), family)
    if not params["exclusive"]:
        have = _zones.ZoneRows(staging.rows("zones"), staging.rows("interfaces"), staging.rows("hosts"))
        named = {
            str(entry.get("name"))
            for entry in present
            if entry.get("interfaces") is not None or entry.get("hosts") is not None
        }
        rows = _zones.merge(have, rows, named, absent)
    content = candidate.read(family.conf)
    settings = _conf.read(decode(candidate.read(family.conf_template) if content is None else content))
    places = {problem.place() for problem in problems}
    found = _zones.check_zones(rows, settings.get("LOGFORMAT") or _zones.DEFAULT_LOGFORMAT, family)
    problems += [problem for problem in found if problem.place() not in places]
    problems += _checks.check_networks({"interfaces": rows.interfaces, "hosts": rows.hosts}, family.version)
    if problems:
        raise InvalidError(problems)
    for name, wanted in (("zones", rows.zones), ("interfaces", rows.interfaces), ("hosts", rows.hosts)):
        # Directives between rows that stay are not ours to remove.
        if params["exclusive"] or wanted != staging.rows(name):
            staging.stage_rows(name, wanted, keep_lost=not params["exclusive"])
    if staging.files_changed:
        candidate.step(*family.step, origins=staging.notes, routing=staging.routing)
    return staging


def stage_config(
    candidate: Candidate,
    params: Mapping[str, Any],
    check_mode: bool,
    neighbour: Neighbour,
    glance: Neighbour | None = None,
) -> Staging:
    """Stage every other file.

    Args:
        candidate: where to.
        params: the module's parameters.
        check_mode: whether Shorewall may be missing.
        neighbour: finds the MAC address of an address on an interface of the host.
        glance: likewise, but gives up sooner. None: pinned addresses are not looked at.

    Raises:
        InvalidError: the input is wrong.
    """
    family = family_of(params)
    _require_installed(check_mode, family)
    staging = Staging(candidate, family)
    request = Request(staging, params, neighbour, glance)
    request.check()
    if request.problems:
        raise InvalidError(request.problems)
    request.stage()
    _give_up_ipv6(staging, request.settings)
    staging.leftovers = _leftovers.find(candidate, staging.family)
    return staging


def _give_up_ipv6(staging: Staging, settings: Mapping[str, str]) -> None:
    """Take IPv6's own firewall out of the boot when this one closes IPv6 as a whole: it would open it again."""
    enabled = (staging.candidate.host_root / IPV6.enabled).exists()
    if staging.family == IPV4 and settings.get("DISABLE_IPV6") == "Yes" and enabled:
        staging.plan.add(Change("delete", "firewall", IPV6.product, note="stop and disable, since IPv6 is closed"))
        staging.candidate.step(*IPV6.step, action="stop", boot="disabled")


def compile_and_plan(staging: Staging, check_mode: bool = True) -> CompileResult:
    """Compile what is staged, if it is not compiled yet, and plan what the firewall has to do.

    Args:
        staging: what is staged.
        check_mode: nothing is remembered for later runs.

    Raises:
        CompileError: the compiler refuses it.
    """
    result = _compile.compile_staged(staging.candidate, staging.routing, staging.notes, staging.family, check_mode)
    if result.action == "start":
        staging.plan.add(Change("create", "firewall", staging.family.product, note="start"))
    elif result.reason:
        staging.plan.add(
            Change("change", "firewall", staging.family.product, note=f"{result.action}, since {result.reason}")
        )
    return result
