# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several hosts change at once, or one after the other, and one of them locks itself out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from machine import Machine, differing
from run import INVENTORY

MINE = "/etc/sysctl.d/60-several.conf"
LOCKED = '[{"argv": ["sh", "-c", "iptables -P INPUT DROP; iptables -F INPUT"]}]'
CHANGE: dict[str, Any] = {
    "fault_host": "gate:old",
    # A busy controller needs some seconds for a connection
    "fault_timeout": 12,
    "fault_files": [{"path": MINE, "content": "# mine\n"}],
    "fault_commands": "{{ " + LOCKED + " if inventory_hostname == 'old' else [] }}",
}
SLOWLY = {"ANSIBLE_PIPELINING": "0", "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=no -o ControlPath=none"}
BRIEFLY = {"ANSIBLE_PIPELINING": "0", "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=0"}


@pytest.mark.parametrize(
    ("serial", "connection"),
    [("100%", SLOWLY), ("1", BRIEFLY)],
    ids=["at once, without pipelining and masters", "one by one, without pipelining, masters end at once"],
)
def test_the_others_are_confirmed_and_only_it_fails(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, serial: str, connection: dict[str, str]
) -> None:
    old = Machine(INVENTORY, "old")
    before = {host.name: host.state() for host in (machine, old)}
    for name, value in connection.items():
        monkeypatch.setenv(name, value)
    outcome = machine.change({**CHANGE, "fault_serial": serial})
    counted = dict(re.findall(r"^(\w+) +: ok=\d+ +changed=\d+ +(unreachable=\d+ +failed=\d+)", outcome.text, re.M))
    assert {name: "".join(count.split()) for name, count in counted.items()} == {
        "gate": "unreachable=0failed=0",
        "old": "unreachable=0failed=1",
    }, outcome.text
    assert "The commit was undone by the host: no new connection confirmed" in outcome.text
    assert set(differing(before["gate"], machine.state())) == {"files"}
    assert differing(before["old"], old.state()) == {}
    undone = machine.change({"fault_rollback": True, "fault_timeout": 20})
    assert undone.code == 0, undone.text
    assert differing(before["gate"], machine.state()) == {}
