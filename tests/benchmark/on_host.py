# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part that runs inside the Debian root: applies one case in both ways and prints the seconds as JSON.

Argument: a JSON file with C(ours), C(theirs) (each C(first) and C(changed)), C(limit), and C(baseline).
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, "/bench/collections")

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _run

CONFIG = Path("/etc/shorewall")
DELIVERED = Path("/usr/share/shorewall/configfiles")

Seconds = dict[str, float | None]


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def clock(seconds: Seconds, name: str) -> Iterator[None]:
    """Note how long something took, and how much of a processor it used."""
    wall, cpu = time.monotonic(), _cpu()
    yield
    seconds[name] = round(time.monotonic() - wall, 3)
    seconds[f"{name} cpu"] = round(_cpu() - cpu, 3)


def fresh() -> None:
    """The host before anything was configured."""
    subprocess.run(["shorewall", "clear"], capture_output=True, check=False)
    for directory in (CONFIG, Path("/var/lib/kvmnet"), Path("/etc/.kvmnet")):
        shutil.rmtree(directory, ignore_errors=True)
    Path("/var/lib/shorewall/firewall").unlink(missing_ok=True)
    CONFIG.mkdir()
    shutil.copy(DELIVERED / "shorewall.conf", CONFIG)


def rules_loaded() -> list[str]:
    """The kernel's rules."""
    return subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout.splitlines()


def ours(zones: dict[str, Any], config: dict[str, Any]) -> Seconds:
    """What shorewall_zone, shorewall_config and network_guard do on the host."""
    seconds: Seconds = {}
    candidate = Candidate(None, None)
    with clock(seconds, "stage"):
        _run.stage_zones(candidate, zones, False)
        staging = _run.stage_config(candidate, config, False, lambda *_: None)
    with clock(seconds, "compile"):
        _run.compile_and_plan(staging)
    with clock(seconds, "commit"):
        if not candidate.empty:
            directory = Path("/etc/.kvmnet/candidate")
            candidate.save(directory)
            _apply.STATE.mkdir(parents=True, exist_ok=True)
            _apply.apply_candidate(directory)
    return seconds


def theirs(files: dict[str, str], limit: float) -> Seconds:
    """What the existing roles do: write what differs in place, then check, then reload."""
    seconds: Seconds = {}
    changed = False
    with clock(seconds, "write"):
        for name, text in files.items():
            path = CONFIG / name
            if not path.is_file() or path.read_text() != text:
                path.write_text(text)
                changed = True
    for name in ("check", "reload") if changed else ():
        with clock(seconds, name):
            try:
                done = subprocess.run(["shorewall", name], capture_output=True, text=True, timeout=limit, check=False)
            except subprocess.TimeoutExpired:
                done = None
        if done is None:
            seconds[name] = None
            break
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
    return seconds


def main() -> None:
    case = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    result: dict[str, Any] = {}
    fresh()
    rounds = {"first": "first", "unchanged": "first", "changed": "changed"}
    rounds = {name: rounds[name] for name in case["rounds"]}
    result["ours"] = {name: ours(case["ours"]["zones"], case["ours"][which]) for name, which in rounds.items()}
    result["rules"] = rules_loaded()
    conf = (CONFIG / "shorewall.conf").read_text(encoding="utf-8")
    result["level"] = next(line.partition("=")[2] for line in conf.splitlines() if line.startswith("OPTIMIZE="))
    if case["baseline"]:
        fresh()
        result["theirs"] = {}
        for name, which in rounds.items():
            result["theirs"][name] = theirs(case["theirs"][which], case["limit"])
            if None in result["theirs"][name].values():
                break
        else:
            result["their rules"] = rules_loaded()
    fresh()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
