# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""What network_guard's last commit came to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OUTCOMES = {"confirmed": "confirmed", "restored": "undone"}


def describe(armed: str | None, about: Mapping[str, Any], report: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return whether a commit is on its way, and how the last one that came to an end did.

    Args:
        armed: the commit that is not confirmed yet, or None.
        about: who began it.
        report: the guard's last word.
        now: the time.
    """
    found: dict[str, Any] = {"state": "idle" if armed is None else "unconfirmed", "commit": armed, "last": None}
    found["by"] = about.get("peer") if armed is not None else None
    if armed is None and report.get("state") in _OUTCOMES:
        ended = report.get("ended")
        found["last"] = {
            "commit": report.get("token"),
            "outcome": _OUTCOMES[str(report["state"])],
            "by": report.get("peer"),
            "ended": None if ended is None else int(ended),
            "seconds": None if ended is None else max(0, int(now - ended)),
            "reason": report.get("error"),
            "found": report.get("found", []),
            "files": report.get("restored", []),
            "left": report.get("left", []),
        }
    return found
