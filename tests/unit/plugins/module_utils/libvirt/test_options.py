# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every option of the table: set, repeated, changed, taken back; live where libvirt can."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _xml
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import inspect
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import ROWS, TABLE

from ._runs import options_of, unchanged

NIC = {"mac": "52:54:00:00:00:3e", "tap": "tap-web"}
# Option -> a value, another one, and when it takes effect on a guest that runs
SAMPLES = {
    "title": ("A title", "Another", ""),
    "description": ("Some\nwords", "More", ""),
    "virt_type": ("qemu", None, "at next boot"),
    "memory_mib": (2048, 512, ""),
    "max_memory_mib": (2048, 4096, "at next boot"),
    "vcpus": (2, 3, ""),
    "max_vcpus": (2, 4, "at next boot"),
    "cpu": ("host-model", "EPYC", "at next boot"),
    "cpu_topology": ({"threads": 1}, None, "at next boot"),
    "kernel": ("/bin/true", "/bin/false", "at next boot"),
    "initrd": ("/bin/true", "/bin/false", "at next boot"),
    "cmdline": ("debug", "quiet debug", "at next boot"),
    "boot_order": (["network", "disk"], ["cdrom"], "at next boot"),
    "disk_path": ("{path}/other.qcow2", None, "at next boot"),
    "disk_gib": (3, 4, ""),
    "disks": (
        [{"target": "vdb", "size_gib": 1}, {"target": "sda", "size_gib": 1, "cache": "none"}],
        [{"target": "vdb", "size_gib": 2}],
        "",
    ),
    "image": ("deb", None, "at next boot"),
    "nics": (
        [{**NIC, "link": "down", "anti_spoofing": True, "address": "192.0.2.1"}],
        [{**NIC, "inbound_mbit": 10, "outbound_mbit": 5}, {"mac": "52:54:00:00:00:02", "tap": "tap-2", "queues": 4}],
        "",
    ),
    "serial": (False, None, "at next boot"),
    "console_log": (False, None, "at next boot"),
    "graphics": ("vnc", "spice", "at next boot"),
    "agent": (False, None, "at next boot"),
    "rng": (False, None, ""),
    "watchdog": ("reset", "poweroff", "at next boot"),
    "xml_patch": (
        [{"xml": "<sound model='ich9'/>"}],
        [{"path": "memoryBacking", "xml": "<nosharepages/>"}],
        "at next boot",
    ),
    "autostart": (False, None, ""),
    "start_order": (5, -1, ""),
    "start_delay": (1, 2, ""),
    "depends": (["db"], None, ""),
    "network": ("kvm", "other", ""),
}


def usb(host, name="web"):
    return host.backend.persistent[name].findall("devices/controller[@type='usb']")


