# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many hosts are one inventory and Ansible's own means: forks, serial, limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

FLEET = "playbooks/inventories/fleet"
NUMBERS = (1, 2, 3)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_host_has_its_own_guests(managed: Callable[[str], Host], tiny: Any, eventually: Any, number: int) -> None:
    host = managed(f"kvm{number}")
    for last, name in ((1, f"web{number}"), (2, f"db{number}")):
        guest = tiny(host, f"10.20.{number}.{last}")
        assert eventually(guest.says).get("name", "").split(".")[0] == name
        assert host.check_output(f"dig +short @10.20.{number}.254 {name}.kvm{number}.fleet.example").split() == [
            guest.address
        ]


@pytest.mark.parametrize("number", NUMBERS)
def test_each_guest_is_published_through_the_firewall(station: Any, number: int) -> None:
    said = station("client").fetch(f"http://198.51.100.2:808{number}/cgi-bin/index.cgi")
    assert said.get("name", "").split(".")[0] == f"web{number}"
    assert said.get("client") in station("client").addresses("eth0")


def test_one_host_after_the_other(site_playbook: Any) -> None:
    assert site_playbook(FLEET, "--extra-vars=kvmnet_serial=1") == {"gate": 0, "kvm1": 0, "kvm2": 0, "kvm3": 0}


def test_one_host_alone(site_playbook: Any) -> None:
    assert site_playbook(FLEET, "--limit=kvm2") == {"kvm2": 0}
