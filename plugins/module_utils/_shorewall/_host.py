# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What only the host can say."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any


def lost_routing(providers: Iterable[Mapping[str, Any]], version: int = 4) -> str:
    """Return what is missing of the providers' routing in the kernel, or an empty string.

    An address that comes and goes, or a service that tidies foreign rules away, takes it along and leaves the
    firewall started.
    """
    watched = [entry for entry in providers if _has_default_route(entry)]
    if not watched:
        return ""
    routes = json.loads(_run(["ip", "-j", "-N", f"-{version}", "route", "show", "table", "all", "default"]) or "[]")
    rules = json.loads(_run(["ip", "-j", "-N", f"-{version}", "rule", "show"]) or "[]")
    tables = {str(route.get("table", "main")) for route in routes}
    marked = {str(rule.get("table")) for rule in rules if "fwmark" in rule}
    for entry in watched:
        if str(entry["number"]) not in tables:
            return f"the routing table of {entry['name']} has no default route"
        if entry.get("mark") and str(entry["number"]) not in marked:
            return f"the routing rule for the mark of {entry['name']} is missing"
    return ""


def _has_default_route(entry: Mapping[str, Any]) -> bool:
    if str(entry.get("gateway") or "").lower() in ("", "none", "detect"):
        return False
    return not {"optional", "tproxy"} & set(entry.get("options") or ())


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
