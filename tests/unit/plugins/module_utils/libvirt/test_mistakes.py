# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call with a mistake of every kind: each is told with place, value and what is allowed, and nothing is written."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _module, _xml
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._images import IMAGE_SPEC
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import argument_spec
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._seed import USER_SPEC
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._units import meant_key, whole

from .conftest import libvirt_binding, write_qcow2


def card(number, **options):
    return {"mac": f"52:54:00:00:01:{number:02x}", "tap": f"tap{number}", **options}


def made(name, **options):
    """A guest of an earlier run."""
    return {"name": name, "image": "good", "state": "stopped", **options}


# What an earlier run made
BEFORE = [
    made("hand", nics=[card(9)], uuid="6b766d6e-6574-4572-8361-000000000009"),
    made("large", image="disk", disk_gib=4),
    made("lost", image="disk"),
    made("needed"),
    made("needs", depends=["needed"]),
    made("former"),
    made("latter"),
    made("before", image="altered"),
]
# A guest, and what is wrong with it: key -> what is said to be allowed
GUESTS = [
    ({"name": "a b", "image": "good"}, {"name": "letters, digits"}),
    ({"image": "good", "memory_mib": 0}, {"name": "a text", "memory_mib": "1 or more"}),
    ("web", {None: "a dictionary"}),
    (
        {"name": "keys", "memory": 512, "imagge": "good"},
        {"memory": "did you mean memory_mib?", "imagge": "did you mean image?"},
    ),
    (
        {"name": "units", "image": "disk", "memory_mib": "2G", "disk_gib": "10 GB", "stop_timeout": "2 min"},
        {
            "memory_mib": "a whole number of MiB without a unit: 2048",
            "disk_gib": "a whole number of GiB without a unit: 10",
            "stop_timeout": "a whole number of seconds without a unit: 120",
        },
    ),
    (
        {"name": "types", "image": "good", "vcpus": "two", "autostart": "maybe", "title": {}, "cpu_topology": "x"},
        {"vcpus": "a whole number", "autostart": "true or false", "title": "a text", "cpu_topology": "a dictionary"},
    ),
    (
        {"name": "choices", "image": "good", "graphics": "vga", "wait_for": ["port"], "boot_order": ["disc"]},
        {"graphics": "one of none, vnc, spice", "wait_for": "port: NUMBER", "boot_order": "disk, cdrom, network"},
    ),
    ({"name": "memory", "image": "good", "memory_mib": 9_000_000}, {"memory_mib": "which this host has"}),
    ({"name": "least", "image": "good", "vcpus": 0, "start_delay": -1}, {"vcpus": "1 or", "start_delay": "0 or"}),
    (
        {"name": "most", "image": "good", "memory_mib": 512, "max_memory_mib": 256, "vcpus": 2, "max_vcpus": 1},
        {"max_memory_mib": "memory_mib (512) or more", "max_vcpus": "vcpus (2) or more"},
    ),
    ({"name": "cores", "image": "good", "cpu_topology": {"cores": 3}}, {"cpu_topology": "max_vcpus, 1"}),
    ({"name": "secure", "image": "good", "secure_boot": True}, {"secure_boot": "firmware: uefi"}),
    ({"name": "log", "image": "good", "console_log": True, "serial": False}, {"console_log": "a serial port"}),
    ({"name": "nouuid", "image": "good", "uuid": "no"}, {"uuid": "a UUID such as"}),
    ({"name": "sameuuid", "image": "good", "uuid": BEFORE[0]["uuid"]}, {"uuid": "that the domain hand does not"}),
    ({"name": "unknown", "image": "nope", "depends": ["nobody"]}, {"image": "one of altered,", "depends": "one of"}),
    ({"name": "direct", "disk_gib": 1, "cmdline": "quiet"}, {"cmdline": "only beside kernel"}),
    ({"name": "path", "image": "good", "kernel": "vmlinuz"}, {"kernel": "an absolute path"}),
    ({"name": "nothing"}, {"image": "nothing to boot"}),
    ({"name": "nosize", "disk_path": "/none/x.qcow2"}, {"disk_gib": "size in GiB"}),
    (
        {
            "name": "cards",
            "image": "good",
            "address": "192.0.2.5/24",
            "nics": [
                card(1, mtu=9, address="192.0.2.256", anti_spoofing=True),
                card(2, queues=0, mac="53:54:00:00:01:02"),
            ],
        },
        {
            "address": "an address of IPv4",
            "nics[0].mtu": "68 to 65535",
            "nics[0].address": "an address of IPv4",
            "nics[1].mac": "unicast",
            "nics[1].queues": "1 to 256",
        },
    ),
    (
        {"name": "taken", "image": "good", "nics": [card(9), card(3, queues=2, model="e1000"), {"mac": "x"}]},
        {
            "nics[0].mac": "one that the domain hand does not have",
            "nics[0].tap": "one that the domain hand does not have",
            "nics[1].queues": "model: virtio",
            "nics[2].mac": "unicast",
            "nics[2].tap": "the name of a tap, or a bridge",
        },
    ),
    (
        {"name": "shared", "image": "good", "nics": [card(3, tap="tap5"), card(5, tap="a-name-that-is-too-long")]},
        {"nics[0].mac": "one that guests[21] does not have", "nics[1].tap": "1 to 15 characters"},
    ),
    (
        {"name": "both", "image": "good", "nics": [card(7, bridge="br0", libvirt_network="default"), {"tap": "tap8"}]},
        {"nics[0].bridge": "not both", "nics[1].mac": "a text"},
    ),
    ({"name": "own", "image": "good", "nics": [card(6), card(6, tap="t")]}, {"nics[1].mac": "no other card"}),
    (
        {"name": "disks", "image": "good", "disks": [{"target": "xda", "bus": "ide"}, {"size_gib": 1}]},
        {"disks[0].bus": "one of virtio, scsi, sata", "disks[1].target": "a text", "disks[0].target": "sda to sdz"},
    ),
    (
        {
            "name": "drives",
            "image": "good",
            "disks": [{"target": "sda", "device": "cdrom", "path": "a", "size_gib": 9}],
        },
        {"disks[0].path": "an absolute path", "disks[0].size_gib": "none: a CD-ROM"},
    ),
    ({"name": "new", "image": "good", "disks": [{"target": "vdb"}]}, {"disks[0].size_gib": "size in GiB"}),
    ({"name": "late", "image": "good", "start_order": 1}, {}),
    ({"name": "early", "image": "good", "depends": ["late"]}, {"depends": "a guest that starts earlier"}),
    ({"name": "early", "image": "good"}, {"name": "one that guests[29] does not have"}),
    ({"name": "agent", "image": "good", "agent": False, "wait_for": ["agent"]}, {"wait_for": "no channel"}),
    ({"name": "lease", "image": "good", "wait_for": ["lease"]}, {"wait_for": "no network interface"}),
    (
        {"name": "patch", "image": "good", "xml_patch": [{"xml": "<hostdev>"}, {"path": "os"}]},
        {"xml_patch[0]": "one XML element", "xml_patch[1].xml": "a text"},
    ),
    ({"name": "login", "image": "disk", "users": [{"names": "x"}]}, {"users[0].names": "did you mean name?"}),
    ({"name": "small", "image": "disk", "disk_gib": 1}, {"disk_gib": "2 or more: image disk is larger"}),
    ({"name": "large", "image": "disk", "disk_gib": 3}, {"disk_gib": "4 or more: a disk is never shrunk"}),
    ({"name": "lost", "image": "disk"}, {"disk_path": "which is missing: put it back"}),
    ({"name": "needed", "state": "absent"}, {"state": "nothing depends on; needs depends on it"}),
    ({"name": "latter", "image": "good", "renamed_from": "former"}, {"renamed_from": "remove former"}),
    ({"name": "text", "image": "text"}, {}),
    ({"name": "gone", "image": "gone"}, {}),
    ({"name": "before", "image": "altered"}, {}),
    ({"name": "odd", "image": "odd", "cmdline": "quiet"}, {}),
]
IMAGES = {
    "text.path": "a disk image: qcow2, raw,",
    "gone.path": "a file that exists",
    "gone.kernel": "a file that exists",
    "altered.path": "changed under the disks of before",
    "odd.size": "no such key",
    "odd": "path or url of a disk image",
    "sums.checksum": "sha256:HEX",
    "sums.url": "a URL that begins with",
    "words": "a dictionary",
    "relative.kernel": "an absolute path",
    "lone.initrd": "only beside kernel",
}
USERS = {"users[0].sudo": "true or false", "users[1].name": "a text", "users[2]": "a dictionary"}
ALL_USERS = [{"name": "admin", "sudo": "perhaps"}, {"shell": "/bin/sh"}, "root"]


