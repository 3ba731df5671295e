# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some of the faults of tests/faults/table.py: the host heals itself, and the task fails with its report."""

from __future__ import annotations

import pytest
from machine import Machine
from run import suffer
from table import FAULTS, Fault

# A mistake of each kind, and an accident in the middle of the change.
CHOSEN = {
    "DROP-all policy": 0.0,
    "wrong bridge port": 0.0,
    "wrong address": 0.0,
    "default route lost": 0.0,
    "Shorewall run-time error": 0.0,
    "links deleted": 0.0,
    "all of ours killed": 0.9,
    "power cut": 1.4,
}


def _chosen() -> list[Fault]:
    return [fault for fault in FAULTS if CHOSEN.get(fault.name) == fault.step]


def test_every_chosen_fault_is_in_the_table() -> None:
    assert {fault.name for fault in _chosen()} == set(CHOSEN)


@pytest.mark.parametrize("fault", _chosen(), ids=lambda fault: fault.name)
def test_the_host_heals_itself(machine: Machine, before: dict[str, list[str]], fault: Fault) -> None:
    result = suffer(machine, fault, before)
    assert result.healed, result.note
    assert result.layers == len(before) == 9
