# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Power cuts of single machines, for tests and for curiosity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._lab import Lab
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._system import LabFailedError
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan


class Power:
    """The switch of some machines of a lab that stands."""

    def __init__(self, lab: Lab, hosts: Sequence[str], timeout: float) -> None:
        known = lab.state["machines"]
        unknown = [h for h in hosts if not known.get(h, {}).get("fingerprint")]
        if unknown or not hosts:
            wrong = ", ".join(unknown) or "no host"
            allowed = ", ".join(sorted(known)) or "none, the lab is down"
            raise LabFailedError(f"hosts: {wrong} is wrong; allowed: {allowed}")
        self.lab = lab
        self.hosts = list(hosts)
        self.timeout = timeout

    def run(self, state: str, check_mode: bool) -> dict[str, Any]:
        """Switch; a machine that is as wanted is left alone, except by a cycle."""
        on = [h for h in self.hosts if self.lab.running(h)]
        off = [h for h in self.hosts if h not in on]
        cut = on if state in ("powered_off", "power_cycled") else []
        boot = {"powered_on": off, "power_cycled": self.hosts}.get(state, [])
        plan = Plan(Change("change", "machine", h, note=state.replace("_", " ")) for h in dict.fromkeys([*cut, *boot]))
        boots: dict[str, str] = {}
        if not check_mode:
            with self.lab.claim(self.timeout, check_mode):
                for host in cut:
                    self.lab.power_off(host)
                for host in boot:
                    self.lab.power_on(host)
            boots = self.lab.wait(boot, self.timeout)
        return {**plan.to_result(), "boots": boots}
