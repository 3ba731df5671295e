# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import shutil
import struct
import subprocess

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._iso import image
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._seed import digest, seed

USER = {"name": "admin", "ssh_keys": ["ssh-ed25519 AAAA me\n"]}


def joliet(iso):
    """Read an image as a kernel does: the Joliet descriptor, its root, the files."""
    at = 16 * 2048
    while iso[at] != 2:
        assert iso[at + 1 : at + 6] == b"CD001"
        at += 2048
    label = iso[at + 40 : at + 72].decode("utf-16-be").strip()
    root = struct.unpack("<I", iso[at + 158 : at + 162])[0] * 2048
    files, here = {}, root
    while iso[here]:
        length, name_length = iso[here], iso[here + 32]
        where, size = (
            struct.unpack("<I", iso[here + 2 : here + 6])[0],
            struct.unpack("<I", iso[here + 10 : here + 14])[0],
        )
        assert iso[here + 6 : here + 10] == struct.pack(">I", where)
        if name_length > 1:
            name = iso[here + 33 : here + 33 + name_length].decode("utf-16-be")
            files[name] = iso[where * 2048 : where * 2048 + size]
        here += length
    return label, files


def test_image_holds_the_files():
    files = {"user-data": b"x" * 5000, "meta-data": b"", "network-config": b"n"}
    iso = image("cidata", files)
    assert joliet(iso) == ("cidata", files)
    assert len(iso) % 2048 == 0
    assert iso == image("cidata", dict(reversed(files.items())))


@pytest.mark.skipif(not shutil.which("isoinfo"), reason="isoinfo is not here: install genisoimage")
def test_another_program_reads_it(tmp_path):
    path = tmp_path / "seed.iso"
    path.write_bytes(image("cidata", {"user-data": b"hello\n"}))
    said = subprocess.run(["isoinfo", "-J", "-i", str(path), "-x", "/user-data"], capture_output=True, check=True)
    assert said.stdout == b"hello\n"


def test_documents():
    _label, files = joliet(seed("the-uuid", "web", "web.example", [USER], {"timezone": "UTC"}))
    assert json.loads(files["meta-data"]) == {"instance-id": "the-uuid", "local-hostname": "web"}
    first, _newline, rest = files["user-data"].partition(b"\n")
    assert first == b"#cloud-config"
    config = json.loads(rest)
    assert (config["hostname"], config["fqdn"], config["timezone"]) == ("web", "web.example", "UTC")
    assert config["users"] == [
        {
            "name": "admin",
            "shell": "/bin/bash",
            "lock_passwd": True,
            "ssh_authorized_keys": ["ssh-ed25519 AAAA me"],
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
        }
    ]
    assert "network-config" not in files


def test_the_users_own_data_wins():
    _label, files = joliet(seed("u", "web", None, [USER], {"users": ["default"]}, {"version": 2}))
    assert json.loads(files["user-data"].partition(b"\n")[2]) == {"hostname": "web", "users": ["default"]}
    assert json.loads(files["network-config"]) == {"version": 2}


def test_digest_changes_with_the_content():
    plain, other = seed("u", "web", None, []), seed("u", "web", None, [USER])
    assert digest(plain) != digest(other)
    assert digest(None) is None
