# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several hosts change at once, or one after the other, and one of them locks itself out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from machine import Machine, Outcome, differing
from run import INVENTORY

MINE = "/etc/sysctl.d/60-several.conf"
HERE: list[dict[str, Any]] = [{"path": MINE, "content": "# mine\n"}]
GONE: list[dict[str, Any]] = [{"path": MINE, "state": "absent"}]
LOCKED = [{"argv": ["sh", "-c", "iptables -P INPUT DROP; iptables -F INPUT"]}]
# A busy controller needs some seconds for each connection.
BOTH: dict[str, Any] = {"fault_host": "gate:old", "fault_timeout": 15}
SLOWLY = {"ANSIBLE_PIPELINING": "0", "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=no -o ControlPath=none"}
BRIEFLY = {"ANSIBLE_PIPELINING": "0", "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=0"}


def _on_old(then: object, otherwise: object) -> str:
    """Return what the hosts are given where they are not given the same."""
    return f"{{{{ {then!r} if inventory_hostname == 'old' else {otherwise!r} }}}}"


def _ends(outcome: Outcome) -> dict[str, str]:
    counted = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", outcome.text, re.M)
    return {name: f"changed {changed} unreachable {away} failed {failed}" for name, changed, away, failed in counted}


def test_only_the_one_that_locks_itself_out_fails(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, and then one by one; without pipelining, and without connections that outlive a task."""
    old = Machine(INVENTORY, "old")
    before = {host.name: host.state() for host in (machine, old)}
    for name, value in SLOWLY.items():
        monkeypatch.setenv(name, value)
    outcome = machine.change({**BOTH, "fault_files": HERE, "fault_commands": _on_old(LOCKED, [])})
    assert _ends(outcome) == {
        "gate": "changed 1 unreachable 0 failed 0",
        "old": "changed 0 unreachable 0 failed 1",
    }, outcome.text
    assert "The commit was undone by the host: no new connection confirmed" in outcome.text
    assert set(differing(before["gate"], machine.state())) == {"files"}
    assert differing(before["old"], old.state()) == {}

    for name, value in BRIEFLY.items():
        monkeypatch.setenv(name, value)
    outcome = machine.change({**BOTH, "fault_serial": "1", "fault_files": _on_old(HERE, GONE)})
    assert _ends(outcome) == dict.fromkeys(("gate", "old"), "changed 1 unreachable 0 failed 0"), outcome.text
    assert outcome.text.count("TASK [Commit it]") == 2
    assert differing(before["gate"], machine.state()) == {}
    assert set(differing(before["old"], old.state())) == {"files"}
    old.shell(f"rm {MINE}")
