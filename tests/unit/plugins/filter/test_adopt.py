# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.ursa.kvmnet.plugins.filter.adopt import shorewall_host_vars
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._arguments import config_arguments, zone_arguments

CONFIGURATION = {
    "zones": [{"name": "fw", "type": "firewall"}],
    "policy": [{"source": ["all"], "dest": ["all"], "policy": "REJECT"}],
    "settings": {"IP_FORWARDING": "On", "STARTUP_ENABLED": "Yes"},
    "scripts": {"started": 'echo "${#1}"\nrun {{ lookup("pipe", "id") }}\n'},
    "files": {"rules": "?if $A\n\tACCEPT net $FW\n?endif\n"},
    "rules": None,
    "pin_gateways": True,
}


def test_a_host_cannot_put_templates_into_the_inventory(tmp_path: Path) -> None:
    file = tmp_path / "shorewall.yml"
    file.write_text(shorewall_host_vars(CONFIGURATION, "ursa"))
    loader = DataLoader()
    variables = loader.load_from_file(str(file))
    found = Templar(loader=loader, variables=variables).template(variables)
    assert found == {
        "shorewall_zones": CONFIGURATION["zones"],
        "shorewall_policies": CONFIGURATION["policy"],
        "shorewall_settings": CONFIGURATION["settings"],
        "shorewall_scripts": CONFIGURATION["scripts"],
        "shorewall_files": CONFIGURATION["files"],
        "shorewall_rules": None,
        "shorewall_pin_gateways": True,
        "shorewall_base_settings": {},
    }


def test_text_of_several_lines_stays_readable() -> None:
    text = shorewall_host_vars(
        {"files": {"blrules": "DROP net:192.0.2.0/24 all\nDROP net:198.51.100.0/24 all\n"}}, "ursa"
    )
    assert (
        "    blrules: |\n      DROP net:192.0.2.0/24 all\n" in text
        or "  blrules: |\n    DROP net:192.0.2.0/24 all\n" in text
    )


@given(st.lists(st.text(" \ta#:-", max_size=6), min_size=1).map("\n".join))
def test_any_text_comes_back(text: str) -> None:
    assert yaml.safe_load(shorewall_host_vars({"files": {"rules": text}}, "ursa"))["shorewall_files"] == {"rules": text}


def test_tabs_do_not_make_it_unreadable() -> None:
    text = shorewall_host_vars({"files": {"rules": "\t# by hand\nACCEPT\tnet\t\t$FW\n"}}, "ursa")
    assert "rules: |\n" in text
    assert "ACCEPT\tnet\t\t$FW\n" in text


def test_the_role_knows_every_variable() -> None:
    options = {*zone_arguments(), *config_arguments()} - {"stage", "run_id", "family", "management", "exclusive"}
    read = dict.fromkeys(options | {"zones_exclusive"})
    variables = yaml.safe_load(shorewall_host_vars(read, "ursa", read))
    assert variables["shorewall_ipv6"] is True
    role = Path(__file__).parents[4] / "roles/shorewall/defaults/main.yml"
    assert set(variables) - set(yaml.safe_load(role.read_text())) == set()
