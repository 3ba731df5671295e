# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may ask of a commit, what is refused, and what becomes of the user's own files and commands."""

from __future__ import annotations

import re
import time
from typing import Any

from machine import Machine, Outcome, differing, finish, kill_controller
from table import LOCAL, MORE

BEGUN = "stat -c '%y %i' /var/lib/kvmnet/guard/report.json 2>/dev/null || echo never"
_SETTING = "net.ipv4.tcp_mtu_probing"
_NOTES = "/root/notes"
# A file of the user's that changes, one that is new, and commands that change what no layer of the guard holds.
OWN: dict[str, Any] = {
    "fault_files": [
        {"path": "/etc/mine.conf", "content": "new\n", "mode": "0640"},
        {"path": "/etc/mine.d/more.conf", "content": "more\n", "mode": "0600"},
    ],
    "fault_commands": [
        {
            "argv": ["sysctl", "-q", "-w", f"{_SETTING}=1"],
            "undo": ["sysctl", "-q", "-w", f"{_SETTING}=0"],
        },
        {
            "argv": ["sh", "-c", f"echo did $(cat /etc/mine.conf) >> {_NOTES}"],
            "undo": ["sh", "-c", f"echo undid $(cat /etc/mine.conf) >> {_NOTES}"],
        },
    ],
    "fault_timeout": 20,
}
_PREPARE = (
    f"rm -rf /etc/mine.d {_NOTES}; echo old > /etc/mine.conf; chmod 600 /etc/mine.conf\n"
    f"chown daemon:adm /etc/mine.conf; sysctl -q -w {_SETTING}=0"
)
_LOOK = (
    "stat -c '%a %U:%G %n' /etc/mine* /etc/mine.d/*; cat /etc/mine.conf /etc/mine.d/*\n"
    f"sysctl -n {_SETTING}; cat {_NOTES}"
)
_OLD = ["600 daemon:adm /etc/mine.conf", "old", "0"]
_NEW = [
    *("640 daemon:adm /etc/mine.conf", "755 root:root /etc/mine.d", "600 root:root /etc/mine.d/more.conf"),
    *("new", "more", "1"),
]


def _looks(machine: Machine) -> tuple[list[str], list[str]]:
    """Return how the user's own things stand, and what the commands have noted."""
    lines = machine.shell(f"exec 2>/dev/null; {_LOOK} || true").splitlines()
    noted = [line for line in lines if line.startswith(("did", "undid"))]
    return [line for line in lines if line not in noted], noted


def _said(outcome: Outcome) -> str:
    return " ".join(outcome.text.split("TASK [Commit it]")[1].split("PLAY RECAP")[0].split())


def _changes(outcome: Outcome) -> list[str]:
    """Return what the task says that it changes, line by line."""
    told = outcome.text.split("TASK [Commit it]")[1].split("PLAY RECAP")[0]
    lines = re.split(r"\n    (?=\S)", told[told.index("    changes:") :])
    return lines[0].splitlines()


def test_own_files_and_commands_are_done_as_predicted_put_back_and_done_again(
    machine: Machine, before: dict[str, list[str]]
) -> None:
    machine.shell(_PREPARE)
    change = {**OWN, "fault_roles": ["host_bridge"], "kvmnet_networks": [LOCAL, MORE]}
    predicted = machine.change(change, "--check", "-v")
    assert predicted.code == 0, predicted.text
    assert _looks(machine) == (_OLD, [])
    made = machine.change(change, "-v")
    assert made.code == 0, made.text
    assert _changes(predicted) == _changes(made)
    assert _looks(machine) == (_NEW, ["did new"])

    # Somebody changes a file by hand: it is not overwritten.
    machine.shell("echo by hand >> /etc/mine.conf")
    back = {"fault_rollback": True, "fault_timeout": 20}
    refused = machine.change(back)
    assert (refused.failed, refused.unreachable) == (1, 0), refused.text
    assert "rollback./etc/mine.conf: 'changed since the last commit' is wrong" in _said(refused)
    machine.shell("echo new > /etc/mine.conf")

    undone = machine.change(back)
    assert (undone.code, undone.changed) == (0, 1), undone.text
    assert _looks(machine) == (_OLD, ["did new", "undid old"])
    assert differing(before, machine.state()) == {}
    redone = machine.change(back)
    assert (redone.code, redone.changed) == (0, 1), redone.text
    assert _looks(machine) == (_NEW, ["did new", "undid old", "did new"])
    undone = machine.change(back)
    assert undone.code == 0, undone.text
    assert _looks(machine)[0] == _OLD
    assert differing(before, machine.state()) == {}


