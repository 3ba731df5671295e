# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of test_real_shorewall that runs inside a throw-away host: commits that go well, and that do not.

Prints one JSON object: what was said and what the host held after each commit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmark"))

from on_host import fresh

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply, _firewall
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _boot, _compile, _run

ZONES = {
    "zones": [
        {"name": "fw", "type": "firewall"},
        {"name": "net", "interfaces": [{"name": "eth0"}]},
        {"name": "kvm", "interfaces": [{"name": "br0", "options": ["routeback"]}]},
    ],
    "exclusive": True,
}
# The compiler cannot know that no such gateway is there.
FAILS = {"start": "run_ip route add 203.0.113.0/24 via 192.0.2.77\n"}


def shell(command: str) -> str:
    """Run a command line and return what it prints."""
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stdout.strip()


def config(port: int, **more: Any) -> dict[str, Any]:
    """The firewall, with a port that is open."""
    rule = {"action": "ACCEPT", "source": "net", "dest": "$FW", "proto": "tcp", "dport": str(port)}
    return {
        "policy": [
            {"source": "fw", "dest": "all", "policy": "ACCEPT"},
            {"source": "all", "dest": "all", "policy": "DROP"},
        ],
        "rules": [{**rule, "origin": "kvmnet_rules[3]"}],
        "stoppedrules": [{"action": "ACCEPT", "source": "eth0", "dest": "$FW", "proto": "tcp", "dport": "22"}],
        "settings": {
            "IP_FORWARDING": "On",
            "ROUTE_FILTER": "No",
            "AUTOMAKE": "No",
            "LOGFILE": "systemd",
            "DISABLE_IPV6": "Yes",
        },
        **more,
    }


def commit(wanted: dict[str, Any], family: str = "ipv4") -> dict[str, Any]:
    """Stage, compile and commit as the modules do, and say what the host holds then."""
    wanted = {**wanted, "family": family}
    compiled: list[int] = []
    compiler = _compile.compile_candidate

    def counting(*args: Any) -> Any:
        compiled.append(1)
        return compiler(*args)

    _compile.compile_candidate = counting
    candidate, said, empty = Candidate(None, None), "", False
    plan: list[str] = []
    try:
        _run.stage_zones(candidate, {**ZONES, "family": family}, False)
        staging = _run.stage_config(candidate, wanted, False, lambda *_: None)
        _run.compile_and_plan(staging)
        plan = staging.plan.lines()
        empty = candidate.empty
        if not empty:
            directory = Path("/etc/.kvmnet/candidate")
            candidate.save(directory)
            _apply.STATE.mkdir(parents=True, exist_ok=True)
            _apply.apply_candidate(directory)
    except _apply.ApplyError as error:
        said = str(error)
    finally:
        _compile.compile_candidate = compiler
    script = _firewall.firewall_script("shorewall")
    mark = _firewall.rules_mark(script.read_bytes()) if script.is_file() else ""
    return {
        "said": said,
        "empty": empty,
        "compiled": len(compiled),
        "plan": plan,
        "steps": [kind for kind, _key in candidate.steps],
        "started": _firewall.firewall_started(),
        "loaded": bool(mark) and _firewall.has_chain(mark),
        "open": [port for port in (22, 2222) if f"--dport {port} " in shell("iptables-save")],
        "in files": [port for port in (22, 2222) if f" {port}\n" in shell("cat /etc/shorewall/rules") + "\n"],
        "policy": shell("iptables -S INPUT | head -1"),
    }


def boot(*steps: str) -> dict[str, Any]:
    """Forget all rules, as a power cut does, and run what the boot runs."""
    shell("nft flush ruleset")
    said = "".join(shell(f"sh {_boot.PROGRAM} {step} 2>&1; echo rc=$?") for step in steps)
    return {
        "said": said,
        "compiled": "Compiling" in said,
        "started": _firewall.firewall_started(),
        "admitted": shell("iptables -S INPUT | grep -c -- '--dport 22 '"),
        "policies": shell("for f in iptables ip6tables; do $f -S INPUT; $f -S FORWARD; done | grep ^-P").splitlines(),
    }


def links() -> None:
    """Make the interfaces, and a host before anything was configured."""
    shell("ip link add eth0 type veth peer name peer && ip addr add 198.18.0.1/24 dev eth0 && ip link set eth0 up")
    shell("ip link add br0 type bridge && ip addr add 10.1.0.254/16 dev br0 && ip link set br0 up")
    fresh()


def main() -> None:
    links()
    results = {"first fails": commit(config(22, scripts=FAILS))}
    results["first"] = commit(config(22))
    results["same"] = commit(config(22))
    bad = {**config(22)["rules"][0], "action": "NOSUCH"}
    results["refused"] = commit(config(22, rules=[bad]))
    results["fails"] = commit(config(2222, scripts=FAILS))
    results["same again"] = commit(config(22))
    results["changed"] = commit(config(2222, closed_boot=True))
    results["closed"] = boot("close")
    results["closed, then started"] = boot("close", "start shorewall", "close")
    shell("echo '# by hand' >> /etc/shorewall/rules")
    results["edited"] = boot("close", "start shorewall")
    shell("sed -i s/^DISABLE_IPV6=.*/DISABLE_IPV6=No/ /etc/shorewall/shorewall.conf")
    results["IPv6 of others"] = boot("close")
    shell("sed -i s/^STARTUP_ENABLED=.*/STARTUP_ENABLED=No/ /etc/shorewall/shorewall.conf")
    results["disabled"] = boot("close", "start shorewall")
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
