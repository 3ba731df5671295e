# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What running a compiled script must not take along."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _firewall

STATIC = "default via 198.51.100.1 dev eth1 proto static linkdown \n"
LEASED = "default via 172.31.0.1 dev eth2 proto dhcp src 172.31.0.183 metric 1024 \n"
SHOREWALLS = "default via 192.0.2.1 dev eth3 \n"


@pytest.fixture(name="table")
def fixture_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The main table is a file, and ip a program that shows it and takes notes."""
    program = tmp_path / "ip"
    show = f'case "$*" in *"route show table main default") cat {tmp_path}/table ;;'
    program.write_text(f'#!/bin/sh\n{show} *) echo "$@" >>{tmp_path}/asked ;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    table = tmp_path / "table"
    table.write_text(STATIC + LEASED + SHOREWALLS)

    def load(key: str, script: Path, routing: bool) -> None:
        # As Shorewall does: what has no metric is its own.
        table.write_text(LEASED)

    monkeypatch.setattr(_firewall, "_run_script", load)
    return table


def asked(table: Path) -> str:
    notes = table.with_name("asked")
    return notes.read_text() if notes.exists() else ""


def test_the_default_route_of_the_network_configuration_outlives_the_last_provider(table: Path) -> None:
    script = table.with_name("firewall")
    script.write_text("# no providers\n")
    _firewall._load("shorewall", script, True)
    assert asked(table) == "-4 route replace default via 198.51.100.1 dev eth1 proto static\n"


def test_beside_providers_none_is_brought_back(table: Path) -> None:
    script = table.with_name("firewall")
    script.write_text("start_provider_fibre() {\n}\n")
    _firewall._load("shorewall", script, True)
    assert asked(table) == ""
