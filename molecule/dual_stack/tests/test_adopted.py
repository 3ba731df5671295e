# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in both firewalls is read back as host_vars with which the role changes nothing; leftovers are named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
ADDRESSES = {"old": "192.0.2.10", "new": "192.0.2.20", "wide": "10.30.0.1"}


def test_both_firewalls_are_adopted_as_they_are(ansible: Callable[..., str], packets: Any, tmp_path: Path) -> None:
    old = packets.hosts["old"]
    adopt = ["-e", f"kvmnet_adopt_directory={tmp_path}", str(ROOT / "playbooks/adopt.yml")]
    inventory = "molecule/dual_stack/inventory"
    old.check_output("printf 'eth9 -\\n' > /etc/shorewall6/routestopped")
    try:
        with pytest.raises(AssertionError, match="/etc/shorewall6/routestopped: 'routestopped' is wrong"):
            ansible("ansible-playbook", inventory, "--limit=old", *adopt)
    finally:
        old.check_output("rm /etc/shorewall6/routestopped")
    ansible("ansible-playbook", inventory, "-e", "kvmnet_adopt_overwrite=true", *adopt)

    hosts = {name: {"ansible_host": address, "ansible_user": "admin"} for name, address in ADDRESSES.items()}
    (tmp_path / "hosts.yml").write_text(json.dumps({"firewalls": {"hosts": hosts}}))
    text = (tmp_path / "host_vars/wide/shorewall.yml").read_text()
    assert "shorewall_ipv6_providers:\n" in text
    said = ansible("ansible-playbook", str(tmp_path), str(ROOT / "molecule/adopt/role.yml"))
    changed = dict(re.findall(r"^(\S+) .*changed=(\d+)", said.rsplit("PLAY RECAP", 1)[1], re.MULTILINE))
    assert changed == dict.fromkeys(ADDRESSES, "0")
