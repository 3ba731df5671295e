# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever ends a run, the next one finishes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "accidents"))

from changes import CHANGES, POWER_CUTS
from run import Machine

COW = "192.168.30.2"


@pytest.fixture(scope="module")
def barn() -> Iterator[Machine]:
    machine = Machine("barn")
    machine.equip()
    yield machine
    machine.clean()


def test_a_cloud_image_is_set_up_by_its_seed(guest_ssh: Any) -> None:
    """Its agent was waited for: it runs and has its channel."""
    said = guest_ssh(
        "barn", COW, "hostname; cut -d. -f1 /etc/debian_version; sudo -n id -u; df --output=size -BM / | tail -1"
    )
    name, release, root, size = said.split()
    assert (name, release, root) == ("cow", "13", "0")
    # The image has 2 GiB, its disk 4
    assert int(size.rstrip("M")) > 3500


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_that_is_killed_before_any_write(barn: Machine, change: str) -> None:
    every = barn.program("every", "--change", change)
    done = subprocess.run(every, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", POWER_CUTS)
def test_a_machine_that_loses_its_power(barn: Machine, name: str) -> None:
    assert barn.power_cut(name) == []
