# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests start in their order: when they are made, and when their host boots after a power cut."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

ROOT = Path(__file__).parents[3]
UNIT = "kvmnet-guests.service"
ORDERED = ("early", "base", "top", "late")
TWINS = ("twin1", "twin2", "twin3")
STARTS = "/run/kvmnet-test-starts"
# libvirt asks it before it starts a guest, and waits for the answer
HOOK = f"""#!/bin/sh
[ "$2" = prepare ] || exit 0
began=$(date +%s.%N)
sleep 3
echo "$1 $began $(date +%s.%N)" >>{STARTS}
"""


def guest(name: str, **options: Any) -> dict[str, Any]:
    """Return a guest without a card: a tap of the tests' own would not come back after a power cut."""
    return {"name": name, "image": "tiny", "memory_mib": 128, "stop_timeout": 60, **options}


GUESTS = [
    guest("late", start_order=5),
    guest("top", depends=["base"]),
    guest("base"),
    guest("early", start_order=-1, start_delay=2),
]


def started(ursa: Host) -> dict[str, float]:
    """Return when libvirt started each."""
    said = ursa.check_output("stat -c '%n %.Y' /run/libvirt/qemu/*.pid").splitlines()
    times = {Path(name).stem: float(time) for name, time in (line.split() for line in said)}
    return {name: times[name] for name in ORDERED}


def in_order(times: dict[str, float]) -> bool:
    return times["early"] + 2 <= times["base"] < times["top"] < times["late"]


@pytest.fixture(scope="module", autouse=True)
def removed_at_the_end(converge: Callable[..., Any], ursa: Host) -> Any:
    """Remove them; what keeps an order goes with the last guest that has one."""
    yield
    gone = {"state": "absent", "on_timeout": "destroy", "stop_timeout": 20}
    done = converge(*({"name": name, **gone} for name in (*ORDERED, *TWINS)))
    assert [change["action"] for change in done.changes if change["kind"] == "unit"] == ["delete"]
    assert ursa.run(f"systemctl cat {UNIT}").rc != 0
    assert not ursa.file("/etc/tmpfiles.d/kvmnet-guests.conf").exists


@pytest.fixture
def slow_starts(ursa: Host) -> Iterator[Callable[[], dict[str, tuple[float, float]]]]:
    """Let each start take three seconds, and return when it began and when it was let on."""
    hook = "/etc/libvirt/hooks/qemu"
    # libvirt looks for it when it starts
    ursa.check_output(f"echo '{HOOK}' >{hook} && chmod 755 {hook} && systemctl restart libvirtd")

    def times() -> dict[str, tuple[float, float]]:
        lines = (line.split() for line in ursa.check_output(f"cat {STARTS}").splitlines())
        return {name: (float(began), float(ended)) for name, began, ended in lines}

    yield times
    ursa.check_output(f"rm {hook} {STARTS} && systemctl restart libvirtd")


def test_so_many_at_once_and_no_more(converge: Callable[..., Any], slow_starts: Any) -> None:
    converge(*(guest(name, autostart=False) for name in TWINS), parallel=2)
    times = slow_starts()
    assert sorted(times) == sorted(TWINS)
    at_once = [sum(began <= start < ended for began, ended in times.values()) for start, _end in times.values()]
    assert max(at_once) == 2


def test_order(ursa: Host, converge: Callable[..., Any]) -> None:
    done = converge(*GUESTS)
    assert {change["kind"] for change in done.changes if change["name"] == UNIT} == {"unit"}
    assert in_order(started(ursa))
    assert ursa.check_output(f"systemctl is-enabled {UNIT}") == "enabled"
    assert all(done.guests[name]["autostart"] for name in ORDERED)


def test_after_a_power_cut(ursa: Host, converge: Callable[..., Any], eventually: Any) -> None:
    """libvirt's own autostart stands back, and still says the truth about every guest."""
    before = started(ursa)
    lab = ["ansible-playbook", str(ROOT / "playbooks/lab_power.yml"), "-e", "lab_power=power_cycled"]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
    }
    hosts = ["-e", json.dumps({"lab_power_hosts": ["ursa"]})]
    subprocess.run([*lab, *hosts], check=True, timeout=600, capture_output=True, env=environment)
    assert eventually(lambda: set(ORDERED) <= set(ursa.check_output("virsh list --name").split()))
    after = started(ursa)
    assert in_order(after)
    assert min(after.values()) > max(before.values())
    said = ursa.check_output(f"journalctl --boot --unit {UNIT} --output cat")
    assert [name for name in said.split() if name in ORDERED] == list(ORDERED)
    # Guests without an order are started along with those that have one
    assert {"web", *ORDERED} <= set(ursa.check_output("virsh list --all --name --autostart").split())
    assert "web is started" in said
    assert converge(*GUESTS).changes == []


def test_a_dependency_that_fails(ursa: Host, converge: Callable[..., Any], refused: Callable[..., Any]) -> None:
    """What depends on it is not started, and all else is."""
    converge(*({**entry, "state": "stopped", "autostart": True} for entry in GUESTS))
    broken = [{"mac": "52:54:00:0a:0f:01", "tap": "tap-nowhere"}]
    failure = refused(*({**entry, "nics": broken} if entry["name"] == "base" else entry for entry in GUESTS))
    assert failure["failed_guests"] == {
        "base": "its tap tap-nowhere is missing on the host, and no guest makes its own",
        "top": "it was not started: it depends on base",
    }
    running = set(ursa.check_output("virsh list --name").split())
    assert {"early", "late"} <= running
    assert not {"base", "top"} & running
    wrong = refused({**GUESTS[1], "depends": ["nobody"], "source": "kvmnet_guests[7]"})
    assert "kvmnet_guests[7].depends: 'nobody' is wrong" in wrong["msg"]
