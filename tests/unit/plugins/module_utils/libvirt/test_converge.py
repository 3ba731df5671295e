# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that are made, changed, renamed and stopped, until nothing is left to do."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _drives, _nics, _xml
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._disks import inspect
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._entry import entry_of

from ._runs import options_of, unchanged


class TestCreate:
    def test_first_run(self, host, guest):
        outcome = host.converge(guest("web"), guest("db1", image="deb", disk_gib=3))
        assert outcome.failures == {}
        assert set(host.backend.live) == {"web", "db1"}
        assert host.backend.autostart == {"web", "db1"}
        disk = inspect(f"{host.settings['storage']}/db1.qcow2")
        assert (disk.size, disk.backing, disk.backing_kind) == (3 << 30, host.images["deb"]["path"], "qcow2")
        assert os.path.exists(f"{host.settings['storage']}/db1-seed.iso")
        assert not os.path.exists(f"{host.settings['storage']}/web-seed.iso")
        unchanged(host, guest("web"), guest("db1", image="deb", disk_gib=3))

    def test_check_mode_predicts_and_leaves_nothing(self, host, guest):
        before = sorted(host.path.rglob("*"))
        host.tap("tap-db1")
        host.backend.read_only = True
        outcome = host.converge(guest("db1", image="deb"), apply=False)
        predicted = outcome.plan().lines()
        host.backend.read_only = False
        assert [p for p in sorted(host.path.rglob("*")) if "tap-db1" not in str(p)] == before
        assert host.converge(guest("db1", image="deb")).plan().lines() == predicted

    def test_two_disks_of_one_size_are_made_once(self, host, guest):
        guests = [guest(name, image="deb", disk_gib=size) for name, size in (("a", 4), ("bb", 4), ("ccc", 5))]
        assert host.converge(*guests).failures == {}
        sizes = [inspect(f"{host.settings['storage']}/{g['name']}.qcow2").size >> 30 for g in guests]
        assert sizes == [4, 4, 5]

    def test_a_deleted_guest_gets_its_disk_back(self, host, guest):
        host.converge(guest("db1", image="deb", disk_gib=3))
        path = f"{host.settings['storage']}/db1.qcow2"
        inode = os.stat(path).st_ino
        host.converge(guest("db1", state="absent"))
        assert not host.backend.persistent
        assert not os.path.exists(f"{host.settings['storage']}/db1-seed.iso")
        outcome = host.converge(guest("db1", image="deb", disk_gib=3))
        assert "on the disk that is there" in outcome.plan().lines()[0]
        assert os.stat(path).st_ino == inode

    def test_a_guest_that_fails_does_not_keep_the_others(self, host, guest):
        host.backend.fails_to_start = {"bad"}
        outcome = host.converge(guest("bad"), guest("good"), guest("child", depends=["bad"]))
        assert set(host.backend.live) == {"good"}
        assert outcome.failures == {
            "bad": "no KVM here (virt_type kvm needs working hardware virtualisation; without it use qemu)",
            "child": "it was not started: it depends on bad",
        }


