# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What the uplink monitor measured, as long as it is of now, and how many connections each uplink has."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.ursa.kvmnet.plugins.module_utils._files._units import UnitState

UNITS = {"kvmnet": "kvmnet-uplink-monitor.service", "foolsm": "kvmnet-foolsm.service"}
# It writes each second; what is older was written by one that hangs, or that is gone.
_FRESH = 10.0
# The part of a connection's mark that names its provider.
_PROVIDER = 0xFF
_MARK = re.compile(r"\bmark=(\d+)")
_MEASURED = ("since", "reason", "loss_percent", "rtt_ms", "targets")


def describe(units: Mapping[str, UnitState], text: str, now: float) -> dict[str, Any]:
    """Return the monitor's own state, and what it says when that is of now.

    Args:
        units: the state of each program's unit.
        text: the state file of ours.
        now: the host's time.
    """
    try:
        said = json.loads(text or "{}")
        updated = float(said.get("updated", 0))
    except (ValueError, TypeError, AttributeError):
        said, updated = {}, 0.0
    known = [program for program, unit in units.items() if unit.known]
    program = next((program for program in known if units[program].active), next(iter(known), None))
    if program is None or not units[program].active:
        state = "stopped" if known else "not installed"
    elif program != "kvmnet":
        state, said = "running", {}
    elif abs(now - updated) > _FRESH:
        state = "silent"
    else:
        state = "running"
    uplinks = said.get("uplinks", []) if state == "running" else []
    return {"state": state, "program": program, "updated": int(updated) or None, "uplinks": uplinks}


def marks(providers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the mark of each provider that marks its connections."""
    found = {}
    for row in providers:
        text = str(row.get("mark") or row.get("number"))
        if re.fullmatch(r"0x[0-9a-fA-F]+|[0-9]+", text) and int(text, 0):
            found[str(row["name"])] = int(text, 0)
    return found


def count_connections(lines: Iterable[str]) -> dict[int, int]:
    """Count connections by their provider's mark.

    Args:
        lines: what C(conntrack -L) prints.
    """
    found: dict[int, int] = {}
    for line in lines:
        # The monitor's own probes are pings.
        mark = None if line.startswith("icmp") else _MARK.search(line)
        number = int(mark[1]) & _PROVIDER if mark else 0
        if number:
            found[number] = found.get(number, 0) + 1
    return found


def complete(
    uplinks: Iterable[Mapping[str, Any]],
    marked: Mapping[str, int],
    monitor: Mapping[str, Any],
    connections: Mapping[int, int] | None,
    now: float,
) -> list[dict[str, Any]]:
    """Add to each uplink what the monitor measured and its share of connections; None is what nobody knows.

    Args:
        uplinks: as the kernel has them.
        marked: each provider's mark.
        monitor: the monitor's state.
        connections: how many there are by mark, or None.
        now: the host's time.
    """
    measured = {each["name"]: each for each in monitor["uplinks"]}
    total = sum((connections or {}).get(mark, 0) for mark in set(marked.values()))
    found = []
    for uplink in uplinks:
        said = measured.get(uplink["name"], {})
        own = (
            None if connections is None or uplink["name"] not in marked else connections.get(marked[uplink["name"]], 0)
        )
        since = said.get("since")
        found.append(
            {
                **uplink,
                "state": said.get("state", uplink["state"]),
                # Of one by DHCP whose traffic was moved, the routes do not tell it.
                "gateway": uplink["gateway"] or said.get("gateway"),
                **{key: said.get(key) for key in _MEASURED},
                "seconds": None if since is None else max(0, int(now - since)),
                "connections": own,
                "share_percent": round(100 * own / total, 1) if own is not None and total else None,
            }
        )
    return found
