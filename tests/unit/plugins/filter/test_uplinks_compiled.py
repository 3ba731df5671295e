# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several uplinks, from the inventory to what Shorewall's own compiler makes of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.filter.firewall import (
    firewall_policies,
    firewall_stoppedrules,
    firewall_zones,
)
from ansible_collections.ursa.kvmnet.plugins.filter.providers import (
    firewall_conntrack,
    firewall_mangle,
    firewall_providers,
    firewall_rtrules,
    firewall_scripts,
    firewall_snat,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _compile
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import stage_config, stage_zones

ROOT = Path(os.environ.get("KVMNET_SHOREWALL_ROOT", "/"))

Compiler = Callable[[Path], dict[str, Any]]

COMCAST = {
    "name": "comcast",
    "interface": "eth0",
    "manage": True,
    "address": "172.20.1.130/24",
    "gateway": "172.20.1.1",
    "primary": True,
}
AVVANTA = {
    "name": "avvanta",
    "interface": "eth0",
    "sharing": "macvlan",
    "address": "172.20.1.131/24",
    "gateway": "172.20.1.254",
    "fallback": True,
    "destinations": ["206.124.146.176/31"],
    "services": [
        {"proto": "tcp", "port": 21, "helper": "ftp"},
        {"proto": "tcp", "port": 25, "from": "kvm"},
        {"proto": "udp", "port": 69, "helper": "tftp", "from": ["kvm"]},
    ],
}
SHARED = {"name": "shared", "interface": "eth0", "gateway": "172.20.1.253", "gateway_mac": "02:00:00:00:00:03"}
WIRELESS = {"name": "wireless", "interface": "wlan0", "address": "dhcp", "gateway": "dhcp", "fallback": True}
LINE = {"name": "line", "interface": "ppp0", "weight": 2, "sources": ["192.168.0.64/26"]}
NETWORKS = [{"name": "kvm", "bridge": "br0", "address": "192.168.0.254/24"}]
MANAGEMENT = {"sources": ["172.20.1.0/24"], "port": 22}


def compiled(compiler: Compiler, tmp_path: Path, uplinks: list[dict[str, Any]]) -> tuple[str, str]:
    """Return what the compiler said, and the script."""
    host = tmp_path / "host"
    conf = (ROOT / "etc/shorewall/shorewall.conf").read_text()
    for directory in ("etc/shorewall", "usr/share/shorewall/configfiles"):
        (host / directory).mkdir(parents=True)
        (host / directory / "shorewall.conf").write_text(conf)
    candidate = Candidate(None, None, host)
    providers = firewall_providers(uplinks) or []
    persistent = any("persistent" in provider["options"] for provider in providers)
    stage_zones(candidate, {"zones": firewall_zones(NETWORKS, uplinks), "exclusive": True}, True)
    config = {
        "policy": firewall_policies(NETWORKS, uplinks),
        "providers": providers,
        "rtrules": firewall_rtrules(uplinks),
        "mangle": firewall_mangle(uplinks, NETWORKS),
        "conntrack": firewall_conntrack(uplinks),
        "snat": firewall_snat(NETWORKS, uplinks),
        "stoppedrules": firewall_stoppedrules(MANAGEMENT, NETWORKS, uplinks),
        "scripts": firewall_scripts(uplinks),
        "settings": {
            "STARTUP_ENABLED": "Yes",
            "IP_FORWARDING": "On",
            "ROUTE_FILTER": "No",
            "USE_DEFAULT_RT": "Yes",
            "BALANCE_PROVIDERS": "No",
            "TRACK_PROVIDERS": "Yes",
            "RESTORE_DEFAULT_ROUTE": "No" if persistent else "Yes",
            "AUTOMAKE": "No",
        },
    }
    macs = {"172.20.1.1": "02:00:00:00:00:01"}
    stage_config(candidate, config, True, lambda _unused, address: macs.get(address))
    configuration = tmp_path / "work/configuration"
    configuration.mkdir(parents=True)
    _compile.export(candidate, configuration)
    done = compiler(configuration.parent)["configuration"]
    return done.said, done.script


@pytest.mark.parametrize(
    "uplinks",
    [
        [COMCAST, AVVANTA],
        [COMCAST, AVVANTA, WIRELESS],
        [COMCAST, AVVANTA, SHARED],
        [{**COMCAST, "sharing": "macvlan"}, AVVANTA, LINE],
    ],
    ids=["macvlan", "and a card that may be missing", "and an address that is shared", "and point-to-point"],
)
def test_the_compiler_takes_what_is_derived(
    shorewall_compiler: Compiler, tmp_path: Path, uplinks: list[dict[str, Any]]
) -> None:
    said, script = compiled(shorewall_compiler, tmp_path, uplinks)
    assert "ERROR" not in said
    assert "WARNING" not in said, "a setting does not go with what is derived"
    assert [name for uplink in uplinks if f"start_provider_{(name := uplink['name'])}()" not in script] == []


def test_what_may_be_missing_does_not_keep_the_firewall_from_starting(
    shorewall_compiler: Compiler, tmp_path: Path
) -> None:
    _unused, script = compiled(shorewall_compiler, tmp_path, [COMCAST, AVVANTA, WIRELESS])
    for name in ("eth0", "avvanta", "wlan0"):
        assert f"Interface {name} is not usable -- Provider" in script
    assert "Cannot be Started" not in script


def test_marks_are_those_of_the_providers(shorewall_compiler: Compiler, tmp_path: Path) -> None:
    _unused, script = compiled(shorewall_compiler, tmp_path, [COMCAST, AVVANTA])
    rules = [line for line in script.splitlines() if line.startswith("-A ") and ("MARK" in line or "-j CT" in line)]
    assert "-A tcpre -p 6 --dport 25 -i br0 -j MARK --set-mark 2" in rules
    assert "-A tcpre -p 17 -m helper --helper tftp -i br0 -j MARK --set-mark 2" in rules
    assert "-A tcout -p 6 -m helper --helper ftp -j MARK --set-mark 2" in rules
    assert "-A PREROUTING -p 17 --dport 69 -j CT --helper tftp" in rules
