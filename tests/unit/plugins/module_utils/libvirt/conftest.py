# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor and a qemu-img without either: they obey the same rules, and can refuse every write."""

from __future__ import annotations

import copy
import struct
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen
from xml.etree.ElementTree import Element

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _mark, _xml
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import BackendError, Domain, LibvirtBackend
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._converge import Converger
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import Files, inspect
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._guest import Settings
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import Library
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._wait import Probe


def write_qcow2(path, size, backing=None, kind="qcow2"):
    """Write what qemu-img writes first: a version 3 header, the backing format and name."""
    name = (backing or "").encode()
    extension = struct.pack(">II", 0xE2792ACA, len(kind)) + kind.encode().ljust(8, b"\0") if backing else b""
    extension += struct.pack(">II", 0, 0)
    at = 104 + len(extension) if backing else 0
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, at, len(name), 16, size)
    head = head.ljust(100, b"\0") + struct.pack(">I", 104)
    Path(path).write_bytes(head + extension + name)


def qemu_img(command):
    """Stand in for qemu-img create and resize."""
    verb, rest = command[1], command[2:]
    if verb == "convert":
        write_qcow2(rest[-1], 1 << 30)
    elif verb == "create":
        backing = rest[rest.index("-b") + 1] if "-b" in rest else None
        kind = rest[rest.index("-F") + 1] if "-F" in rest else "qcow2"
        size = int(rest[-1]) if rest[-1].isdigit() else inspect(backing).size
        write_qcow2(rest[-2] if rest[-1].isdigit() else rest[-1], size, backing, kind)
    else:
        old = inspect(rest[-2])
        write_qcow2(old.path, int(rest[-1]), old.backing, old.backing_kind or "qcow2")


