# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One uplink: what a host with a single provider must do, and must not have."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

HOST, GUEST = "192.0.2.10", "192.168.10.1"
MINIMAL = "playbooks/inventories/minimal"
OTHER_GUEST = ["-i", str(Path(__file__).parents[1] / "inventory")]


@pytest.fixture(scope="module")
def kvm1(managed: Callable[[str], Host]) -> Host:
    return managed("kvm1")


def test_ansible_reaches_every_guest_as_soon_as_the_site_is_done(ansible: Callable[..., str]) -> None:
    """Debian 12 and 13, each through its KVM host, with what the inventory says alone."""
    plugin = str(Path(__file__).parents[2] / "guests/tests/kvmnet_guests.yml")
    trusting = "ansible_ssh_extra_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'"
    ping = ["-e", trusting, "guests", "-m", "ansible.builtin.ping", "--one-line"]
    said = ansible("ansible", MINIMAL, *OTHER_GUEST, "-i", plugin, *ping)
    assert sorted(re.findall(r"^(\S+) \| SUCCESS .*pong", said, re.MULTILINE)) == ["mail", "web"]


def test_it_is_debian_13(kvm1: Host) -> None:
    assert kvm1.check_output(". /etc/os-release; echo $VERSION_CODENAME") == "trixie"


def test_the_guest_has_exactly_its_address(guest_ssh: Any) -> None:
    shown = guest_ssh("kvm1", GUEST, "ip -4 -o address show scope global")
    assert re.findall(r"inet (\S+)", shown) == [f"{GUEST}/24"]


def test_the_guest_is_what_its_seed_says(guest_ssh: Any) -> None:
    ask = "hostname; cut -d. -f1 /etc/debian_version; id -un; sudo -n id -u; df --output=size -BM / | tail -1"
    name, release, user, root, size = guest_ssh("kvm1", GUEST, ask).split()
    assert (name, release, user, root) == ("web", "13", "admin", "0")
    # The image has 2 GiB, its disk 3
    assert int(size.rstrip("M")) > 2700


def test_names_forward_and_reverse(kvm1: Host) -> None:
    assert kvm1.check_output("dig +short @192.168.10.254 web.kvm.example").split() == [GUEST]
    assert kvm1.check_output(f"dig +short @192.168.10.254 -x {GUEST}").split() == ["web.kvm.example."]


def test_the_guest_leaves_under_the_host_s_address(guest_ssh: Any) -> None:
    said = guest_ssh("kvm1", GUEST, "curl --silent --max-time 10 http://198.51.100.77/")
    assert f"client={HOST}\n" in said


def test_a_published_port_leads_to_the_guest(guest_ssh: Any, station: Any, eventually: Any) -> None:
    listen = "sudo systemd-run --quiet --unit=web --socket-property=ListenStream=80 --socket-property=Accept=yes true"
    guest_ssh("kvm1", GUEST, f"systemctl --quiet is-active web.socket || {listen}")
    assert eventually(lambda: station("client").connects(HOST, 8080), seconds=30)


@pytest.mark.parametrize(("port", "open_"), [(22, True), (53, False), (16509, False)])
def test_only_ssh_is_open_to_those_who_manage(station: Any, port: int, open_: bool) -> None:
    assert station("controller").connects(HOST, port) is open_


def test_a_stranger_finds_nothing(station: Any) -> None:
    assert not station("client").connects(HOST, 22)


def test_there_are_no_providers(kvm1: Host) -> None:
    assert "default via 192.0.2.1 dev eth0" in kvm1.check_output("ip -4 route show default table main")
    assert {rule.split(":")[0] for rule in kvm1.check_output("ip -4 rule").splitlines()} == {"0", "32766", "32767"}


def test_check_mode_predicts_nothing_on_the_finished_host(site_playbook: Any) -> None:
    assert site_playbook(MINIMAL, *OTHER_GUEST, "--extra-vars=lab_suite=trixie", "--check") == {"kvm1": 0}
