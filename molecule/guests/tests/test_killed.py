# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed: some of what `make accidents` does before every single write, on the article's host."""

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
        done = subprocess.run(
            ursa.program("every", "--step", "17"), capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        ursa.clean()
