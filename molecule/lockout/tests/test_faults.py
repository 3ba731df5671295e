# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some of the faults of tests/faults/table.py: the host heals itself, and the task fails with its report."""

from __future__ import annotations

import pytest
from machine import Machine
from run import suffer
from table import FAULTS, Fault

# A mistake of each kind, and accidents in the middle of the change.
CHOSEN = {
    "list emptied": "",
    "wrong bridge port": "",
    "wrong address": "",
    "default route lost": "",
    "Shorewall run-time error": "",
    "links deleted": "",
    "all of ours killed": "links",
    "power cut": "applied",
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