@pytest.fixture
def site(either_host):
    """A host with guests of an earlier run, and the images of this one."""
    host = either_host
    for name in ("disk", "altered"):
        write_qcow2(host.path / f"{name}.qcow2", 2 << 30)
    host.images = {"good": host.images["tiny"]}
    host.images |= {name: {"path": str(host.path / f"{name}.qcow2")} for name in ("disk", "altered")}
    outcome = host.converge(*BEFORE)
    assert (outcome.problems, outcome.failures) == ([], {})
    write_qcow2(host.path / "altered.qcow2", 3 << 30)
    (host.path / "storage" / "lost.qcow2").unlink()
    (host.path / "words.txt").write_text("<html>not found</html>")
    host.images |= {
        "text": {"path": str(host.path / "words.txt")},
        "gone": {"path": "/nowhere/x.qcow2", "kernel": "/nowhere/vmlinuz"},
        "odd": {"size": 3},
        "sums": {"url": "gopher://example.com/x", "checksum": "md5:1"},
        "words": "/images/x.qcow2",
        "relative": {"kernel": "vmlinuz"},
        "lone": {"path": "/images/x.qcow2", "initrd": "/images/initrd"},
    }
    return host


def expected():
    """Place -> what is said to be allowed."""
    places = (
        (f"guests[{index}].{key}" if key else f"guests[{index}]", words)
        for index, (_guest, wrong) in enumerate(GUESTS)
        for key, words in wrong.items()
    )
    return {**dict(places), **{f"images.{place}": words for place, words in IMAGES.items()}, **USERS}


