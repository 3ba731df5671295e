# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests as hosts of an inventory, from that of their KVM hosts alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

ARTICLE = "playbooks/inventories/article"
TRUSTING = "ansible_ssh_extra_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'"
GUESTS = ["-i", str(Path(__file__).parent / "kvmnet_guests.yml"), "-e", TRUSTING]


def test_the_group_of_all_guests(ansible: Callable[..., str]) -> None:
    listed = ansible("ansible", ARTICLE, *GUESTS, "guests", "--list-hosts").split()
    assert {"debian32", "web", "ubuntu", "centos"} <= set(listed)


def test_ansible_reaches_the_guests(ansible: Callable[..., str], eventually: Any) -> None:
    """Through the KVM host. The small guests have no SSH server, and no Python."""

    def answer() -> bool:
        try:
            said = ansible("ansible", ARTICLE, *GUESTS, "guests", "--limit", "debian32", "-m", "ansible.builtin.ping")
        except (AssertionError, subprocess.TimeoutExpired):
            return False
        return "pong" in said

    assert eventually(answer)
