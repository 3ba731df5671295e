# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make targets one after the other, take the lab away whatever happened, and sum up.

Usage: python3 tools/gates.py TARGET...
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

JUNIT = Path(".cache/junit")


def make(target: str) -> bool:
    """Run one target, its output going to ours; independent parts of it run even when one failed."""
    argv = ["make", "--no-print-directory", "--keep-going", target]
    with subprocess.Popen(argv, process_group=0) as running:
        try:
            return running.wait() == 0
        except BaseException:
            # Everything that it started ends with it: what is still building the lab must not meet what removes it
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(running.pid, number)
                    running.wait(timeout=30)
            raise


def counted(reports: list[Path]) -> tuple[dict[str, int], list[str]]:
    """Sum the JUnit reports of unit tests and molecule's verifiers; name the tests that failed."""
    total = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    failed: list[str] = []
    for report in reports:
        for suite in ElementTree.parse(report).iter("testsuite"):
            for key in total:
                total[key] += int(suite.get(key, "0"))
            failed += [
                f"{report.stem}: {case.get('classname')}.{case.get('name')}"
                for case in suite.iter("testcase")
                if case.find("failure") is not None or case.find("error") is not None
            ]
    return total, failed


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Turn a signal into an exception, so that the lab goes."""
    raise SystemExit(128 + number)


def main(targets: list[str]) -> int:
    """Run everything, then say what was run, for how long, and what failed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    JUNIT.mkdir(parents=True, exist_ok=True)
    for report in JUNIT.glob("*.xml"):
        report.unlink()
    outcomes: list[tuple[str, bool, float]] = []
    began = time.monotonic()
    try:
        for target in targets:
            start = time.monotonic()
            outcomes.append((target, make(target), time.monotonic() - start))
    finally:
        start = time.monotonic()
        outcomes.append(("down", make("down"), time.monotonic() - start))

    total, failed = counted(sorted(JUNIT.glob("*.xml")))
    passed = total["tests"] - total["failures"] - total["errors"] - total["skipped"]
    print("\n==> Summary")
    for target, good, seconds in outcomes:
        print(f"    {'ok    ' if good else 'FAILED'} {seconds:7.1f} s  {target}")
    for name in failed:
        print(f"    failed test: {name}")
    print(f"    {passed} tests passed, {total['failures'] + total['errors']} failed, {total['skipped']} skipped")
    good = all(good for _target, good, _seconds in outcomes)
    print(f"    {'PASSED' if good else 'FAILED'} in {time.monotonic() - began:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