def everything(host):
    """What a run could have written."""
    files = {str(path): path.stat().st_mtime_ns for path in host.path.rglob("*") if path.is_file()}
    return files, {d.name: (_xml.serialise(d.root), d.power, d.autostart) for d in host.backend.domains()}


def test_every_mistake_is_told_at_once(site):
    before = everything(site)
    outcome = site.converge(*(guest for guest, _wrong in GUESTS), users=ALL_USERS)
    told = {problem.place(): problem for problem in outcome.problems}
    assert set(told) ^ set(expected()) == set()
    for place, words in expected().items():
        assert words in told[place].allowed, place
    # Each once, and each with the value that it is about
    assert len(told) == len(outcome.problems)
    text = "guests[4].memory_mib: '2G' is wrong; allowed: a whole number of MiB without a unit: 2048"
    assert str(told["guests[4].memory_mib"]) == text
    assert outcome.steps == []
    assert everything(site) == before


def test_what_ansible_refuses_does_not_hide_the_rest(tmp_path, capsys):
    libvirt_binding()
    call = {
        "guests": [
            {"name": "unit", "image": "gone", "memory_mib": "512M", "nics": [{"mac": "52:54:00:00:01:01", "tab": "x"}]},
            "db",
            {"name": "mail", "source": "kvmnet_guests[7]", "image": "gone", "memory_mib": "9000000"},
        ],
        "images": {"gone": {"path": f"{tmp_path}/gone.qcow2"}},
        "users": [{"name": "admin", "sudo": "perhaps"}],
        "uri": "test:///default",
        "storage": f"{tmp_path}/storage",
        "virt_type": "xen",
        "restrat": "never",
        "parallel": "many",
    }
    with patch_module_args(call), pytest.raises(SystemExit):
        _module.main()
    result = json.loads(capsys.readouterr().out)
    assert result["failed"]
    told = {
        (f"{p['variable']}[{p['index']}]" if p["index"] is not None else p["variable"], p["key"])
        for p in result["problems"]
    }
    assert told == {
        ("virt_type", None),
        ("restrat", None),
        ("parallel", None),
        ("users[0]", "sudo"),
        ("guests[0]", "memory_mib"),
        ("guests[0]", "nics[0].tab"),
        ("guests[1]", None),
        ("kvmnet_guests[7]", "memory_mib"),
        ("images", "gone.path"),
    }
    assert result["msg"].startswith("9 problems, nothing was changed:\n- ")
    told_in = [f"{p['variable']}[{p['index']}]" for p in result["problems"] if p["index"] is not None]
    assert told_in == ["guests[0]", "guests[0]", "guests[1]", "kvmnet_guests[7]", "users[0]"]
    assert result["problems"][-1]["variable"] == "images"
    assert not (tmp_path / "storage").exists()


