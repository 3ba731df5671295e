# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A configuration that exists, read as data: given back to the modules it changes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._arguments import config_arguments, zone_arguments
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._files import Staging
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import stage_config, stage_zones

from ._adopted import ARTICLE, BASE, ODD, give_back, host, read

# Where Debian's package is unpacked; on a host it is the root itself.
SHOREWALL_ROOT = Path(os.environ.get("KVMNET_SHOREWALL_ROOT", "/"))
EXAMPLES = SHOREWALL_ROOT / "usr/share/doc/shorewall/examples"


def install(root: Path, configuration: dict[str, Any]) -> None:
    """Write on an empty host what the modules stage."""
    candidate = Candidate(None, None, root)
    stage_zones(candidate, configuration | {"exclusive": configuration["zones_exclusive"]}, True)
    stage_config(candidate, configuration, True, lambda *_: None)
    for path in candidate.entries:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(candidate.read(path) or b"")


class TestArticle:
    def test_changes_nothing_when_given_back(self, tmp_path: Path) -> None:
        found = read(host(tmp_path, ARTICLE))
        assert give_back(tmp_path, found["configuration"]) == []
        assert found["notes"] == []
        assert found["leftovers"] == []

    def test_is_rows_and_what_differs_from_the_package(self, tmp_path: Path) -> None:
        configuration = read(host(tmp_path, ARTICLE))["configuration"]
        assert configuration["files"] == {}
        assert configuration["settings"] == {"STARTUP_ENABLED": "Yes", "ROUTE_FILTER": "No", "IP_FORWARDING": "On"}
        assert configuration["zones"][2]["interfaces"] == [{"name": "br0", "options": ["dhcp", "routeback"]}]
        assert configuration["providers"][1]["gateway_mac"] == ["02:00:00:00:00:0b"]
        assert configuration["scripts"] == {"init": ARTICLE["init"]}
        assert configuration["zones_exclusive"] is True
        assert configuration["pin_gateways"] is True
        assert configuration["service_defaults"]["wait_interface"] == "ppp0 ppp1"

    def test_without_pins_it_gets_none(self, tmp_path: Path) -> None:
        found = read(host(tmp_path, {name: text for name, text in ARTICLE.items() if name != "init"}))
        assert found["configuration"]["pin_gateways"] is False
        assert give_back(tmp_path, found["configuration"]) == []

    def test_what_the_module_wrote_into_a_script_is_not_the_users(self, tmp_path: Path) -> None:
        host(tmp_path, {name: text for name, text in ARTICLE.items() if name != "init"})
        configuration = read(tmp_path)["configuration"] | {"pin_gateways": True, "scripts": {"init": "modprobe ifb\n"}}
        install(tmp_path, configuration)
        assert "# BEGIN ursa.kvmnet" in (tmp_path / "etc/shorewall/init").read_text()
        again = read(tmp_path)["configuration"]
        assert again["scripts"] == {"init": "modprobe ifb\n"}
        assert give_back(tmp_path, again) == []

    def test_makes_the_same_firewall_on_another_host(self, tmp_path: Path) -> None:
        configuration = read(host(tmp_path / "old", ARTICLE))["configuration"]
        other = host(tmp_path / "new", {})
        install(other, configuration)
        assert read(other)["configuration"] == configuration


@pytest.mark.parametrize("name", ODD)
def test_odd_ones_change_nothing_either(tmp_path: Path, name: str) -> None:
    found = read(host(tmp_path, BASE | ODD[name]))
    assert give_back(tmp_path, found["configuration"]) == []


@pytest.mark.parametrize("name", sorted(set(ODD) - {"interface_option"}))
def test_odd_ones_say_the_same_on_another_host(tmp_path: Path, name: str) -> None:
    configuration = read(host(tmp_path / "old", BASE | ODD[name]))["configuration"]
    other = host(tmp_path / "new", {})
    install(other, configuration)
    again = read(other)["configuration"]
    assert again == configuration


def test_a_file_is_not_read_anew_for_each_of_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_files: list[str] = []
    document = Staging.document
    monkeypatch.setattr(
        Staging,
        "document",
        lambda staging, name: read_files.append(name) or document(staging, name),
    )
    rules = "".join(f"ACCEPT net $FW tcp {port}\n" for port in range(1, 200))
    assert len(read(host(tmp_path, BASE | {"rules": rules}))["configuration"]["rules"]) == 199
    assert read_files.count("rules") < 5


def test_nothing_is_left_to_the_defaults_of_the_role(tmp_path: Path) -> None:
    """But what the inventory itself says: address lists, and who manages the host."""
    found = read(host(tmp_path, ARTICLE))["configuration"]
    options = {*zone_arguments(), *config_arguments()} - {"stage", "run_id", "family", "exclusive"}
    assert options - set(found) == {"ipsets", "management", "repin_gateways"}
    assert set(found) - options == {"zones_exclusive"}


@pytest.mark.parametrize("name", ["one-interface", "two-interfaces", "three-interfaces", "Universal"])
def test_debians_examples(tmp_path: Path, name: str) -> None:
    if not (EXAMPLES / name).is_dir():
        pytest.skip(
            "Debian's package shorewall is not here: install it, or set KVMNET_SHOREWALL_ROOT to a root that has it"
        )
    shutil.copytree(EXAMPLES / name, tmp_path / "etc/shorewall")
    shutil.copytree(
        SHOREWALL_ROOT / "usr/share/shorewall/configfiles", tmp_path / "usr/share/shorewall/configfiles", symlinks=True
    )
    found = read(tmp_path)
    assert give_back(tmp_path, found["configuration"]) == []
    assert set(found["configuration"]["files"]) <= {"README.txt"}
    assert found["configuration"]["zones_exclusive"] is True


WORDS = st.sampled_from(["-", "net", "kvm", "$FW", "all", "net:192.0.2.1", "kvm:192.168.0.0/24"])
ROW = st.tuples(
    st.sampled_from(["ACCEPT", "DROP:info", "SSH(ACCEPT)", "REJECT"]),
    WORDS,
    WORDS,
    st.sampled_from(["", "tcp", "udp 53", "tcp 22,80", "tcp 1:1023 - 192.0.2.9", "tcp 80 { rate=s:1/min }"]),
).map("\t".join)
FILLER = st.sampled_from(
    ["", "# a comment", "   ", "?COMMENT x", "?COMMENT", "?if 1", "?endif", "?SET X 1", "INCLUDE y"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(ROW, ROW, ROW, FILLER)), st.booleans())
def test_any_rules_change_nothing(tmp_path_factory: pytest.TempPathFactory, lines: list[str], ended: bool) -> None:
    root = host(tmp_path_factory.mktemp("host"), BASE | {"rules": "\n".join(lines) + ("\n" if ended else "")})
    assert give_back(root, read(root)["configuration"]) == []
