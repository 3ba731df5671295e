# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a commit behaves when nothing goes wrong, or somebody else is at it."""

from __future__ import annotations

import re
import time

from machine import LAB, Machine, differing, finish
from table import FAULTS, GOOD, LOCAL, MANAGED

REPORT = "/var/lib/kvmnet/guard/report.json"
MINE = {"fault_files": [{"path": "/etc/sysctl.d/60-mine.conf", "content": "# mine\n"}]}
# What the watcher would undo, made by the guard's own program with nobody to watch over it.
_LEAVE_BEHIND = """\
mkdir -p /root/left/files/etc/sysctl.d
printf '%s' '{"run_id": "left", "entries": {"/etc/sysctl.d/61-left.conf": {"state": "present", "mode": 420}},
 "steps": []}' > /root/left/index.json
echo '# left' > /root/left/files/etc/sysctl.d/61-left.conf
PYTHONPATH=/var/lib/kvmnet/guard/guard.pyz python3 - <<'END'
from pathlib import Path
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._transaction import Transaction
left = Path("/root/left")
Transaction().begin(left, "leftover1", "192.0.2.99", 30)
_apply.install_files(left, _apply.load_index(left))
END
rm -r /root/left
"""


def _named(name: str) -> dict[str, object]:
    return dict(next(fault.variables for fault in FAULTS if fault.name == name))


def _begun(machine: Machine) -> str:
    """Return what changes whenever a change is armed."""
    return machine.shell(f"stat -c '%y %i' {REPORT} 2>/dev/null || echo never")


def test_nothing_to_commit_is_one_call_that_arms_nothing(machine: Machine, before: dict[str, list[str]]) -> None:
    begun = _begun(machine)
    outcome = machine.change({}, "-vvv")
    assert (outcome.code, outcome.changed) == (0, 0), outcome.text
    committing = outcome.text.split("TASK [Commit it]")[1].split("PLAY RECAP")[0]
    assert len(re.findall(r"SSH: EXEC ", committing)) == 1, committing
    assert _begun(machine) == begun
    assert differing(before, machine.state()) == {}


def test_check_mode_predicts_and_arms_nothing(machine: Machine, before: dict[str, list[str]]) -> None:
    begun = _begun(machine)
    outcome = machine.change(GOOD, "--check", "--diff")
    assert outcome.code == 0, outcome.text
    assert outcome.changed
    assert "50-kvmnet-br9.netdev" in outcome.text.split("TASK [Commit it]")[1]
    assert _begun(machine) == begun
    assert differing(before, machine.state()) == {}


def test_a_second_controller_is_refused_and_the_first_is_put_back(
    machine: Machine, before: dict[str, list[str]]
) -> None:
    slow = {**GOOD, "fault_commands": [{"argv": ["sleep", "12"]}], "fault_timeout": 20}
    started = time.monotonic()
    first = machine.start_change(slow)
    while not machine.armed and first.poll() is None:
        time.sleep(0.1)
    second = machine.change(MINE)
    outcome = finish(first, started)
    assert (second.failed, second.unreachable) == (1, 0), second.text
    said = " ".join(second.text.split())
    assert "another change is on its way on this host, begun at" in said, second.text
    assert "by 192.0.2.100" in said, second.text
    assert outcome.code == 0, outcome.text
    assert {"files", "links", "addresses", "firewall"} <= set(differing(before, machine.state()))

    undone = machine.change({"fault_rollback": True, "fault_timeout": 20})
    assert undone.code == 0, undone.text
    assert undone.changed == 1
    assert differing(before, machine.state()) == {}


def test_what_nobody_watches_over_is_undone_by_the_next_run(machine: Machine, before: dict[str, list[str]]) -> None:
    machine.shell(_LEAVE_BEHIND)
    assert machine.armed
    assert "files" in differing(before, machine.state())
    outcome = machine.change(MINE)
    assert (outcome.failed, outcome.unreachable) == (1, 0), outcome.text
    said = " ".join(outcome.text.split())
    assert "commit leftover1 by 192.0.2.99 was never confirmed" in said, outcome.text
    assert "everything is as it was before" in said, outcome.text
    assert not machine.armed
    assert differing(before, machine.state()) == {}


def test_a_change_that_plainly_shuts_its_controller_out_is_refused(
    machine: Machine, before: dict[str, list[str]]
) -> None:
    begun = _begun(machine)
    # Check mode refuses what a run would.
    for name, words, arguments in (
        ("missing SSH rule", r"'[^']*-j DROP[^']*' would DROP it|'[^']+' would DROP it", ["--check"]),
        ("wrong address", r"50-kvmnet-eth0\.network.*192\.0\.2\.20.* goes away", []),
    ):
        outcome = machine.change({**_named(name), "fault_precheck": True}, *arguments)
        assert (outcome.failed, outcome.unreachable) == (1, 0), outcome.text
        assert re.search(words, " ".join(outcome.text.split())), outcome.text
    assert _begun(machine) == begun
    assert differing(before, machine.state()) == {}


def test_the_address_that_it_is_managed_at_moves_and_comes_back(machine: Machine, before: dict[str, list[str]]) -> None:
    # It is known by the key of its old address.
    known = {"ansible_ssh_common_args": f"-F {LAB}/ssh_config -o HostKeyAlias=192.0.2.20"}
    moved = {
        "fault_roles": ["host_bridge"],
        "kvmnet_uplinks": [{**MANAGED, "address": "192.0.2.77/24"}],
        "fault_connect": "192.0.2.77",
        "fault_go_on": True,
        "fault_precheck": True,
        "fault_timeout": 20,
        **known,
    }
    outcome = machine.change(moved, "-vvv")
    assert outcome.code == 0, outcome.text
    assert "<192.0.2.77> SSH: EXEC" in outcome.text.split("TASK [See that it is there]")[1]
    assert not machine.armed
    back = {
        "ansible_host": "192.0.2.77",
        **known,
        "fault_rollback": True,
        "fault_connect": "192.0.2.20",
        "fault_timeout": 20,
    }
    outcome = machine.change(back)
    assert outcome.code == 0, outcome.text
    assert differing(before, machine.state()) == {}


def test_the_card_that_it_is_managed_by_becomes_a_port_of_a_bridge(
    machine: Machine, before: dict[str, list[str]]
) -> None:
    """Over the connection that is being moved; with the card's MAC address, or its neighbours would lose it."""
    card = machine.shell("cat /sys/class/net/eth0/address")
    moved = {
        "fault_roles": ["host_bridge", "shorewall"],
        "kvmnet_uplinks": [{**MANAGED, "interface": "br1"}],
        "kvmnet_networks": [LOCAL, {"name": "wire", "bridge": "br1", "ports": ["eth0"], "zone": "net"}],
        "fault_precheck": True,
        "fault_timeout": 20,
    }
    outcome = machine.change(moved)
    assert outcome.code == 0, outcome.text
    assert machine.shell("cat /sys/class/net/br1/address") == card
    assert "192.0.2.20/24" in machine.shell("ip -4 address show dev br1")
    again = machine.change(moved)
    assert (again.code, again.changed) == (0, 0), again.text
    undone = machine.change({"fault_rollback": True, "fault_timeout": 20})
    assert undone.code == 0, undone.text
    assert differing(before, machine.state()) == {}
