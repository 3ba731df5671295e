# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of test_real_shorewall that runs inside a throw-away host and is about long lists of addresses.

Prints one JSON object: what was said and what the host held after each commit.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from real_shorewall import FAILS, commit, config, links, shell

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _apply
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _adopt


def sets() -> dict[str, list[str]]:
    """The kernel's sets with their members."""
    found: dict[str, list[str]] = {name: [] for name in shell("ipset list -n").split()}
    for line in shell("ipset save").splitlines():
        if line.startswith("add "):
            found[line.split()[1]].append(line.split()[2])
    return {name: sorted(members) for name, members in found.items()}


def lists() -> dict[str, Any]:
    """Commit rules with long lists of addresses, as a user writes them, and say what the host held in between."""
    many = [f"198.51.100.{number}" for number in range(1, 200)]
    more = [*many, "203.0.113.9"]

    def blocked(addresses: list[str], *others: dict[str, Any]) -> dict[str, Any]:
        row = {"action": "DROP", "source": f"net:{','.join(addresses)}", "origin": "kvmnet_rules[0]"}
        rules = [{**row, "dest": "$FW"}, {**row, "action": "REJECT", "dest": "kvm"}, *config(22)["rules"], *others]
        return config(22, rules=rules)

    found: dict[str, Any] = {"many": many, "more": more}
    seen: dict[str, dict[str, list[str]]] = {}

    def step(name: str, wanted: dict[str, Any]) -> None:
        found[name] = commit(wanted)
        seen[name] = sets()
        found[name]["rule set"] = shell("iptables-save -t filter | grep -v '^#' | sed 's/\\[.*\\]//'")
        found[name]["rules file"] = shell("cat /etc/shorewall/rules")
        found[name]["match sets"] = shell("iptables-save").count("--match-set")
        found[name]["script"] = shell("sha256sum < /var/lib/shorewall/firewall")

    step("first", blocked(many))
    step("same", blocked(many[::-1]))
    step("swapped", blocked(more))
    found["adopted"] = _adopt.describe(Candidate(None, None))
    _apply.apply_candidate(shutil.copytree(_apply.STATE / "previous", Path("/etc/.kvmnet/undo")))
    seen["back"] = sets()
    step("back again", blocked(many))
    shell(f"ipset flush {next(iter(seen['first']))}")
    step("mended", blocked(many))
    step("refused", blocked(more, {**config(22)["rules"][0], "action": "NOSUCH"}))
    step("fails", {**blocked(many[:50]), "scripts": FAILS})
    step("other list", blocked(more, {"action": "ACCEPT", "source": "$FW", "dest": f"net:{','.join(many[:60])}"}))
    step("short", blocked(many[:3]))
    row = {"source": f"eth0:{','.join(many)}", "dest": "0.0.0.0/0", "proto": "tcp"}
    step(
        "everywhere",
        config(
            22,
            mangle=[{**row, "action": "MARK(5)"}],
            conntrack=[{**row, "action": "NOTRACK"}],
            accounting=[{**row, "action": "COUNT", "chain": "-"}],
            snat=[{"action": "MASQUERADE", "source": ",".join(many), "dest": "eth0"}],
        ),
    )
    step("long again", blocked(many))
    shell("/var/lib/shorewall/firewall stop; iptables -F; ipset destroy")
    found["boot"] = shell("/var/lib/shorewall/firewall start >&2; echo $?")
    seen["boot"] = sets()
    six = [f"2001:db8::{number:x}" for number in range(1, 60)]
    wanted = config(
        22, rules=[{"action": "DROP", "source": f"net:{','.join(f'[{one}]' for one in six)}", "dest": "$FW"}]
    )
    wanted["settings"] = {name: wanted["settings"][name] for name in ("IP_FORWARDING", "AUTOMAKE", "LOGFILE")}
    found["ipv6"] = commit(wanted, "ipv6")
    seen["ipv6"] = sets()
    return {**found, "sets": seen}


def main() -> None:
    links()
    sys.stdout.write(json.dumps(lists()))


if __name__ == "__main__":
    main()