class TestOptions:
    @pytest.mark.parametrize("name", [row.name for row in ROWS if row.spec is not None and row.effect != "recreate"])
    def test_each_option(self, host, guest, name):
        """Set, repeated, changed, and taken back: every row of the table has samples here."""
        first, second, note = SAMPLES[name]
        base = {"image": "deb"} if name.startswith("disk_") else {}
        base |= {"max_memory_mib": 8192} if name == "memory_mib" else {"max_vcpus": 4} if name == "vcpus" else {}
        others = [guest("db")] if name == "depends" else []
        first = first.format(path=host.path) if name == "disk_path" else first
        host.converge(guest("web", **base), *others)
        for value in (first, second, None):
            options = {**base, **({} if value is None else {name: value})}
            before = host.converge(guest("web", **options), *others, apply=False).plan().lines()
            outcome = host.converge(guest("web", **options), *others)
            assert outcome.failures == {}
            assert outcome.plan().lines() == before
            if value is not None:
                assert name in options_of(outcome)
                assert note in [change.note for change in outcome.plan().changes]
            repeated = unchanged(host, guest("web", **options), *others)
            assert [step.pending for step in repeated.steps] == [step.pending for step in outcome.steps]
        # A disk stays where it is, unless another place is named
        left = ["disk_path"] if name == "disk_path" else []
        assert unchanged(host, guest("web", **base), *others).steps[0].pending == left

    def test_a_live_change_is_made_in_both(self, host, guest):
        host.converge(guest("web", max_memory_mib=4096, max_vcpus=4))
        nics = [{**guest("web")["nics"][0], "link": "down"}, {"mac": "52:54:00:00:00:f0", "tap": "tap-more"}]
        disks = [{"target": "vdb", "size_gib": 1}]
        options = {"max_memory_mib": 4096, "max_vcpus": 4, "memory_mib": 2048, "vcpus": 2, "nics": nics, "disks": disks}
        outcome = host.converge(guest("web", **options))
        assert [change.note for change in outcome.plan().changes] == [""]
        assert outcome.steps[0].pending == []
        for root in (host.backend.live["web"], host.backend.persistent["web"]):
            assert root.findtext("currentMemory") == str(2048 * 1024)
            assert root.find("vcpu").get("current") == "2"
            assert len(root.findall("devices/interface")) == 2
            assert root.find("devices/interface[mac]/link").get("state") == "down" or root is host.backend.live["web"]
            assert len(root.findall("devices/disk")) == 1
        assert inspect(f"{host.settings['storage']}/web-vdb.qcow2").size == 1 << 30
        unchanged(host, guest("web", **options))

    def test_what_libvirt_refuses_waits_for_the_next_boot(self, host, guest):
        host.converge(guest("web"))
        host.backend.refuses = {"disks": "No more available PCI slots"}
        entry = guest("web", watchdog="reset", disks=[{"target": "vdb", "size_gib": 1}])
        outcome = host.converge(entry)
        assert outcome.failures == {}
        assert outcome.steps[0].refused == {"disks": "No more available PCI slots"}
        assert outcome.to_result()["pending_restart"] == [{"name": "web", "options": ["disks", "watchdog"]}]
        assert unchanged(host, entry).to_result()["pending_restart"] == outcome.to_result()["pending_restart"]
        assert host.converge({**entry, "restart": "if_needed"}).plan().lines()[0] == "~ guest web: change, by a restart"
        assert unchanged(host, entry).steps[0].pending == []

    def test_a_rate_that_the_kernel_refuses_is_not_asked_for_again(self, host, guest):
        """Refused in two parts, it is still one option that waits."""
        host.converge(guest("web"))
        host.backend.refuses = {"nics": "Error: Specified qdisc kind is unknown."}
        more = {"mac": "52:54:00:00:00:02", "tap": "tap-2"}
        entry = guest("web", nics=[{**NIC, "inbound_mbit": 10}, {**more}])
        host.converge(guest("web", nics=[NIC]))
        assert host.converge(entry).to_result()["pending_restart"] == [{"name": "web", "options": ["nics"]}]
        assert unchanged(host, entry).to_result()["pending_restart"] == [{"name": "web", "options": ["nics"]}]

    @pytest.mark.parametrize(("virt_type", "waits"), [("kvm", []), ("qemu", ["vcpus"])])
    def test_an_emulated_processor_is_not_taken_out_of_a_guest_that_runs(self, host, guest, virt_type, waits):
        entry = guest("web", virt_type=virt_type, max_vcpus=3, vcpus=2)
        host.converge(entry)
        assert host.converge({**entry, "vcpus": 1}).steps[0].pending == waits
        assert unchanged(host, {**entry, "vcpus": 1}).steps[0].pending == waits
        assert host.converge({**entry, "vcpus": 3}).steps[0].pending == []

    def test_another_image_of_a_guest_without_a_disk_of_it(self, host, guest):
        """Its name is all that there is: kernel and initrd are options of their own."""
        host.images["other"] = host.images["tiny"]
        host.converge(guest("web", disk_gib=1))
        outcome = host.converge(guest("web", disk_gib=1, image="other"))
        assert options_of(outcome) == {"image": ("tiny", "other")}
        assert outcome.steps[0].recreate == {}
        unchanged(host, guest("web", disk_gib=1, image="other"))

    def test_a_usb_device_brings_a_controller(self, host, guest):
        """A domain of ours is made without USB, and libvirt refuses every device on it then."""
        device = "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev>"
        entry = guest("web", state="stopped", xml_patch=[{"xml": device}])
        host.converge(entry)
        assert [c.get("model") for c in usb(host)] == ["qemu-xhci"]
        unchanged(host, entry)
        own = {"xml": "<controller type='usb' model='nec-xhci'/>"}
        host.converge(guest("db", state="stopped", xml_patch=[own]))
        assert [c.get("model") for c in usb(host, "db")] == ["nec-xhci"]
        host.converge(guest("plain", state="stopped"))
        assert [c.get("model") for c in usb(host, "plain")] == ["none"]

    def test_a_live_change_that_somebody_made_is_undone(self, host, guest):
        host.converge(guest("web"))
        _xml.ensure(host.backend.live["web"].find("devices/interface"), "link").set("state", "down")
        outcome = host.converge(guest("web"))
        assert host.backend.live["web"].find("devices/interface/link").get("state") == "up"
        assert list(options_of(outcome)) == ["nics"]
        unchanged(host, guest("web"))

    def test_a_card_that_somebody_plugged_is_theirs_and_waits(self, host, guest):
        host.converge(guest("web"))
        interface = _xml.add(host.backend.live["web"].find("devices"), "interface", type="network")
        _xml.add(interface, "mac", address="52:54:00:00:00:aa")
        assert unchanged(host, guest("web")).steps[0].pending == []

    def test_what_a_balloon_does_is_its_own_affair(self, host, guest):
        host.converge(guest("web", memory_mib=512, max_memory_mib=1024))
        host.backend.live["web"].find("currentMemory").text = str(1024 * 1024)
        assert unchanged(host, guest("web", memory_mib=512, max_memory_mib=1024)).steps[0].pending == []

    def test_less_memory_is_asked_for_at_once(self, host, guest):
        host.converge(guest("web"))
        outcome = host.converge(guest("web", memory_mib=512))
        assert outcome.plan().lines() == [
            "~ guest web: change",
            "    memory_mib: 1024 -> 512",
            "~ guest web: change, at next boot",
            "    max_memory_mib: 1024 -> 512",
        ]
        assert host.backend.live["web"].findtext("currentMemory") == str(512 * 1024)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("uuid", "6b766d6e-6574-4572-8361-000000000001"),
            ("machine", "pc"),
            ("secure_boot", True),
            ("firmware", "uefi"),
            ("disk_format", "raw"),
        ],
    )
    def test_what_cannot_change_is_reported(self, host, guest, name, value):
        host.converge(guest("web", image="deb"))
        uefi = {"firmware": "uefi"} if name == "secure_boot" else {}
        outcome = unchanged(host, guest("web", image="deb", **uefi, **{name: value}))
        assert list(outcome.steps[0].recreate) == [*uefi, name]

    def test_a_patch_of_ours_leaves_others_alone(self, host, guest):
        host.converge(guest("web"))
        hand_made = _xml.add(host.backend.persistent["web"].find("devices"), "hostdev", mode="subsystem")
        tpm = {"xml": "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"}
        host.converge(guest("web", state="stopped", on_timeout="destroy", xml_patch=[tpm]))
        found = host.backend.persistent["web"].find("devices/tpm")
        found.set("added", "by libvirt")
        entry = guest(
            "web",
            state="stopped",
            xml_patch=[{"xml": "<tpm model='tpm-crb'><backend type='emulator' version='2.0' /></tpm>"}],
        )
        unchanged(host, entry)
        host.converge(guest("web", state="stopped"))
        devices = host.backend.persistent["web"].find("devices")
        assert devices.find("tpm") is None
        assert [d.attrib for d in devices.findall("hostdev")] == [hand_made.attrib]


def test_every_option_is_proven_on_a_real_hypervisor():
    """The table of the scenario has a row for each option, and for each key of those that are lists."""
    scenario = Path(__file__).parents[5] / "molecule/guests/tests"
    table = yaml.safe_load((scenario / "option_values.yml").read_text(encoding="utf-8"))
    missing = set()
    for option in (row for row in TABLE if row.spec is not None):
        values = [table[option.name].get(which) or [] for which in ("first", "second")] if option.name in table else []
        keys = {key for value in values if isinstance(value, list) for entry in value for key in entry}
        keys |= {key for value in values if isinstance(value, dict) for key in value}
        inner = {name.rpartition(".")[2] for name in table if name.startswith(f"{option.name}.")}
        missing |= {option.name} - set(table)
        missing |= {f"{option.name}.{key}" for key in option.spec.get("options", {}) if key not in keys | inner}
    assert missing == set()
    assert [name for name, row in table.items() if "proven" not in row and row["first"] == row["second"]] == []
