# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The article's firewall, staged on the root of a host."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import InvalidError, stage_config, stage_zones

CONF = """\
STARTUP_ENABLED=Yes

# comment that stays
LOGFORMAT="%s %s "
LOGFILE=/var/log/messages
ROUTE_FILTER=Yes   # trailing
IP_FORWARDING=Keep
"""
ZONES: list[dict[str, Any]] = [
    {"name": "fw", "type": "firewall"},
    {"name": "net", "interfaces": [{"name": "eth0", "options": ["tcpflags"]}], "origin": "kvmnet_uplinks[0]"},
    {"name": "kvm", "interfaces": [{"name": "br0", "options": ["dhcp", "routeback"]}], "origin": "kvmnet_networks[0]"},
]
MAC = {"172.20.1.1": "02:00:00:00:00:01", "172.20.1.254": "02:00:00:00:00:FE"}


def provider(name: str, gateway: str, index: int, **more: Any) -> dict[str, Any]:
    """Return a provider of the article's."""
    entry = {"name": name, "interface": "eth0", "address": "172.20.1.130", "gateway": gateway, "gateway_mac": ["learn"]}
    return entry | {"options": ["track", "loose"], "origin": f"kvmnet_uplinks[{index}]"} | more


CONFIG: dict[str, Any] = {
    "policy": [
        {"source": "fw", "dest": "net", "policy": "ACCEPT"},
        {"source": "net", "dest": "all", "policy": "DROP", "loglevel": "info"},
        {"source": "all", "dest": "all", "policy": "REJECT"},
    ],
    "rules": [{"action": "ACCEPT", "source": "net:172.20.1.0/24", "dest": "$FW", "proto": "tcp", "dport": "22"}],
    "snat": [{"action": "MASQUERADE", "source": "192.168.0.0/24", "dest": "eth0"}],
    "providers": [provider("comcast", "172.20.1.1", 0), provider("avvanta", "172.20.1.254", 1)],
    "rtrules": [{"dest": ["206.124.146.176/31"], "provider": "avvanta", "priority": "1000"}],
    "mangle": [{"provider": "avvanta", "source": "$FW", "dest": "0.0.0.0/0", "proto": "tcp", "dport": "21"}],
    "stoppedrules": [
        {"action": "ACCEPT", "source": "eth0:172.20.1.0/24", "dest": "$FW", "proto": "tcp", "dport": "22"}
    ],
    "management": {"sources": ["172.20.1.0/24"], "port": 22},
    "settings": {"ROUTE_FILTER": False, "IP_FORWARDING": "On", "LOGFILE": "systemd"},
}


@pytest.fixture(name="root")
def fixture_root(tmp_path: Path) -> Path:
    """Give the root of a host with Shorewall as its package delivers it."""
    (tmp_path / "etc/shorewall").mkdir(parents=True)
    (tmp_path / "etc/shorewall/shorewall.conf").write_text(CONF)
    template = tmp_path / "usr/share/shorewall/configfiles/shorewall.conf"
    template.parent.mkdir(parents=True)
    template.write_text(CONF)
    return tmp_path


def stage(
    root: Path, zones: list[dict[str, Any]] | None = None, config: dict[str, Any] | None = None
) -> tuple[Candidate, Any]:
    """Stage a configuration, that of the article by default."""
    candidate = Candidate(None, None, root)
    stage_zones(candidate, {"zones": zones or ZONES, "exclusive": True}, True)
    return candidate, stage_config(candidate, config or CONFIG, True, lambda _unused, address: MAC.get(address))


def install(root: Path, candidate: Candidate) -> None:
    """Let the host have what was staged."""
    for path, entry in candidate.entries.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry["state"] == "present":
            target.write_bytes(candidate.read(path) or b"")
            target.chmod(entry["mode"])


def text(candidate: Candidate, name: str) -> str:
    """Return a file of Shorewall's as it will be."""
    return (candidate.read(f"/etc/shorewall/{name}") or b"").decode()


def problems(root: Path, zones: list[dict[str, Any]] | None = None, config: dict[str, Any] | None = None) -> list[str]:
    """Return what is refused."""
    with pytest.raises(InvalidError) as caught:
        stage(root, zones, config)
    return [f"{problem.place()}: {problem.value}" for problem in caught.value.problems]


def changed(**changes: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the article's configuration with changes."""
    config = copy.deepcopy(CONFIG)
    for name, change in changes.items():
        change(config[name])
    return config
