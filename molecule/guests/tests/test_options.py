# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's options on a real hypervisor: set, repeated, changed while it runs, at its next boot, by a restart."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

ARTICLE = "playbooks/inventories/article"
HERE = Path(__file__).parent
TAPS = ("tap-opt", "tap-opt2")
NIC = {"mac": "52:54:00:0a:0b:01", "tap": "tap-opt"}
OPT = {"name": "opt", "image": "tiny", "memory_mib": 128, "max_memory_mib": 160, "max_vcpus": 2, "nics": [NIC]}


@pytest.fixture(scope="module")
def ursa(managed: Callable[[str], Host]) -> Iterator[Host]:
    host = managed("ursa")
    for tap in TAPS:
        host.check_output(f"ip tuntap add {tap} mode tap && ip link set {tap} master br0 up")
    yield host
    for tap in TAPS:
        host.check_output(f"ip link delete {tap}")


@pytest.fixture(scope="module")
def converge(ursa: Host, ansible: Callable[..., str], tmp_path_factory: Any) -> Iterator[Callable[..., dict[str, Any]]]:
    """Converge one guest, once as a prediction, once in earnest, once more for nothing; return what the second did."""
    answer = tmp_path_factory.mktemp("guests") / "answer.json"

    def once(entry: dict[str, Any], *arguments: str) -> dict[str, Any]:
        variables = json.dumps({"wanted": [entry], "answer": str(answer)})
        ansible("ansible-playbook", ARTICLE, str(HERE / "converge_guests.yml"), "-e", variables, *arguments)
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found

    def twice(**options: Any) -> dict[str, Any]:
        entry = {**OPT, **options}
        done = once(entry)["result"]
        again = once(entry)
        assert again["result"]["changes"] == []
        assert again["result"]["pending_restart"] == done["pending_restart"]
        if entry.get("state") != "absent":
            (described,) = [row["options"] for row in again["guests"] if row["name"] == entry["name"]]
            assert once(described)["result"]["changes"] == []
        return done

    yield twice
    once({"name": "opt2", "renamed_from": "opt", "state": "absent", "remove_storage": True})


def pending(result: dict[str, Any]) -> list[str]:
    return [option for row in result["pending_restart"] for option in row["options"]]


def test_made_and_up(converge: Callable[..., dict[str, Any]]) -> None:
    result = converge(wait_for=["lease", {"port": 80}], wait_timeout=180)
    assert result["guests"][0]["address"].startswith("192.168.0.")


def test_changed_while_it_runs(ursa: Host, converge: Callable[..., dict[str, Any]]) -> None:
    process = ursa.check_output("cat /run/libvirt/qemu/opt.pid")
    nics = [{**NIC, "link": "down", "anti_spoofing": True, "address": "192.168.0.77"}]
    nics += [{"mac": "52:54:00:0a:0b:02", "tap": "tap-opt2"}]
    disks = [{"target": "vdb", "size_gib": 1}, {"target": "sdb", "size_gib": 1, "format": "raw"}]
    result = converge(vcpus=2, memory_mib=144, title="A title", nics=nics, disks=disks, rng=False, autostart=False)
    assert pending(result) == []
    live = ursa.check_output("virsh dumpxml opt")
    assert live.count("<interface ") == 2
    assert "<link state='down'/>" in live
    assert "kvmnet-anti-spoofing" in live
    assert "current='2'" in live or ">2</vcpu>" in live
    assert "dev='vdb'" in live
    assert "<rng" not in live
    assert pending(converge(vcpus=2, disks=[{"target": "vdb", "size_gib": 2}])) == []
    live = ursa.check_output("virsh dumpxml opt")
    assert live.count("<interface ") == 1
    assert "dev='sdb'" not in live
    assert ursa.check_output("cat /run/libvirt/qemu/opt.pid") == process
    assert ursa.check_output("qemu-img info -U /var/lib/libvirt/images/kvmnet/opt-vdb.qcow2").count("2 GiB") == 1


def test_changed_at_the_next_boot(ursa: Host, converge: Callable[..., dict[str, Any]]) -> None:
    options = {
        "graphics": "vnc",
        "watchdog": "poweroff",
        "boot_order": ["network", "disk"],
        "cpu_topology": {"cores": 2},
        "xml_patch": [{"xml": "<sound model='ich9'/>"}],
        "disks": [{"target": "sda", "device": "cdrom"}],
    }
    result = converge(**options)
    assert set(options) <= set(pending(result))
    assert "<graphics" not in ursa.check_output("virsh dumpxml opt")
    result = converge(**options, restart="if_needed")
    assert pending(result) == []
    live = ursa.check_output("virsh dumpxml opt")
    assert all(piece in live for piece in ("type='vnc'", "model='i6300esb'", "<sound model='ich9'", "device='cdrom'"))


def test_paused_renamed_and_stopped(ursa: Host, converge: Callable[..., dict[str, Any]]) -> None:
    converge(state="paused")
    assert ursa.check_output("virsh domstate opt") == "paused"
    converge(state="stopped")
    disk = "/var/lib/libvirt/images/kvmnet/opt-vdb.qcow2"
    assert ursa.file(disk).exists
    converge(name="opt2", renamed_from="opt", state="stopped", disks=[{"target": "vdb", "path": disk}])
    assert "opt" not in ursa.check_output("virsh list --all --name").split()
    assert disk in ursa.check_output("virsh dumpxml opt2")


def test_ansible_reaches_the_guests(ansible: Callable[..., str], eventually: Any) -> None:
    """From the inventory alone, through the KVM host."""
    trusting = "ansible_ssh_extra_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'"
    guests = ["-i", str(HERE / "kvmnet_guests.yml"), "-e", trusting]

    def answer() -> bool:
        try:
            said = ansible("ansible", ARTICLE, *guests, "debian32", "-m", "ansible.builtin.ping")
        except (AssertionError, subprocess.TimeoutExpired):
            return False
        return "pong" in said

    assert eventually(answer)
