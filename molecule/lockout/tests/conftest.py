# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The harness of tests/faults, and the host as it was before any of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "faults"))

from machine import Machine
from run import INVENTORY


@pytest.fixture(scope="session")
def machine() -> Machine:
    """Give the host that mistakes are made on."""
    return Machine(INVENTORY)


@pytest.fixture(scope="session")
def before(machine: Machine) -> dict[str, list[str]]:
    """Give its state before the first mistake, which every mistake has to leave behind."""
    return machine.state()
