# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's package, made importable: it is a program of a host's, not part of the collection's namespace."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
FILES = ROOT / "roles/uplink_monitor/files"
BENCHMARK = ROOT / "tests/benchmark"


def part(name: str) -> Any:
    """Return one of its modules."""
    if str(FILES) not in sys.path:
        sys.path.insert(0, str(FILES))
    return importlib.import_module(f"kvmnet_uplink_monitor.{name}")
