# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._read import read_entries


def texts(outcome):
    return [str(problem) for problem in outcome.problems]


def test_unknown_keys_and_wrong_types_all_at_once():
    entries = [
        {"name": "web", "source": "kvmnet_guests[3]", "memory": 512, "vcpus": "two", "autostart": "maybe"},
        {"name": "db", "nics": [{"mac": "52:54:00:00:00:01", "tab": "x"}]},
        {"memory_mib": "512"},
        "web",
    ]
    found = [(p.place(), p.allowed) for p in read_entries(entries)[1]]
    assert [place for place, _allowed in found] == [
        "kvmnet_guests[3].memory",
        "kvmnet_guests[3].vcpus",
        "kvmnet_guests[3].autostart",
        "guests[1].nics[0].tab",
        "guests[2].name",
        "guests[3]",
    ]
    assert found[0][1].startswith("no such key, did you mean memory_mib? Known: name, ")
    assert found[1][1] == "a whole number"


def test_the_end_of_a_line_is_no_part_of_a_name(host, guest):
    """A block in YAML ends with one."""
    nic = {"mac": "52:54:00:00:00:01\n", "tap": "tap1"}
    entry = {"name": "web\n", "image": "tiny", "uuid": "6b766d6e-6574-4572-8361-000000000001\n", "nics": [nic]}
    disk = {"target": "vdb\n", "size_gib": 1}
    places = [problem.place() for problem in host.converge(entry | {"disks": [disk]}).problems]
    assert places == ["guests[0].name", "guests[0].uuid", "guests[0].nics[0].mac", "guests[0].disks[0].target"]


def test_values_are_checked_against_each_other_and_the_host(host, guest):
    outcome = host.converge(
        guest("a b", image="nope", memory_mib=0),
        guest("web", memory_mib=9000, max_memory_mib=1024, uuid="x"),
        guest("web", source="kvmnet_guests[7]"),
        guest("db", image=None, cmdline="quiet", depends=["web", "zz"], start_order=-1),
        guest("low", depends=["high"]),
        guest("high", depends=["low"]),
        guest("top", depends=["down"]),
        guest("down", state="stopped"),
        {"name": "nic", "image": "tiny", "nics": [{"mac": "53:54:00:00:00:01", "tap": "tap-far-too-long-name"}]},
    )
    places = [problem.place() for problem in outcome.problems]
    assert places == [
        "guests[0].name",
        "guests[0].memory_mib",
        "guests[0].image",
        "guests[1].memory_mib",
        "guests[1].max_memory_mib",
        "guests[1].uuid",
        "kvmnet_guests[7].name",
        "guests[3].cmdline",
        "guests[3].depends",
        "guests[3].depends",
        "guests[4].depends",
        "guests[5].depends",
        "guests[6].depends",
        "guests[8].nics[0].mac",
        "guests[8].nics[0].tap",
        "guests[3].image",
    ]
    assert "kvmnet_guests[7].name: 'web' is wrong; allowed: one that guests[1] does not have" in texts(outcome)
    assert host.backend.persistent == {}


def test_a_mac_of_another_domain_is_refused(host, guest):
    host.converge(guest("web"))
    nics = [{**guest("web")["nics"][0], "tap": "tap-other"}]
    outcome = host.converge(guest("other", nics=nics))
    assert texts(outcome) == [
        "guests[0].nics[0].mac: '52:54:00:00:00:3e' is wrong; allowed: one that the domain web does not have"
    ]
    assert host.converge(guest("other", nics=nics), exclusive=True, on_timeout="destroy").failures == {}


def test_images_and_disks(host, guest):
    images = dict(host.images)
    host.images |= {
        "both": {"path": "/a", "url": "http://example.com/a", "checksum": "md5:1", "size": 3},
        "relative": {"kernel": "vmlinuz"},
    }
    places = [problem.place() for problem in host.converge(guest("web")).problems]
    assert places == ["images.both.size", "images.both", "images.both.checksum", "images.relative.kernel"]
    host.images = {**images, "gone": {"path": "/nowhere/x.qcow2"}}
    bare = {"name": "none", "nics": []}
    outcome = host.converge(guest("web", image="gone"), guest("small", image="deb", disk_gib=1), bare)
    assert [problem.place() for problem in outcome.problems] == [
        "images.gone.path",
        "guests[1].disk_gib",
        "guests[2].image",
    ]