def test_none_at_once_is_refused(tmp_path, capsys):
    pytest.importorskip("libvirt")
    for guests in ([], [{"name": "unit", "memory_mib": "512M"}]):
        call = {"guests": guests, "uri": "test:///default", "storage": str(tmp_path), "parallel": 0}
        with patch_module_args(call), pytest.raises(SystemExit):
            _module.main()
        told = json.loads(capsys.readouterr().out)["problems"]
        assert ("parallel", 0, "1 or more") in {(row["variable"], row["value"], row["allowed"]) for row in told}


JUNK = [
    *("", "x", "512M", "/x", "vda", "a\0b", "<&>", None, -1, 0, 2**40, True, 1.5),
    *([], [1], ["a"], [None], [{}], [{"a": 1}], {}, {"a": 1}),
]


@pytest.mark.parametrize("junk", JUNK, ids=[str(number) for number in range(len(JUNK))])
def test_whatever_is_written_somewhere_the_rest_is_still_checked(host, junk):
    write_qcow2(host.path / "disk.qcow2", 2 << 30)
    host.images = {"disk": {"path": str(host.path / "disk.qcow2")}, "junk": junk}
    host.images |= {f"junk-{key}": {"kernel": "/k", key: junk} for key in IMAGE_SPEC}
    guests = [{"name": f"image-{name}", "image": name, "disk_gib": 3} for name in host.images]
    members = {"nics": card(1), "disks": {"target": "vdb"}, "users": {"name": "a"}, "xml_patch": {"xml": "<a/>"}}
    for name, row in {**argument_spec(), "users": {"options": USER_SPEC}}.items():
        guests.append({"name": name, "image": "disk", name: junk})
        for key in row.get("options", {}):
            member = {**members.get(name, {}), key: junk}
            value = member if row.get("type") == "dict" else [member]
            guests.append({"name": f"{name}-{key}", "image": "disk", name: value})
    outcome = host.converge(*guests, junk, {"name": "last", "image": "disk", "disk_gib": 1}, users=[{"name": junk}])
    assert f"guests[{len(guests) + 1}].disk_gib" in {problem.place() for problem in outcome.problems}
    assert host.backend.persistent == {}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("memory_mib", "512M", "a whole number of MiB without a unit: 512"),
        ("memory_mib", "1.5 GiB", "a whole number of MiB without a unit: 1536"),
        ("disk_gib", "1T", "a whole number of GiB without a unit: 1024"),
        ("disk_gib", "512M", "a whole number of GiB without a unit, which 0.5 is not"),
        ("inbound_mbit", "1 Gbit/s", "a whole number of Mbit/s without a unit: 1000"),
        ("start_delay", "30s", "a whole number of seconds without a unit: 30"),
        ("memory_mib", "much", "a whole number of MiB"),
        ("vcpus", "2G", "a whole number"),
    ],
)
def test_an_amount_with_a_unit_is_told_the_number_that_was_meant(option, value, words):
    assert whole(option, value) == words


def test_a_name_without_its_unit_is_told_the_one_with_it():
    names = ("disks", "disk_gib", "disk_path", "memory_mib", "max_memory_mib")
    meant = [meant_key(name, names) for name in ("disk", "memory", "max_memory", "memory_gib", "colour")]
    assert meant == ["disk_gib", "memory_mib", "max_memory_mib", "memory_mib", None]
