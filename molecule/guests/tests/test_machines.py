# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware, security chips, host devices, and what a machine like this one cannot do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

NIC = {"mac": "52:54:00:0a:0d:01", "tap": "tap-chip"}
CHIP = {"name": "chip", "image": "tiny", "memory_mib": 160, "disk_gib": 1, "nics": [NIC], "firmware": "uefi"}
TPM = {"xml": "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"}
NVRAM = "/var/lib/libvirt/qemu/nvram/chip_VARS.fd"
DISK = "/var/lib/libvirt/images/kvmnet/chip.qcow2"
USB = "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>"
PCI = """<hostdev mode='subsystem' type='pci' managed='yes'>
<source><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source></hostdev>"""


@pytest.fixture(scope="module", autouse=True)
def chip(ursa: Host, taps: Callable[..., None], converge: Callable[..., Any]) -> Iterator[None]:
    """Remove the guest with all that is its own."""
    taps("tap-chip")
    yield
    converge({"name": "chip", "state": "absent", "remove_storage": True})
    assert files(ursa) == []


def files(ursa: Host) -> list[str]:
    """Return what there is of the guest beside its definition."""
    found = ursa.check_output("find /var/lib/libvirt /var/log/libvirt/qemu /etc/libvirt -name 'chip*'").split()
    return sorted(path for path in found if not path.endswith("/chip.log"))


def test_firmware(ursa: Host, converge: Callable[..., Any]) -> None:
    """It boots by UEFI, with a security chip; its variables stay as its disks do, and go with them."""
    converge({**CHIP, "xml_patch": [TPM], "wait_for": ["lease"], "wait_timeout": 240})
    described = ursa.check_output("virsh dumpxml chip")
    assert "OVMF_CODE" in described
    assert "<tpm model='tpm-crb'>" in described
    assert "type='pflash'" in described
    assert ursa.file(NVRAM).exists
    converge({"name": "chip", "state": "absent"})
    assert files(ursa) == [DISK, NVRAM]


def test_snapshots(ursa: Host, converge: Callable[..., Any], refused: Callable[..., Any]) -> None:
    """What the guest wrote since one is not left behind on its own; with its storage all of it goes.

    It has what others here have not: firmware that starts signed code only, and a screen by SPICE.
    """
    entry = {**CHIP, "secure_boot": True, "graphics": "spice"}
    converge(entry)
    described = ursa.check_output("virsh dumpxml chip")
    assert re.search(r"<loader [^>]*secure='yes'[^>]*>\S*OVMF_CODE", described)
    assert "<graphics type='spice'" in described
    above = DISK.replace("qcow2", "since")
    ursa.check_output("virsh snapshot-create-as chip since --disk-only")
    assert converge(entry).changes == []
    said = refused({"name": "chip", "state": "absent"})["msg"]
    assert f"chip has written to {above} since, which stands on {DISK}. virsh blockcommit chip {above}" in said
    assert ursa.check_output("virsh domstate chip") == "running"
    assert {DISK, NVRAM, above} <= set(files(ursa))
    converge({"name": "chip", "state": "absent", "remove_storage": True, "stop_timeout": 1, "on_timeout": "destroy"})
    assert files(ursa) == []


def test_what_this_machine_cannot_do(ursa: Host, converge: Callable[..., Any], refused: Callable[..., Any]) -> None:
    """It is said: at once and with the reason, and what runs stays as it is."""
    entry = {**CHIP, "firmware": "bios", "memory_mib": 128}
    converge(entry)
    failure = refused({**entry, "virt_type": "kvm"})
    assert "virt_type kvm needs working hardware virtualisation" in failure["failed_guests"]["chip"]
    for direction in ("inbound", "outbound"):
        done = converge({**entry, "nics": [{**NIC, f"{direction}_mbit": 10}]})
        # A kernel with traffic control has it at once; one without refuses, and is not asked again at each run
        if ursa.run(f"virsh domiftune chip tap-chip | grep -q '{direction}.average: *1250'").rc != 0:
            assert done.pending("chip") == ["nics"]
            assert "nics changes at its next boot; now it could not: " in "".join(done.warnings)
    assert ursa.check_output("virsh domstate chip") == "running"


def test_host_devices(ursa: Host, converge: Callable[..., Any]) -> None:
    """A guest is made without USB, and gets it with the first device on it."""
    patches = [{"xml": USB}, {"xml": PCI}]
    entry = {**CHIP, "firmware": "bios", "memory_mib": 128, "state": "stopped", "on_timeout": "destroy"}
    converge({**entry, "xml_patch": patches})
    assert ursa.check_output("virsh dumpxml chip").count("<hostdev ") == 2
    converge(entry)
    assert "<hostdev " not in ursa.check_output("virsh dumpxml chip")
    # A snapshot inside the disk goes with the guest too
    ursa.check_output("virsh snapshot-create-as chip inside")
