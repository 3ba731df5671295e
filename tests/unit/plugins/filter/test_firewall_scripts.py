# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The extension scripts that follow from the uplinks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet.plugins.filter.providers import firewall_scripts

FIXED = {"name": "fibre", "interface": "eth1", "address": "198.51.100.2/24", "gateway": "198.51.100.1"}
LEASED = {"name": "cable", "interface": "eth2", "address": "dhcp", "gateway": "dhcp"}


@pytest.mark.parametrize("uplinks", [None, [], [LEASED], [FIXED, FIXED | {"name": "other", "interface": "eth3"}]])
def test_none_where_shorewall_finds_every_gateway(uplinks: list[dict[str, str]] | None) -> None:
    assert firewall_scripts(uplinks) == {}


def test_finds_the_gateway_of_an_interface_beside_the_main_table(tmp_path: Path) -> None:
    fake = tmp_path / "ip"
    fake.write_text(
        '#!/bin/sh\n[ "$*" = "-4 route show table 253 dev eth2 default" ] && echo "default via 10.0.0.1 proto dhcp"\n'
    )
    fake.chmod(0o755)
    script = firewall_scripts([FIXED, LEASED])["findgw"]
    argv = ["sh", "-c", f"PATH={tmp_path}:$PATH; found() {{ {script}}}; found eth2; found eth9"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "10.0.0.1\n"
