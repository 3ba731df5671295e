# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An uplink is taken down on request: its traffic takes the other one, and everything is put back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

DRILL = str(Path(__file__).parents[3] / "playbooks" / "drill.yml")
INVENTORY = "molecule/multi_isp/inventory"
HOLD = "env PYTHONPATH=/usr/local/lib/kvmnet python3 -Pm kvmnet_uplink_monitor drill cable"


@pytest.fixture(scope="module")
def edge(managed: Callable[[str], Host]) -> Host:
    return managed("edge")


def routing(host: Host) -> tuple[str, str]:
    with host.sudo():
        return host.check_output("ip -4 rule"), host.check_output("ip -4 route show table all")


def states(host: Host) -> dict[str, str]:
    said = json.loads(host.check_output("cat /run/kvmnet/uplinks.json"))
    return {uplink["name"]: uplink["state"] for uplink in said["uplinks"]}


def test_it_shows_where_traffic_goes_and_leaves_no_trace(edge: Host, ansible: Callable[..., str]) -> None:
    before = routing(edge)
    said = ansible(
        "ansible-playbook", INVENTORY, "-e", "uplink=cable", "-e", "drill_confirm=true", "-e", "drill_seconds=3", DRILL
    )
    assert "drill, moved to 198.51.100.1" in said
    assert "uplink cable is forced: drill: held down" in " ".join(said.split())
    assert states(edge) == {"fibre": "up", "cable": "up"}
    assert routing(edge) == before


def test_without_a_yes_nothing_is_done(edge: Host, ansible: Callable[..., str]) -> None:
    with pytest.raises(AssertionError, match="Nothing was done"):
        ansible("ansible-playbook", INVENTORY, "-e", "uplink=cable", DRILL)
    assert states(edge) == {"fibre": "up", "cable": "up"}


def test_what_is_reached_by_the_uplink_is_reached_by_the_other_and_the_last_one_stays(
    edge: Host, station: Any, ansible: Callable[..., str]
) -> None:
    with edge.sudo():
        edge.check_output(f"{HOLD} down --seconds 60")
    try:
        deadline = time.monotonic() + 10
        while states(edge)["cable"] != "forced" and time.monotonic() < deadline:
            time.sleep(0.2)
        seen = {station("desk").fetch(f"http://192.0.2.{last}/").get("client") for last in range(150, 156)}
        assert seen == {"198.51.100.2"}, "destinations of the uplink that is out"
        with pytest.raises(AssertionError, match="uplink fibre: it is the last one that works; cable is forced"):
            ansible("ansible-playbook", INVENTORY, "-e", "uplink=fibre", "-e", "drill_confirm=true", DRILL)
    finally:
        with edge.sudo():
            edge.check_output(f"{HOLD} auto")
