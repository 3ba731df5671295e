# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks are precious."""

from __future__ import annotations

import os

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _drives, _storage
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import DiskError, inspect

from ._runs import unchanged
from .conftest import write_qcow2


def snapshot(host, name, target="vda"):
    """Do what virsh snapshot-create-as --disk-only does."""
    for root in (host.backend.persistent[name], host.backend.live[name]):
        source = _drives.disk_at(root, target).find("source")
        below = source.get("file")
        above = below.replace(".qcow2", ".snap")
        source.set("file", above)
    write_qcow2(above, inspect(below).size, below)
    return below, above


def test_a_snapshot_stays_on_its_disk(host, guest):
    entry = guest("web", image="deb", disks=[{"target": "vdb", "size_gib": 1}])
    host.converge(entry)
    for target in ("vda", "vdb"):
        snapshot(host, "web", target)
    unchanged(host, entry)


def test_a_guest_with_a_snapshot_is_not_left_on_half_of_its_disk(host, guest):
    host.converge(guest("web", image="deb"))
    below, above = snapshot(host, "web")
    (problem,) = host.converge(guest("web", state="absent")).problems
    assert above in problem.allowed
    (problem,) = host.converge(exclusive=True).problems
    assert problem.allowed.startswith("web: ")
    outcome = host.converge(guest("web", state="absent", remove_storage=True), on_timeout="destroy")
    assert (outcome.problems, outcome.failures) == ([], {})
    assert not os.path.exists(below)
    assert not os.path.exists(above)
    assert os.path.exists(host.images["deb"]["path"])


def test_a_guest_that_others_depend_on_stays(host, guest):
    host.converge(guest("db"), guest("web", depends=["db"]))
    (problem,) = host.converge(guest("db", state="absent")).problems
    assert "web depends on it" in problem.allowed
    assert "db" in host.backend.persistent


def test_a_disk_that_others_stand_on_stays(host, guest):
    host.converge(guest("db", image="deb"))
    base = f"{host.settings['storage']}/db.qcow2"
    write_qcow2(host.path / "clone.qcow2", 2 << 30, base)
    host.converge(guest("web", image=None, disk_path=str(host.path / "clone.qcow2")))
    (problem,) = host.converge(guest("db", state="absent", remove_storage=True)).problems
    assert problem.allowed == f"false: {base} is under a disk of web"
    assert host.converge(guest("db", state="absent")).problems == []


def test_files_that_the_record_does_not_name_stay(host, guest):
    (host.path / "data.raw").write_bytes(bytes(1 << 20))
    (host.path / "x.iso").write_bytes(bytes(4096))
    disks = [
        {"target": "vdb", "size_gib": 1},
        {"target": "vdc", "path": str(host.path / "data.raw")},
        {"target": "sda", "device": "cdrom", "path": str(host.path / "x.iso")},
    ]
    host.converge(guest("web", image="deb", disks=disks))
    host.converge(guest("web", state="absent", remove_storage=True), on_timeout="destroy")
    assert sorted(os.listdir(host.settings["storage"])) == ["images"]
    assert (host.path / "data.raw").exists()
    assert (host.path / "x.iso").exists()


def test_a_raw_disk_stays_raw_whatever_the_guest_writes_into_it(host, guest):
    entry = guest("web", disks=[{"target": "vdb", "size_gib": 1, "format": "raw"}])
    host.converge(entry)
    write_qcow2(f"{host.settings['storage']}/web-vdb.raw", 1 << 30, "/etc/shadow", "raw")
    unformatted = guest("web", disks=[{"target": "vdb", "path": f"{host.settings['storage']}/web-vdb.raw"}])
    unchanged(host, unformatted)


def test_more_disks_grow_and_never_shrink(host, guest):
    host.converge(guest("web", disks=[{"target": "vdb", "size_gib": 2}]))
    outcome = host.converge(guest("web", disks=[{"target": "vdb", "size_gib": 3}]))
    assert outcome.plan().lines() == ["~ guest web: change", "    disks[vdb].size_gib: 2 -> 3"]
    assert inspect(f"{host.settings['storage']}/web-vdb.qcow2").size == 3 << 30
    (problem,) = host.converge(guest("web", disks=[{"target": "vdb", "size_gib": 1}])).problems
    assert problem.allowed == "3 or more: a disk is never shrunk"


def test_what_is_wrong_with_disks(host, guest):
    disks = [
        {"target": "vda", "size_gib": 1},
        {"target": "vdb"},
        {"target": "vdb", "path": "relative", "size_gib": 0},
        {"target": "sda", "device": "cdrom", "path": "/nowhere.iso", "size_gib": 1},
        {"target": "sdb", "bus": "virtio", "path": "/dev/nothing"},
        {"target": "vdc", "device": "cdrom"},
    ]
    keys = {problem.key for problem in host.converge(guest("web", image="deb", disks=disks)).problems}
    assert keys == {
        *("disks[0].target", "disks[2].target", "disks[2].path", "disks[3].size_gib", "disks[4].bus"),
        *("disks[5].device", "disks[2].size_gib", "disks[3].path", "disks[4].path"),
    }


def test_a_directory_is_no_disk(host, guest):
    with pytest.raises(DiskError, match=f"{host.path} cannot be read as a disk: Is a directory"):
        host.converge(guest("web", image=None, disk_path=str(host.path), disk_gib=1))


def test_nothing_half_made_stays(host, guest):
    host.backend.fails_to_define = {"web"}
    outcome = host.converge(
        guest("web", image="deb", disks=[{"target": "vdb", "size_gib": 1}]), guest("db", image="deb")
    )
    assert outcome.failures == {"web": "no space left on device"}
    assert [name for name in os.listdir(host.settings["storage"]) if name.startswith("web")] == []
    host.backend.fails_to_define = set()
    assert host.converge(guest("web", image="deb")).failures == {}


def test_the_variables_of_a_guest_that_had_uefi_go_with_its_disk(host, guest, monkeypatch):
    """They stay when it goes without its disk, and no domain names them any more."""
    monkeypatch.setattr(f"{_storage.__name__}.NVRAM", f"{host.path}/{{}}_VARS.fd")
    variables = host.path / "web_VARS.fd"
    variables.write_text("")
    host.converge(guest("web", image="deb"))
    for storage, there in ((False, True), (True, False)):
        host.converge(guest("web", image="deb"))
        host.converge(guest("web", state="absent", remove_storage=storage, on_timeout="destroy"))
        assert variables.exists() == there
