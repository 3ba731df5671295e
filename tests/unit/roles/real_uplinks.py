# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the monitor's tests that runs in namespaces of its own: real Shorewall, the real monitor, real faults.

Arguments: the Debian root, the mode. Prints one JSON object: what was seen.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmark"))

import failover_net as lab

OURS = (*range(901, 904), 998, 32700, *range(31001, 31004))
BOTH_UP = {"comcast": "up", "avvanta": "up"}
PROGRAM = (
    "env",
    "PYTHONPATH=/usr/local/lib/kvmnet",
    "PYTHONDONTWRITEBYTECODE=1",
    "python3",
    "-m",
    "kvmnet_uplink_monitor",
)


def theirs(routing: tuple[str, str]) -> tuple[Any, Any]:
    """Without the tables and rules of the monitor."""
    routes = [each for each in json.loads(routing[0]) if not str(each.get("table", "")).startswith(("100", "200"))]
    return routes, [each for each in json.loads(routing[1]) if each["priority"] not in OURS]


def settled(net: lab.Net, seconds: float = 1.5) -> tuple[str, str]:
    """The routing once the monitor had time to look at it."""
    time.sleep(seconds)
    return net.routing()


class Run:
    """One network, and what was seen in it."""

    def __init__(self, root: Path, mode: str) -> None:
        self.place = lab.enter(sys.argv)
        third = mode == "shared"
        options = {"comcast": "balance", "avvanta": "track", "wireless": "track"} if third else {}
        self.net = lab.Net(root, mode, self.place, third, **options)
        self.log = self.place / "log"
        self.seen: dict[str, Any] = {}
        self.net.shorewall("start")
        self.pure = self.net.routing()

    def outage(self) -> None:
        net, seen = self.net, self.seen
        self.base = settled(net, 0.3)
        seen["untouched"] = theirs(self.base) == theirs(self.pure)
        begun = net.blackhole("gw1", True)
        seen["down after"] = net.wait({"comcast": "down"}) - begun
        out = settled(net, 0.3)
        seen["moved"] = "172.20.1.1" not in net.on_host("ip", "route", "show", "table", "250")
        for command in (("reload",), ("restart",), ("stop",), ("start",)):
            net.shorewall(*command)
            if command != ("stop",):
                seen[f"still out after {command[0]}"] = settled(net) == out
        ended = net.blackhole("gw1", False)
        seen["up after"] = net.wait(BOTH_UP) - ended
        seen["identical"] = settled(net, 0.5) == self.base

    def both(self) -> None:
        """With the last one down, it stays in use."""
        net = self.net
        net.blackhole("gw2", True)
        net.wait({"avvanta": "down"})
        net.blackhole("gw1", True)
        net.wait({"comcast": "down"})
        self.seen["last one kept"] = "via 172.20.1.1 " in net.on_host("ip", "route", "show", "table", "250")
        self.seen["drill refused"] = net.on_host(
            "sh", "-c", f"{' '.join(PROGRAM)} drill comcast down 2>&1", check=False
        )
        for gateway in ("gw1", "gw2"):
            net.blackhole(gateway, False)
        net.wait(BOTH_UP)
        self.seen["identical after both"] = settled(net, 0.5) == self.base

    def emptied(self) -> None:
        """The kernel empties tables when an address goes for a moment, as networkd lets it."""
        net = self.net
        net.on_host("ip", "address", "del", "172.20.1.130/24", "dev", "eth0")
        net.wait({"comcast": "absent"})
        net.on_host("ip", "address", "add", "172.20.1.130/24", "dev", "eth0")
        if net.mode == "addresses":
            # The kernel takes the second one of a network along with the first
            net.on_host("ip", "address", "add", "172.20.1.131/24", "dev", "eth0")
        net.wait(BOTH_UP, 20)
        after = settled(net)
        # In another order, where the kernel shows what is equal in the order of its making
        before, now = ([sorted(map(str, json.loads(text))) for text in routing] for routing in (self.base, after))
        self.seen["emptied tables are filled"] = [each for each in now[0] if each not in before[0]] == []
        self.seen["missing routes"] = [each for each in before[0] if each not in now[0]]
        self.seen["rules are all there"] = now[1] == before[1]

    def road(self) -> None:
        """The third one joins, the others lose their cable, they come back, it goes."""
        net, seen = self.net, self.seen
        net.on_host("ip", "link", "set", "wlan0", "up")
        net.unplugged("wlan0", False)
        net.on_host("ip", "address", "add", "172.22.1.50/24", "dev", "wlan0")
        net.wait({"wireless": "up"})
        joined = settled(net)
        net.shorewall("reload")
        seen["joined as Shorewall would have it"] = settled(net) == joined
        begun = net.unplugged("eth0", True)
        seen["carrier loss after"] = net.wait({"comcast": "absent", "avvanta": "absent", "wireless": "up"}) - begun
        time.sleep(0.3)
        balance = net.on_host("ip", "route", "show", "table", "250")
        seen["on the road"] = "dev wlan0" in balance and "eth0" not in balance
        net.shorewall("reload")
        seen["reload on the road"] = net.on_host("ip", "route", "show", "table", "250") == balance
        seen["started"] = "running" in net.shorewall("status")
        net.unplugged("eth0", False)
        net.wait(BOTH_UP)
        seen["home again"] = settled(net) == joined
        net.on_host("ip", "link", "set", "wlan0", "down")
        net.wait({"wireless": "absent"})
        seen["left"] = "172.22.1.1" not in net.on_host("ip", "route", "show", "table", "all", "default")

    def killed(self) -> None:
        """A verdict outlives the monitor; then everything of it goes."""
        net, seen = self.net, self.seen
        net.blackhole("gw1", True)
        net.wait({"comcast": "down"})
        out = settled(net)
        self.process.kill()
        self.process.wait()
        (net.root / "run/kvmnet/uplinks.json").unlink()
        self.process = net.monitor(self.log)
        states = []
        until = time.monotonic() + 3
        while time.monotonic() < until:
            states.append(net.state().get("comcast", {}).get("state", "down"))
            time.sleep(0.02)
        seen["states after a kill"] = sorted(set(states))
        seen["routes after a kill"] = net.routing() == out
        net.blackhole("gw1", False)
        net.wait(BOTH_UP)
        self.process.terminate()
        self.process.wait()
        net.on_host(*PROGRAM, "clear")
        seen["cleared"] = [each["priority"] for each in json.loads(net.routing()[1]) if each["priority"] in OURS]
        seen["files left"] = sorted(each.name for each in (net.root / "var/lib/kvmnet/uplinks").iterdir())

    def drill(self) -> None:
        net, seen = self.net, self.seen
        net.on_host(*PROGRAM, "drill", "avvanta", "down", "--seconds", "2")
        net.wait({"avvanta": "forced"})
        seen["drill"] = "172.20.1.1 " in net.on_host("ip", "route", "show", "table", "2", "default")
        net.wait(BOTH_UP)
        seen["status"] = net.on_host(*PROGRAM, "status").splitlines()[1].split()[:3]
        seen["identical after the drill"] = settled(net, 0.5) == self.base

    def run(self) -> dict[str, Any]:
        self.process = self.net.monitor(self.log)
        try:
            self.net.wait(BOTH_UP)
            time.sleep(0.5)
            self.outage()
            self.drill()
            self.both()
            self.emptied()
            if self.net.third:
                self.road()
            self.killed()
        finally:
            self.process.kill()
            self.process.wait()
        self.seen["log"] = self.log.read_text(encoding="utf-8").splitlines()
        return self.seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(Run(Path(sys.argv[1]), sys.argv[2]).run()))
