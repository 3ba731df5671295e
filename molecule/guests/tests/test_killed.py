# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed: a part of the scenario "accidents", which does so before every single write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "accidents"))

from run import Machine


def test_the_next_run_finishes_what_a_killed_one_began() -> None:
    ursa = Machine("ursa")
    ursa.equip()
    try:
        some = ursa.program("every", "--change", "changed", "--change", "renamed", "--cut", "no", "--step", "11")
        done = subprocess.run(some, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        ursa.clean()
