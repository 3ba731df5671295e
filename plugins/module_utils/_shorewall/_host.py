# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What only the host can say."""

from __future__ import annotations

import json
import subprocess

_TRIES = 3


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def neighbour(interface: str, address: str) -> str | None:
    """Return the MAC address that answers for an address on an interface, or None.

    A gateway need not answer a ping: asking for it is enough to make the kernel look for its MAC address.
    """
    for _ in range(_TRIES):
        _run(["ping", "-n", "-c", "1", "-W", "1", "-I", interface, address])
        shown = _run(["ip", "-j", "-4", "neigh", "show", address, "dev", interface])
        for entry in json.loads(shown or "[]"):
            states = set(entry.get("state", ()))
            if entry.get("lladdr") and not states & {"FAILED", "INCOMPLETE"}:
                return str(entry["lladdr"])
    return None
