# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor on a host with real Shorewall and two or three gateways: nothing here is simulated but the internet.

It needs root and one of the lab's Debian roots, which `make site` and `make molecule` install.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from monitor import BENCHMARK

TRUE = (
    "untouched",
    "moved",
    "still out after reload",
    "still out after restart",
    "still out after start",
    "identical",
    "drill",
    "identical after the drill",
    "last one kept",
    "identical after both",
    "emptied tables are filled",
    "rules are all there",
    "routes after a kill",
)
ROAD = ("joined as Shorewall would have it", "on the road", "reload on the road", "started", "home again", "left")


@pytest.mark.parametrize("mode", ["shared", "addresses", "macvlan", "separate"])
def test_failover(mode: str) -> None:
    sys.path.insert(0, str(BENCHMARK))
    bench = importlib.import_module("bench")
    if os.geteuid() != 0 or not bench.cached_roots():
        pytest.skip("needs root, and a Debian root with Shorewall in the lab's cache")
    argv = [sys.executable, str(Path(__file__).with_name("real_uplinks.py")), str(bench.cached_roots()[0]), mode]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    wrong = [name for name in (*TRUE, *(ROAD if mode == "shared" else ())) if seen[name] is not True]
    assert wrong == [], seen["log"]
    # Other tests run on the same machine: the budgets are the benchmark's
    assert seen["down after"] < 4
    # The hold-down of 2 s begins a probe or two before the answers are counted here
    assert 1.9 <= seen["up after"] < 5
    assert seen["states after a kill"] == ["down"]
    assert seen["drill refused"] == "comcast is the last uplink that works\n" or "last" in seen["drill refused"]
    assert seen["cleared"] == []
    assert seen["files left"] == []
    assert seen["status"][:2] == ["comcast", "up"]