class FakeBackend:
    """Domains in memory. What is defined is rewritten as libvirt does: aliases resolved, devices added."""

    def __init__(self, on_start=lambda name, macs: None):
        self.persistent: dict[str, Element] = {}
        self.live: dict[str, Element] = {}
        self.autostart: set[str] = set()
        self.read_only = False
        self.log: list[tuple[str, str]] = []
        self.paused: set[str] = set()
        self.agents: set[str] = set()
        self.ignores_shutdown: set[str] = set()
        self.fails_to_start: set[str] = set()
        self.fails_to_define: set[str] = set()
        self.refuses: dict[str, str] = {}
        self.on_start = on_start

    def _write(self, what, name):
        if self.read_only:
            raise RuntimeError(f"{what} {name}: a run that changes nothing must not write")
        self.log.append((what, name))

    def domains(self):
        return [
            Domain(
                name, copy.deepcopy(root), copy.deepcopy(self.live.get(name)), self.power(name), name in self.autostart
            )
            for name, root in self.persistent.items()
        ]

    def power(self, name):
        if name in self.live:
            return "paused" if name in self.paused else "running"
        return "stopped"

    def define(self, xml):
        root = _xml.parse(xml)
        name = root.findtext("name")
        self._write("define", name)
        uuid = root.findtext("uuid")
        assert all(o.findtext("uuid") != uuid or n == name for n, o in self.persistent.items() if uuid)
        if name in self.fails_to_define:
            raise BackendError("no space left on device")
        kind = root.find("os/type")
        kind.set("machine", {"q35": "pc-q35-7.2"}.get(kind.get("machine"), kind.get("machine") or "pc-i440fx-7.2"))
        kind.set("arch", "x86_64")
        devices = root.find("devices")
        if devices.find("emulator") is None:
            _xml.add(devices, "emulator", "/usr/bin/qemu-system-x86_64")
            _xml.add(devices, "memballoon", model="virtio")
        for interface in devices.findall("interface"):
            if interface.find("address") is None:
                _xml.add(interface, "address", type="pci", slot="0x01")
        self.persistent[name] = root

    def rename(self, name, new):
        self._write("rename", name)
        assert name not in self.live
        self.persistent[new] = self.persistent.pop(name)
        self.persistent[new].find("name").text = new
        if name in self.autostart:
            self.autostart = {*self.autostart, new} - {name}

    def undefine(self, name, keep_nvram):
        self._write("undefine", name)
        if name in self.live:
            raise BackendError("it runs")
        del self.persistent[name]
        self.autostart.discard(name)

    def start(self, name):
        self._write("start", name)
        if name in self.paused:
            self.paused.discard(name)
            return
        if name in self.fails_to_start:
            raise BackendError("no KVM here")
        self.live[name] = copy.deepcopy(self.persistent[name])
        for device in self.live[name].find("devices"):
            _xml.add(device, "alias", name="x")
        macs = [mac.get("address") for mac in self.live[name].findall("devices/interface/mac")]
        self.on_start(name, macs)

    def pause(self, name):
        self._write("pause", name)
        if name not in self.live:
            self.live[name] = copy.deepcopy(self.persistent[name])
        self.paused.add(name)

    def has_agent(self, name):
        return name in self.agents

    def shutdown(self, name):
        self._write("shutdown", name)
        if name not in self.ignores_shutdown:
            self.live.pop(name)

    def destroy(self, name):
        self._write("destroy", name)
        self.live.pop(name, None)

    def set_autostart(self, name, value):
        self._write("autostart", name)
        (self.autostart.add if value else self.autostart.discard)(name)

    def set_metadata(self, name, kind, text):
        self._write(f"set {kind}", name)
        if kind != "mark":
            _xml.set_text(self.live[name], kind, text)
            return
        metadata = _xml.ensure(self.live[name], "metadata")
        _xml.remove_all(metadata, [m for m in metadata if m is _mark.find(self.live[name])])
        mark = _xml.parse(text)
        assert mark.tag == "guest"
        mark.tag = f"{{{_mark.URI}}}guest"
        metadata.append(mark)

    def change(self, name, op):
        """Obey and refuse as libvirt 9.0 was measured to do."""
        self._write(f"{op.kind} {op.option}", name)
        root = self.live[name]
        devices = root.find("devices")
        if op.option in self.refuses:
            raise BackendError(self.refuses[op.option])
        if op.kind == "memory":
            assert op.value * 1024 <= int(root.findtext("memory"))
            root.find("currentMemory").text = str(op.value * 1024)
        elif op.kind == "vcpus":
            assert op.value <= int(root.findtext("vcpu"))
            root.find("vcpu").set("current", str(op.value))
        else:
            device = _xml.parse(op.value)
            same = [found for found in devices.findall(device.tag) if self._key(found) == self._key(device)]
            assert len(same) == (0 if op.kind == "attach" else 1)
            for found in same:
                devices.remove(found)
            if op.kind == "update":
                self._only_changeable(same[0], device)
            if op.kind != "detach":
                devices.append(device)

    def _key(self, device):
        named = {"interface": ("mac", "address"), "disk": ("target", "dev"), "rng": ("backend", "model")}
        named["controller"] = (".", "")
        path, name = named[device.tag]
        return (device.tag, device.get("type") if device.tag == "controller" else device.find(path).get(name))

    def _only_changeable(self, old, new):
        changeable = {"interface": ("link", "bandwidth", "filterref"), "disk": ("source",)}[old.tag]
        left = [{_xml.serialise(c).strip() for c in device if c.tag not in changeable} for device in (old, new)]
        assert left[0] == left[1]
        assert old.tag == "interface" or old.get("device") == "cdrom"

    def define_filter(self, xml):
        self.log.append(("filter", _xml.parse(xml).get("name")))

    def resize(self, name, path, size):
        self._write("resize", name)
        qemu_img(["qemu-img", "resize", path, str(size)])


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host: hypervisor, storage, taps and leases, and one call that does what the module does."""
    for module in ("_guest", "_wait"):
        base = "ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt."
        monkeypatch.setattr(f"{base}{module}.CONSOLE_DIRECTORY", str(tmp_path / "log"))
    monkeypatch.setattr("ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._apply._POLL", 0.001)
    monkeypatch.setattr("ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._await._POLL", 0.001)
    links, leases = tmp_path / "links", tmp_path / "leases"
    for name in ("log", "links", "images"):
        (tmp_path / name).mkdir()
    leases.write_text("")
    write_qcow2(tmp_path / "base.qcow2", 2 << 30)
    (tmp_path / "vmlinuz").write_text("kernel")
    (tmp_path / "initrd").write_text("initrd")

    this = SimpleNamespace(path=tmp_path, leases=leases, links=links, addresses={}, silent=set(), boot=None)

    def lease(name, macs):
        if name not in this.silent and macs:
            address = this.addresses.get(name, "192.0.2.1")
            with leases.open("a") as file:
                file.write(f"{int(time.time()) + 3600} {macs[0]} {address} {name} *\n")

    this.tap = lambda name: ((links / name).mkdir(exist_ok=True), (links / name / "carrier").write_text("1\n"))
    this.backend = FakeBackend(lease)
    this.settings = {"storage": str(tmp_path / "storage"), "wait_timeout": 0, "stop_timeout": 0}
    this.images = {
        "deb": {"path": str(tmp_path / "base.qcow2")},
        "tiny": {"kernel": str(tmp_path / "vmlinuz"), "initrd": str(tmp_path / "initrd"), "cmdline": "quiet"},
    }

    def converge(*guests, apply=True, exclusive=False, **settings):
        chosen = Settings(**{**this.settings, **settings})
        this.files = Files(chosen.storage, qemu_img, str(tmp_path / "starting"))
        library = Library(f"{chosen.storage}/images", urlopen, run=qemu_img)
        probe = Probe([str(leases)], str(links), str(tmp_path / "log"))
        lists = [guest.get("nics") for guest in guests if isinstance(guest, dict)]
        cards = (nic for nics in lists if isinstance(nics, list) for nic in nics)
        for nic in (nic for nic in cards if isinstance(nic, dict)):
            if str(nic.get("tap")).startswith("tap-"):
                this.tap(nic["tap"])
        converger = Converger(this.backend, this.files, library, probe, chosen, 8192, this.boot)
        outcome = converger.plan(list(guests), this.images, exclusive)
        if apply and not outcome.problems:
            converger.apply(outcome)
        return outcome

    this.converge = converge
    return this


def libvirt_binding():
    """Return libvirt's own binding."""
    return pytest.importorskip("libvirt", reason="Debian's python3-libvirt is not importable; make unit sees to it")


def use_libvirt(host):
    """Put libvirt's own test driver in place of the hypervisor without one."""
    host.backend = LibvirtBackend(libvirt_binding(), "test:///default")
    # The driver has neither machines nor CPUs, and a type of its own
    host.settings |= {"virt_type": "test", "machine": None, "cpu": {}}


@pytest.fixture(params=["fake", "libvirt"])
def either_host(request, host):
    """Return a host, once with each hypervisor."""
    if request.param == "libvirt":
        use_libvirt(host)
    return host


@pytest.fixture
def guest():
    """Return a maker of entries."""

    def make(name, **options):
        nic = {"mac": f"52:54:00:00:00:{sum(name.encode()) % 256:02x}", "tap": f"tap-{name}"}
        return {"name": name, "nics": [nic], "image": "tiny", **options}

    return make