class TestChange:
    def test_pending_changes_are_applied_by_a_restart(self, host, guest):
        host.converge(guest("web"))
        host.converge(guest("web", memory_mib=2048))
        outcome = host.converge(guest("web", memory_mib=2048, restart="if_needed"))
        assert outcome.plan().lines() == ["~ guest web: change, by a restart", "    memory_mib: 1024 -> 2048"]
        assert host.backend.log[-2:] == [("shutdown", "web"), ("start", "web")]
        assert [s.pending for s in unchanged(host, guest("web", memory_mib=2048, restart="if_needed")).steps] == [[]]

    def test_a_stopped_guest_has_nothing_pending(self, host, guest):
        host.converge(guest("web", state="stopped"))
        outcome = host.converge(guest("web", state="stopped", memory_mib=512))
        assert outcome.plan().lines() == ["~ guest web: change", "    memory_mib: 1024 -> 512"]
        assert outcome.steps[0].pending == []

    def test_disks_grow_live_and_never_shrink(self, host, guest):
        host.converge(guest("db1", image="deb"))
        assert options_of(host.converge(guest("db1", image="deb", disk_gib=6)))["disk_gib"] == (2, 6)
        assert ("resize", "db1") in host.backend.log
        unchanged(host, guest("db1", image="deb", disk_gib=6))
        problems = host.converge(guest("db1", image="deb", disk_gib=4)).problems
        assert [str(p) for p in problems] == [
            "guests[0].disk_gib: '4' is wrong; allowed: 6 or more: a disk is never shrunk"
        ]

    def test_another_image_does_not_touch_the_disk(self, host, guest):
        host.images["deb2"] = {"path": str(host.path / "images" / "deb2.qcow2")}
        (host.path / "images" / "deb2.qcow2").write_bytes((host.path / "base.qcow2").read_bytes())
        host.converge(guest("db1", image="deb"))
        outcome = unchanged(host, guest("db1", image="deb2"))
        assert outcome.to_result()["needs_recreate"] == [
            {"name": "db1", "options": {"image": {"have": "deb", "want": "deb2"}}}
        ]

    def test_a_missing_disk_is_not_made_anew(self, host, guest):
        host.converge(guest("db1", image="deb"))
        os.unlink(f"{host.settings['storage']}/db1.qcow2")
        problems = host.converge(guest("db1", image="deb")).problems
        assert [p.key for p in problems] == ["disk_path"]

    def test_a_key_reaches_the_seed_only_once(self, host, guest):
        host.converge(guest("db1", image="deb"))
        users = [{"name": "admin", "ssh_keys": ["ssh-ed25519 AAAA"]}]
        outcome = host.converge(guest("db1", image="deb"), users=users)
        assert outcome.plan().changes[0].note == "read at the guest's first boot"
        unchanged(host, guest("db1", image="deb"), users=users)

    def test_nics_follow_the_record_and_others_stay(self, host, guest):
        host.converge(guest("web"))
        devices = host.backend.persistent["web"].find("devices")
        _xml.add(_xml.add(devices, "interface", type="network"), "mac", address="52:54:00:bb:bb:bb")
        nics = [{"mac": "52:54:00:00:00:99", "tap": "tap-new", "model": "virtio", "mtu": 1400}]
        outcome = host.converge(guest("web", nics=nics))
        assert outcome.steps[0].pending == []
        root = host.backend.persistent["web"]
        assert _nics.read_nics(root) == [_nics.normalise_nic(nics[0])]
        assert [value for kind, value in _nics.identities(root) if kind == "mac"] == [
            "52:54:00:bb:bb:bb",
            "52:54:00:00:00:99",
        ]
        unchanged(host, guest("web", nics=nics))

    def test_tiny_to_disk_and_back_keeps_the_file(self, host, guest):
        host.converge(guest("web"))
        host.converge(guest("web", image="deb"))
        path = f"{host.settings['storage']}/web.qcow2"
        assert _drives.read_disk(host.backend.persistent["web"]) == path
        host.converge(guest("web"))
        assert _drives.read_disk(host.backend.persistent["web"]) is None
        assert os.path.exists(path)


class TestRename:
    def entry(self, guest, name, **options):
        """Return an entry whose card follows from the first name, as in an inventory."""
        disks = [{"target": "vdb", "size_gib": 1}]
        return {**guest("old", image="deb", disks=disks, on_timeout="destroy"), "name": name, **options}

    def test_a_stopped_guest_keeps_its_disks(self, host, guest):
        host.converge(self.entry(guest, "old", state="stopped"))
        files = sorted(os.listdir(host.settings["storage"]))
        entry = self.entry(guest, "new", state="stopped", renamed_from="old")
        outcome = host.converge(entry)
        assert (outcome.problems, outcome.failures) == ([], {})
        assert options_of(outcome)["name"] == ("old", "new")
        assert list(host.backend.persistent) == ["new"]
        assert sorted(os.listdir(host.settings["storage"])) == files
        unchanged(host, entry)

        outcome = host.converge({**entry, "name": "newest"}, exclusive=True)
        assert (outcome.problems, outcome.failures, list(host.backend.persistent)) == ([], {}, ["newest"])

    def test_a_running_guest_is_renamed_by_a_restart(self, host, guest):
        host.converge(self.entry(guest, "old"))
        entry = self.entry(guest, "new", renamed_from="old", memory_mib=2048)
        assert host.converge(entry, exclusive=True).steps[0].pending == ["memory_mib", "console_log", "name"]
        assert unchanged(host, entry, exclusive=True).steps[0].pending == ["memory_mib", "console_log", "name"]
        outcome = host.converge({**entry, "restart": "if_needed"}, exclusive=True)
        assert outcome.failures == {}
        assert outcome.plan().changes[0].options["name"] == ("old", "new")
        assert list(host.backend.live) == ["new"]
        assert unchanged(host, entry, exclusive=True).steps[0].pending == []

    def test_both_names(self, host, guest):
        host.converge(guest("old"), guest("new"))
        problems = host.converge(guest("new", renamed_from="old")).problems
        assert "renamed_from" in [problem.key for problem in problems]


