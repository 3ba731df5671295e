# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests become inventory hosts, from the inventory alone."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet.plugins.filter.ssh import ssh_jump

COLLECTIONS = Path(__file__).parents[4] / ".ansible" / "collections"

HOSTS = """
all:
  children:
    kvm_hosts:
      hosts:
        ursa: {ansible_host: 192.0.2.1}
"""
GROUP = """
kvmnet_users: [{name: admin}]
kvmnet_networks: [{name: kvm, bridge: br0, domain: ex, address: 198.51.100.254/24}]
"""
HOST = """
base: 198.51.100
kvmnet_guests:
  - {name: web, network: kvm, address: "{{ base }}.1", image: debian-12}
  - {name: db, network: kvm, users: [{name: root}], nics: [{network: store}]}
  - {name: gone, network: kvm, state: absent}
"""


@pytest.fixture
def inventory(tmp_path):
    """Return what ansible-inventory makes of an inventory."""

    def run(host=HOST):
        for path, text in (
            ("hosts.yml", HOSTS),
            ("group_vars/all.yml", GROUP),
            ("host_vars/ursa.yml", host),
            ("kvmnet_guests.yml", "plugin: ursa.kvmnet.guests\n"),
        ):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")
        command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(tmp_path), "--list"]
        strict = {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"}
        return subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **strict})

    return run


def test_guests_are_hosts(inventory):
    done = inventory()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for group in ("guests", "guests_of_ursa", "network_kvm"):
        assert found[group]["hosts"] == ["web", "db"]
    assert found["network_store"]["hosts"] == ["db"]
    assert found["image_debian_12"]["hosts"] == ["web"]
    web, db = (
        {key: value.get("__ansible_unsafe") if isinstance(value, dict) else value for key, value in row.items()}
        for row in (found["_meta"]["hostvars"][name] for name in ("web", "db"))
    )
    assert (web["ansible_host"], web["ansible_user"], web["kvmnet_host"]) == ("198.51.100.1", "admin", "ursa")
    assert (db["ansible_host"], db["ansible_user"]) == ("db.ex", "root")
    assert web["ansible_ssh_common_args"] == "{{ hostvars['ursa'] | ursa.kvmnet.ssh_jump }}"


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("kvmnet_guests: web", "ursa: kvmnet_guests must be a list"),
        ("kvmnet_guests: [{network: kvm}]", "has no 'name'"),
        ("kvmnet_guests: [{name: ursa, network: kvm}]", "ursa is the name of another host"),
    ],
)
def test_what_is_wrong(inventory, host, message):
    done = inventory(host)
    assert done.returncode != 0
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("variables", "arguments"),
    [
        ({"ansible_host": "192.0.2.1"}, ["-o", "ProxyJump=192.0.2.1"]),
        (
            {"ansible_host": "2001:db8::1", "ansible_user": "me", "ansible_port": 2222},
            ["-o", "ProxyJump=me@[2001:db8::1]:2222"],
        ),
        (
            {"ansible_user": "me", "ansible_ssh_private_key_file": "/a b"},
            ["-o", "ProxyCommand=ssh -q -l me -i '/a b' -W [%h]:%p ursa"],
        ),
        (
            {"ansible_ssh_common_args": "-F '/lab dir/config' -o ControlPath=%d"},
            [
                *("-o", "ProxyCommand=ssh -q -F '/lab dir/config' -o ControlPath=%%d -W [%h]:%p ursa"),
                *("-F", "/lab dir/config", "-o", "ControlPath=%d"),
            ],
        ),
    ],
)
def test_the_way_through_a_host(variables, arguments):
    assert shlex.split(ssh_jump({"inventory_hostname": "ursa", **variables})) == arguments
