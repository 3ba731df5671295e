# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role uplink_monitor watches, derived from the inventory, and the files of whoever watches it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.ursa.kvmnet.plugins.filter.firewall import link_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem, report

Records = list[dict[str, Any]]

PROGRAMS = ("kvmnet", "foolsm")
_VARIABLE = "uplink_monitor_uplinks"
_CONFIGURATION = "/etc/kvmnet/uplink_monitor.json"
# What the service wrote; nobody else would ever remove it.
_VERDICTS = ("/var/lib/kvmnet/uplinks/init", "/var/lib/kvmnet/uplinks/down.json")
_NAME = re.compile(r"[A-Za-z]\w*")
# With these, of all that were measured, it notices a dead uplink soonest and does not flap at 10 % loss.
_FOOLSM = """\
connection {{
  name={name}
  checkip={target}
  device={interface}
  eventscript=/usr/local/lib/kvmnet/foolsm-event
  notifyscript=
  interval_ms=20
  timeout_ms=300
  max_successive_pkts_lost=7
  max_packet_loss=101
  min_packet_loss=100
  min_successive_pkts_rcvd=15
}}
"""


def monitor_uplinks(uplinks: Records | None) -> Records | None:
    """Return what there is to watch: the uplinks, when there are several.

    Args:
        uplinks: C(kvmnet_uplinks), or None when uplinks are not managed.
    """
    if uplinks is None:
        return None
    found = []
    for index, uplink in enumerate(uplinks if len(uplinks) > 1 else []):
        entry = {
            "source": f"kvmnet_uplinks[{index}]",
            "name": str(uplink["name"]),
            "interface": link_of(uplink),
            "gateway": None if uplink.get("gateway") is None else str(uplink["gateway"]),
            "targets": [str(target) for target in uplink.get("targets") or []],
            "family": 4,
        }
        found.append({key: value for key, value in entry.items() if value is not None})
    return found


def _path(source: str) -> str:
    """Return where a file of the role lies on the host."""
    name = source.rpartition("/")[2]
    if name.endswith(".service"):
        return f"/etc/systemd/system/{name}"
    return f"/usr/local/lib/kvmnet/{source if name.endswith('.py') else name}"


def _program_files(sources: Mapping[str, str], program: str) -> Iterator[dict[str, Any]]:
    for source, text in sources.items():
        owner = "foolsm" if "foolsm" in source else "kvmnet"
        if owner == program:
            yield {"path": _path(source), "content": text, "mode": "0755" if text.startswith("#!") else "0644"}
        else:
            yield {"path": _path(source), "state": "absent"}


def _configuration(uplinks: Records, settings: Mapping[str, Any]) -> str:
    about = ("name", "interface", "gateway", "family", "targets")
    rows = [{key: uplink[key] for key in about if uplink.get(key) is not None} for uplink in uplinks]
    values = {key: value for key, value in settings.items() if key != "program" and value is not None}
    return json.dumps({**values, "uplinks": rows}, indent=2) + "\n"


def _problem(uplink: Mapping[str, Any], index: int, key: str, allowed: str) -> Problem:
    variable, bracket, number = str(uplink.get("source") or "").partition("[")
    place = int(number.rstrip("]")) if bracket and number.rstrip("]").isdigit() else index
    return Problem(variable if bracket else _VARIABLE, place, key, uplink.get(key), allowed)


def _foolsm_problems(uplinks: Records) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for index, uplink in enumerate(uplinks):
        interface, gateway = str(uplink["interface"]), uplink.get("gateway")
        sharing = [other["name"] for other in uplinks if other is not uplink and other["interface"] == interface]
        if sharing:
            allowed = (
                f"an interface of its own: foolsm disables whole interfaces, and {', '.join(sharing)} is on this one "
                "too; take uplink_monitor_program: kvmnet"
            )
            yield _problem(uplink, index, "interface", allowed)
        target = _foolsm_target(uplink)
        if target is None:
            yield _problem(uplink, index, "targets", "an address to ask: foolsm watches nothing else")
        elif seen.setdefault(target, str(uplink["name"])) != uplink["name"]:
            yield _problem(uplink, index, "targets", f"a first target of its own: {seen[target]} has this one")
        if gateway is None and uplink.get("targets"):
            yield _problem(uplink, index, "gateway", "a gateway: foolsm's target is reached by a route through it")