def test_own_files_and_commands_are_undone_with_a_change_that_fails(
    machine: Machine, before: dict[str, list[str]]
) -> None:
    machine.shell(_PREPARE)
    failing = {"argv": ["sh", "-c", "iptables -P INPUT DROP; iptables -F INPUT; exit 7"]}
    never = {"argv": ["true"], "undo": ["sh", "-c", f"echo undid what was never done >> {_NOTES}"]}
    outcome = machine.change({**OWN, "fault_commands": [*OWN["fault_commands"], failing, never]})
    assert (outcome.failed, outcome.unreachable) == (1, 0), outcome.text
    said = _said(outcome)
    assert "The commit was undone by the host: command sh -c" in said, outcome.text
    assert "returned 7" in said
    assert "Everything is as it was before (2 files" in said
    assert "- iptables: the table filter was another one" in said
    assert "- the file /etc/mine.conf" in said
    assert _looks(machine) == (_OLD, ["did new", "undid old"])
    assert differing(before, machine.state()) == {}


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_armed(machine: Machine, before: dict[str, list[str]]) -> None:
    begun = machine.shell(BEGUN)
    paths = ["relative", "/etc/../mine", "/etc/systemd", "/etc/os-release", "/etc/hostname/mine", "/dev/null"]
    paths += ["/proc/sys/net/ipv4/ip_forward", "/etc/.kvmnet/mine"]
    wrong = {
        "fault_files": [
            *({"path": path, "content": "mine"} for path in paths),
            {"path": "/etc/mine.conf", "mode": "rw-"},
        ],
        "fault_commands": [{"argv": ["no-such-program"]}, {"argv": ["ip"], "undo": ["./mine"]}],
        "fault_timeout": 4,
    }
    outcome = machine.change(wrong)
    assert (outcome.failed, outcome.unreachable) == (1, 0), outcome.text
    said = _said(outcome)
    assert "13 problems, nothing was changed" in said, outcome.text
    for index, path in enumerate(paths):
        assert f"- files[{index}].path: '{path}' is wrong; allowed: " in said
    for place in ("timeout: '4'", "files[8].content", "files[8].mode", "commands[0].argv", "commands[1].undo"):
        assert f"- {place}" in said
    assert machine.shell(BEGUN) == begun
    assert differing(before, machine.state()) == {}


def test_a_host_that_could_not_undo_the_change_is_left_alone(machine: Machine, before: dict[str, list[str]]) -> None:
    begun = machine.shell(BEGUN)
    unit = "/etc/systemd/system/kvmnet-guard-boot.service"
    machine.shell(
        f"mv {unit} /root/unit && ln -s /dev/null {unit} && mv /run/systemd/system /run/systemd/away\n"
        "mkdir -p /root/hidden && mv /usr/sbin/iptables-restore /root/hidden/\n"
        "mount -t tmpfs -o size=1m none /var/lib/kvmnet"
    )
    try:
        outcome = machine.change({"fault_files": OWN["fault_files"]}, "--check")
    finally:
        machine.shell(
            "umount /var/lib/kvmnet; mv /root/hidden/iptables-restore /usr/sbin/; rmdir /root/hidden\n"
            f"mv /run/systemd/away /run/systemd/system; mv /root/unit {unit}"
        )
    assert (outcome.failed, outcome.unreachable) == (1, 0), outcome.text
    said = _said(outcome)
    assert "5 problems, nothing was changed" in said, outcome.text
    assert "- host.systemd: is missing; allowed: a host that was booted by systemd" in said
    assert "- host.iptables-restore: is missing; allowed: this program beside iptables-save" in said
    assert "- host.kvmnet-guard-boot.service: 'masked' is wrong" in said
    assert "a power cut would take the undo from /var/lib/kvmnet, which is in memory (tmpfs)" in said
    assert "MiB free there, to save what there is and to put it back: there are 1.0 MiB" in said
    assert machine.shell(BEGUN) == begun
    assert differing(before, machine.state()) == {}


def test_who_comes_next_hears_once_of_a_change_that_was_undone_unseen(
    machine: Machine, before: dict[str, list[str]]
) -> None:
    machine.shell(_PREPARE)
    started = time.monotonic()
    slow = [{"argv": ["sleep", "4"]}]
    running = machine.start_change({**OWN, "fault_commands": slow, "fault_timeout": 5})
    while not machine.armed and running.poll() is None:
        time.sleep(0.05)
    kill_controller(machine.controller)
    finish(running, started)
    end = time.monotonic() + 60
    while machine.armed and time.monotonic() < end:
        time.sleep(0.2)
    first, second = machine.change({}), machine.change({})
    assert (first.code, first.changed) == (0, 0), first.text
    said = " ".join(first.text.split())
    assert "the last commit, by 192.0.2.100, was undone at" in said, first.text
    assert "no new connection confirmed the change within 5 s (everything is as it was before it)" in said, first.text
    assert (second.code, "was undone" in second.text) == (0, False), second.text
    assert _looks(machine) == (_OLD, [])
    machine.shell("rm /etc/mine.conf")
    assert differing(before, machine.state()) == {}