class TestStop:
    def test_paused(self, host, guest):
        assert host.converge(guest("web", state="paused")).failures == {}
        assert host.backend.power("web") == "paused"
        unchanged(host, guest("web", state="paused"))
        assert host.converge(guest("web")).plan().lines() == ["~ guest web: change", "    state: paused -> running"]
        host.converge(guest("web", state="paused"))
        assert host.backend.power("web") == "paused"
        unchanged(host, guest("web", state="present"))
        host.converge(guest("web", state="stopped"), on_timeout="destroy")
        assert host.backend.power("web") == "stopped"

    def test_a_guest_that_does_not_stop(self, host, guest):
        host.converge(guest("web"))
        host.backend.ignores_shutdown = {"web"}
        outcome = host.converge(guest("web", state="stopped"))
        assert "did not stop within 0 s" in outcome.failures["web"]
        assert host.converge(guest("web", state="stopped", on_timeout="destroy")).failures == {}
        assert host.backend.live == {}

    def test_a_guest_that_does_not_stop_is_not_removed(self, host, guest):
        host.converge(guest("web", image="deb"))
        host.backend.ignores_shutdown = {"web"}
        outcome = host.converge(guest("web", state="absent", remove_storage=True))
        assert list(outcome.failures) == ["web"]
        assert "web" in host.backend.persistent
        assert os.path.exists(f"{host.settings['storage']}/web.qcow2")

    def test_storage_goes_only_on_request(self, host, guest):
        host.converge(guest("web", image="deb"))
        host.converge(exclusive=True)
        path = f"{host.settings['storage']}/web.qcow2"
        assert os.path.exists(path)
        outcome = host.converge(guest("web", state="absent", remove_storage=True))
        assert outcome.plan().lines() == [f"- disk {path}: delete"]
        assert not os.path.exists(path)
        unchanged(host, guest("web", state="absent", remove_storage=True))


ENTRY = st.fixed_dictionaries(
    {"state": st.sampled_from(["running", "stopped", "present"])},
    optional={
        "image": st.sampled_from(["tiny", "deb"]),
        "title": st.sampled_from(["one", "two & <three>"]),
        "description": st.just("words"),
        "memory_mib": st.sampled_from([128, 1024, 4096]),
        "max_memory_mib": st.just(4096),
        "vcpus": st.sampled_from([1, 4]),
        "cpu": st.sampled_from(["host-model", "host-passthrough", "EPYC"]),
        "virt_type": st.sampled_from(["kvm", "qemu"]),
        "console_log": st.booleans(),
        "agent": st.booleans(),
        "rng": st.booleans(),
        "autostart": st.booleans(),
        "network": st.just("kvm"),
        "start_order": st.integers(-2, 2),
        "fqdn": st.just("web.example"),
        "user_data": st.just({"timezone": "UTC"}),
        "restart": st.sampled_from(["never", "if_needed"]),
        "on_timeout": st.just("destroy"),
        "nics": st.lists(
            st.sampled_from(
                [
                    {"mac": "52:54:00:00:00:01", "tap": "tap-1"},
                    {"mac": "52:54:00:00:00:02", "tap": "tap-2", "mtu": 1400},
                    {"mac": "52:54:00:00:00:03", "tap": "tap-3", "model": "e1000"},
                ]
            ),
            max_size=3,
            unique_by=lambda nic: nic["mac"],
        ),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ENTRY, min_size=1, max_size=3))
def test_what_is_applied_is_not_planned_again(host, entries):
    """From anything to anything: after the apply there is nothing left to do."""
    host.backend.persistent.clear()
    host.backend.live.clear()
    host.backend.autostart.clear()
    for entry in entries:
        outcome = host.converge({"name": "web", "image": "tiny", **entry})
        assert outcome.problems == []
        assert outcome.failures == {}
        unchanged(host, {"name": "web", "image": "tiny", **entry})
        # What is read back and given again describes the same guest
        unchanged(host, *(entry_of(domain) for domain in host.backend.domains()))