def _foolsm_target(uplink: Mapping[str, Any]) -> str | None:
    """Return what foolsm asks: one address for each process."""
    gateway = uplink.get("gateway")
    return next(iter(uplink.get("targets") or []), None if gateway == "dhcp" else gateway)


def _foolsm_files(uplinks: Records) -> Iterator[dict[str, Any]]:
    for uplink in uplinks:
        target, gateway = _foolsm_target(uplink), uplink.get("gateway")
        text = _FOOLSM.format(name=uplink["name"], target=target, interface=uplink["interface"])
        if target != gateway:
            text = f"# route {uplink['name']} {uplink['interface']} {gateway} {target}\n{text}"
        yield {"path": f"/etc/kvmnet/foolsm/50-kvmnet-{uplink['name']}.conf", "content": text, "mode": "0644"}


def _problems(uplinks: Records, settings: Mapping[str, Any]) -> Iterator[Problem]:
    program = settings.get("program", "kvmnet")
    if program not in PROGRAMS:
        yield Problem("uplink_monitor_program", None, None, program, " or ".join(PROGRAMS))
    for index, uplink in enumerate(uplinks):
        if not _NAME.fullmatch(str(uplink["name"])):
            yield _problem(uplink, index, "name", "a provider's name: a letter, then letters, digits and underscores")
    for index, hook in enumerate(settings.get("hooks") or []):
        if not str(hook).startswith("/"):
            yield Problem("uplink_monitor_hooks", index, None, hook, "a program on the host, by its absolute path")
    if program == "foolsm":
        yield from _foolsm_problems(uplinks)


def monitor_files(
    uplinks: Records | None, settings: Mapping[str, Any], sources: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the files of the monitor that is wanted, and the absence of those of any other.

    Args:
        uplinks: what is watched, as C(monitor_uplinks) returns it; without any, no monitor is wanted.
        settings: program, and what else stands in the configuration.
        sources: the role's files, text by path.

    Raises:
        AnsibleFilterError: with every problem at once.
    """
    problems = list(_problems(uplinks or [], settings))
    if problems:
        raise AnsibleFilterError(report(problems)["msg"])
    program = str(settings.get("program", "kvmnet")) if uplinks else ""
    files = list(_program_files(sources, program))
    if uplinks and program == "kvmnet":
        return [*files, {"path": _CONFIGURATION, "content": _configuration(uplinks, settings), "mode": "0644"}]
    files += [{"path": path, "state": "absent"} for path in (_CONFIGURATION, *_VERDICTS)]
    return files + list(_foolsm_files(uplinks or [] if program else []))


def drill_problems(info: Mapping[str, Any], uplink: str) -> list[str]:
    """Return what speaks against taking an uplink down on purpose, a line each.

    Args:
        info: the result of kvmnet_info with uplinks.
        uplink: the uplink's name.
    """
    by_name = {found["name"]: found for found in info["uplinks"]}
    monitor = info["monitor"]
    if uplink not in by_name:
        return [f"uplink {uplink}: there is no such one; there are {', '.join(by_name) or 'none'}"]
    problems = []
    if monitor["state"] != "running" or monitor.get("program") != "kvmnet":
        found = "foolsm, which has no drill" if monitor.get("program") == "foolsm" else str(monitor["state"])
        problems.append(f"uplink {uplink}: nobody would move its traffic; the monitor is {found}")
        return problems
    state = by_name[uplink]["state"]
    if state != "up":
        said = "a drill is under way" if state == "forced" else f"it is {state} already"
        problems.append(f"uplink {uplink}: {said}: {by_name[uplink]['reason']}")
    others = [name for name, found in by_name.items() if name != uplink]
    if not any(by_name[name]["state"] == "up" for name in others):
        out = ", ".join(f"{name} is {by_name[name]['state']}" for name in others) or "there is no other"
        problems.append(f"uplink {uplink}: it is the last one that works; {out}")
    return problems


class FilterModule:
    """Filters of the role uplink_monitor and the playbook drill.yml."""

    def filters(self) -> dict[str, Any]:
        return {"monitor_uplinks": monitor_uplinks, "monitor_files": monitor_files, "drill_problems": drill_problems}
