# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains that somebody made by hand, adopted by their names."""

from __future__ import annotations

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _drives, _mark, _xml
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import inspect
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._entry import entry_of, problems_of

from ._runs import options_of, unchanged

BY_HAND = """<domain type='qemu'><name>old</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
<metadata><other:note xmlns:other="http://example.com/other">mine<!-- and a comment --></other:note></metadata>
<memory unit='GiB'>2</memory><vcpu placement='static'>2</vcpu>
<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>
<devices><interface type='network'><mac address='52:54:00:aa:aa:aa'/><source network='default'/></interface>
<disk type='file' device='disk'><source file='/elsewhere/old.raw'/><target dev='vda' bus='virtio'/></disk>
<graphics type='vnc' passwd='secret'/></devices></domain>"""


class TestAdopt:
    def test_only_what_is_named_changes(self, host):
        host.backend.define(BY_HAND)
        entry = {"name": "old", "state": "present", "memory_mib": 1024, "uuid": None}
        outcome = host.converge(entry)
        assert set(options_of(outcome)) == {"memory_mib", "origin"}
        root = host.backend.persistent["old"]
        text = _xml.serialise(root)
        assert "mine<!-- and a comment -->" in text
        assert "other:note" in text
        assert 'passwd="secret"' in text
        assert "/elsewhere/old.raw" in text
        assert root.findtext("vcpu") == "2"
        assert _mark.get(root, "origin") == "adopted"
        unchanged(host, entry)

    def test_what_is_read_back_of_it_changes_nothing(self, host):
        (host.path / "old.raw").write_bytes(bytes(1 << 20))
        (host.path / "more.raw").write_bytes(bytes(1 << 20))
        more = "<disk type='file'><source file='/elsewhere/more.raw'/><target dev='sdb' bus='sata'/></disk><graphics"
        host.backend.define(BY_HAND.replace("<graphics", more).replace("/elsewhere", str(host.path)))
        (domain,) = host.backend.domains()
        entry = entry_of(domain)
        assert problems_of(entry, domain.root) == ["network interface 52:54:00:aa:aa:aa"]
        outcome = host.converge(entry)
        assert outcome.problems == []
        assert set(options_of(outcome)) == {"origin", "disks"}
        sdb = _drives.disk_at(host.backend.persistent["old"], "sdb")
        assert _drives.drive(sdb)["discard"] is None
        unchanged(host, entry)

    def test_a_nic_is_taken_over_by_its_mac(self, host):
        host.backend.define(BY_HAND)
        entry = {"name": "old", "state": "present", "nics": [{"mac": "52:54:00:AA:aa:aa", "tap": "tap-old"}]}
        host.converge(entry)
        interface = host.backend.persistent["old"].find("devices/interface")
        assert interface.get("type") == "ethernet"
        assert interface.find("source") is None
        unchanged(host, entry)

    def test_a_disk_is_adopted_by_its_file_and_grows(self, host):
        disk = str(host.path / "old.qcow2")
        qcow2 = BY_HAND.replace("/elsewhere/old.raw", disk)
        host.backend.define(qcow2)
        (host.path / "old.qcow2").write_bytes((host.path / "base.qcow2").read_bytes())
        entry = {"name": "old", "state": "present", "disk_path": disk, "disk_gib": 5}
        host.converge(entry)
        assert inspect(disk).size == 5 << 30
        assert len(host.backend.persistent["old"].findall("devices/disk")) == 1
        unchanged(host, entry)

    def test_an_exclusive_list_spares_what_is_not_ours(self, host, guest):
        host.backend.define(BY_HAND)
        host.converge(guest("web"), guest("gone"))
        outcome = host.converge(guest("web"), exclusive=True)
        assert outcome.plan().lines() == ["- guest gone: delete"]
        assert set(host.backend.persistent) == {"old", "web"}
