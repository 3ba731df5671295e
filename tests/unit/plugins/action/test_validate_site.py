# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""validate_site through the real ansible-playbook: templates, inventories, several hosts, no connection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet import plugins

ROOT = Path(next(iter(plugins.__path__))).parent
PLAYBOOK = ROOT / "playbooks" / "validate.yml"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ0ZXN0dGVzdHRlc3Q me@here"


def validate(inventory: Path, home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run validate.yml with a home of its own, and with an ssh that says so when it is called."""
    program = home / "ssh"
    program.write_text(f"#!/bin/sh\ntouch {home}/connected\nexit 255\n", encoding="utf-8")
    program.chmod(0o755)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "ANSIBLE_SSH_EXECUTABLE": str(program),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT.parents[2]),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "LANG": "C.UTF-8",
    }
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), str(PLAYBOOK), *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert not (home / "connected").exists()
    return done


def problems(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of the task's message."""
    message = done.stdout.split("msg: |-", 1)[-1].split("problems:", 1)[0]
    return [line.strip() for line in message.splitlines() if line.strip().startswith("- ")]


@pytest.mark.parametrize("name", ["article", "minimal", "fleet"])
def test_the_inventories_are_right(name: str, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text(f"{PUBLIC_KEY}\n", encoding="utf-8")
    done = validate(ROOT / "playbooks" / "inventories" / name, tmp_path, "--check", "--diff")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout


def test_the_article_reads_the_keys_of_who_runs_it(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text("no key at all\n", encoding="utf-8")
    done = validate(ROOT / "playbooks" / "inventories" / "article", tmp_path)
    assert done.returncode == 2
    assert [line.split(": ")[1] for line in problems(done)] == ["kvmnet_users[0].ssh_keys[0]"]


BROKEN = """
kvm_hosts:
  vars:
    kvmnet_management: {sources: [192.0.2.0/24]}
    kvmnet_images: {tiny: {kernel: /srv/k}}
  hosts:
    one:
      number: 1
      kvmnet_uplinks:
        - {name: isp, interface: eth0, address: 192.0.2.10/24, gateway: "{{ hostvars['two'].router }}"}
      kvmnet_networks:
        - {name: kvm, bridge: br0, address: "192.168.{{ number }}.254/24", dhcp_range: [192.168.1.1, 192.168.1.99]}
      kvmnet_guests:
        - {name: web, network: kvm, address: "192.168.{{ number + 1 }}.1", image: tiny}
        - {name: db, network: lan, addr: 192.168.1.100}
        - {name: old, network: kvm, address: 192.168.1.50, tap: tap-of-an-old-one}
    two:
      router: 198.51.100.1
      kvmnet_guest: []
      kvmnet_networks:
        - {name: kvm, bridge: br0, address: "{{ nowhere }}/24"}
      kvmnet_guests:
        - {name: web, network: kvm, address: 192.168.7.1, image: "{{ picture | default('tiny') }}"}
firewalls:
  hosts:
    gate:
      kvmnet_management: {sources: "{{ administrators }}"}
"""


def test_everything_is_said_at_once(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(BROKEN, encoding="utf-8")
    done = validate(inventory, tmp_path, "--limit", "one")
    assert done.returncode == 2
    assert problems(done) == [
        (
            "- one: kvmnet_uplinks[0].gateway: '198.51.100.1' is wrong; allowed: an address on the link of eth0, in "
            "192.0.2.0/24"
        ),
        (
            "- one: kvmnet_guests[0].address: '192.168.2.1' is wrong; allowed: an address in 192.168.1.0/24 "
            "(kvmnet_networks[0])"
        ),
        "- one: kvmnet_guests[1].addr: 'addr' is wrong; allowed: address is probably meant; the keys are "
        + problems(done)[2].partition("the keys are ")[2],
        "- one: kvmnet_guests[1].network: 'lan' is wrong; allowed: a name in kvmnet_networks (kvm)",
        (
            "- one: kvmnet_guests[2].tap: 'tap-of-an-old-one' is wrong; allowed: an interface name: at most 15 "
            "characters out of letters, digits, dot, hyphen and underscore; this one has 17"
        ),
        (
            "- one: kvmnet_guests[2].address: '192.168.1.50' is wrong; allowed: an address outside the dhcp_range "
            "192.168.1.1 to 192.168.1.99 (kvmnet_networks[0])"
        ),
        (
            "- two: kvmnet_guest: 'kvmnet_guest' is wrong; allowed: kvmnet_guests is probably meant (names that begin "
            "with kvmnet_ are reserved)"
        ),
        (
            "- two: kvmnet_networks[0].address: '{{ nowhere }}/24' is wrong; allowed: a value that can be resolved: "
            "'nowhere' is undefined"
        ),
        (
            "- two: kvmnet_guests[0].name: 'web' is wrong; allowed: a name that no other guest of the site has; "
            "kvmnet_guests[0] (web) of one has it"
        ),
        (
            "- gate: kvmnet_management.sources: '{{ administrators }}' is wrong; allowed: a value that can be "
            "resolved: 'administrators' is undefined"
        ),
    ]


def test_a_site_without_hosts_is_refused(tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("kvm_host: {hosts: {one: {kvmnet_management: {sources: [192.0.2.0/24]}}}}", encoding="utf-8")
    done = validate(inventory, tmp_path)
    assert done.returncode == 2
    assert "at least one host in the group kvm_hosts or firewalls" in done.stdout
