# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of guests are checked on the controller like those of the network: all in one report."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._drives import DISK_SPEC
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._seed import USER_SPEC
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._cards import NICS
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._read import Unresolved
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._schema import GUEST_RECORD, IMAGES, PUBLISH

OPTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"memory_mib": "512M"}, "memory_mib", "a whole number of MiB without a unit: 512"),
    ({"disk_gib": "10G"}, "disk_gib", "a whole number of GiB without a unit: 10"),
    ({"inbound_mbit": "1 Gbit/s"}, "inbound_mbit", "a whole number of Mbit/s without a unit: 1000"),
    ({"disk": 10}, "disk", "disk_gib is probably meant"),
    ({"memory_mib": 0}, "memory_mib", "1 or more"),
    ({"max_memory_mib": 256}, "max_memory_mib", "memory_mib (512) or more"),
    ({"secure_boot": True}, "secure_boot", "only beside firmware: uefi"),
    ({"cpu_topology": {"cores": "x"}}, "cpu_topology.cores", "a whole number"),
    ({"disks": [{"target": "vdb", "size": 1}]}, "disks[0].size", "did you mean size_gib?"),
    ({"disks": [{"target": "vdb", "size_gib": "10G"}]}, "disks[0].size_gib", "without a unit: 10"),
    ({"disks": [{"target": "hdb", "size_gib": 1}]}, "disks[0].target", "vda to vdz or sda to sdz"),
    ({"xml_patch": [{"xml": "<hostdev>"}]}, "xml_patch[0]", "one XML element"),
    ({"users": [{"name": "x", "sudo": "perhaps"}]}, "users[0].sudo", "true or false"),
    ({"wait_for": [{"port": "ssh"}]}, "wait_for", "port: NUMBER"),
    ({"depends": ["nobody"]}, "depends", "one of the guests of this host: mail, pool, web"),
    ({"uuid": "no"}, "uuid", "a UUID such as"),
    ({"user_data": {"runcmd": [Unresolved("{{ x }}", "x is undefined")]}}, "user_data.runcmd[0]", "x is undefined"),
]


@pytest.mark.parametrize(("options", "key", "allowed"), OPTIONS, ids=[key for _options, key, _allowed in OPTIONS])
def test_one_wrong_option_is_one_problem(ursa, refused, options, key, allowed):
    ursa["kvmnet_guests"][0].update(options)
    ((_host, place, words),) = refused(ursa)
    assert place == f"kvmnet_guests[0].{key}"
    assert allowed in words


def test_what_is_wrong_is_told_once_and_hides_nothing(ursa, refused):
    ursa["kvmnet_guests"][0].update(name="Debian 32", address="10.0.0.1", firmwares="uefi", secure_boot=True)
    ursa["kvmnet_guests"][1].update(image="nope", kernels="/x", cmdline="quiet", memory_mib="2G", max_memory_mib=256)
    ursa["kvmnet_guests"][2].update(network="nowhere", disks=[{"target": "vdb", "bus": "ide"}], depends=["mail"])
    ursa["kvmnet_guests"][3].update(name="web", state="stopped", vcpus=2, max_vcpus=1)
    ursa["kvmnet_images"]["debian-12"]["checksums"] = "sha256:1"
    assert [place.removeprefix("kvmnet_") for _host, place, _words in refused(ursa)] == [
        *("guests[0].firmwares", "guests[0].name", "guests[0].address"),
        *("guests[1].kernels", "guests[1].memory_mib", "guests[1].image"),
        *("guests[2].network", "guests[2].disks[0].bus", "guests[2].depends"),
        *("guests[3].name", "guests[3].max_vcpus"),
        "images.debian-12.checksums",
    ]


JUNK = [
    *("", "x", "512M", "/x", "kvm", "a\0b", "192.168.0.9", None, -1, 0, 2**40, True, 1.5),
    *([], [1], ["a"], [None], [{}], [{"a": 1}], {}, {"a": 1}, Unresolved("{{ x }}", "x is undefined")),
]


@pytest.mark.parametrize("junk", JUNK, ids=[str(number) for number in range(len(JUNK))])
def test_whatever_is_written_somewhere_the_rest_is_still_checked(ursa, refused, junk):
    guests = ursa["kvmnet_guests"]
    for key in GUEST_RECORD.names():
        guests.append({"name": f"junk-{key}".replace("_", "-"), "network": "kvm", "image": "debian-12", key: junk})
    for name, options in (
        ("nics", NICS.kind.kind.names()),
        ("disks", DISK_SPEC),
        ("users", USER_SPEC),
        ("publish", PUBLISH.names()),
    ):
        for key in options:
            guests.append({"name": f"junk-{name}-{key}".replace("_", "-"), "network": "kvm", name: [{key: junk}]})
    for key in IMAGES.names():
        ursa["kvmnet_images"][f"junk-{key}"] = {"kernel": "/k", key: junk}
    guests.append({"name": "last", "network": "nowhere", "memory_mib": 512, "max_memory_mib": 256})
    guests.append(junk)
    last = f"kvmnet_guests[{len(guests) - 2}]"
    found = {place for _host, place, _words in refused(ursa)}
    assert {f"{last}.network", f"{last}.max_memory_mib"} <= found
