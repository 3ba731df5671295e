# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands on the providers: traffic through them, their deaths, and what a host makes of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._steps import WIRES, port_name

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CONVERSATIONS, RATE = 20, 15
SAMPLES = "/run/kvmnet-sampler.log"
SAMPLER = "/usr/local/lib/kvmnet-sampler.py"
UNIT = f"""[Unit]
DefaultDependencies=no
Before=network-pre.target sysinit.target
Wants=network-pre.target
[Service]
ExecStart=/usr/bin/python3 {SAMPLER}
StandardOutput=append:{SAMPLES}
[Install]
WantedBy=sysinit.target
"""


FIGURES: list[str] = []


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what was measured, also when all went well."""
    terminalreporter.section("Measured")
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figure() -> Callable[[str], None]:
    """Note a figure for the summary."""
    return FIGURES.append


@dataclass
class Traffic:
    """What a station saw: conversations, and new connections as (begun, client, seconds)."""

    flows: list[dict[str, Any]] = field(default_factory=list)
    fresh: list[tuple[float, str, float]] = field(default_factory=list)

    def seen(self, after: float = 0.0) -> set[str]:
        """Under which addresses new connections left; empty for one that failed."""
        return {client for begun, client, _unused in self.fresh if begun >= after}

    def noticed(self, good: str, after: float) -> float:
        """For how long new connections noticed: they did not leave by the good uplink, or only after a second try."""
        late = [begun for begun, client, took in self.fresh if begun >= after and (client != good or took > 0.5)]
        return max(late, default=after) - after


@dataclass
class Mode:
    """A host, its two providers (the first has the larger share) and the station behind it."""

    name: str
    host: Host
    desk: Any
    # Provider: its simulated router, and under which address the internet sees who leaves by it
    routers: Mapping[str, Any]
    outside: Mapping[str, str]

    @property
    def first(self) -> str:
        return next(iter(self.routers))

    @property
    def second(self) -> str:
        return list(self.routers)[1]

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Let the station talk; what it saw is there at the end."""
        argv = [*self.desk.prefix, sys.executable, str(HERE / "flows.py"), str(CONVERSATIONS), str(RATE)]
        found = Traffic()
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as talking:
            try:
                yield found
                output, _nothing = talking.communicate(timeout=30)
            finally:
                talking.kill()
        said = json.loads(output)
        found.flows, found.fresh = said["flows"], [tuple(entry) for entry in said["fresh"]]

    def states(self) -> dict[str, str]:
        """What the monitor says of each uplink."""
        shown = self.host.run("cat /run/kvmnet/uplinks.json")
        return {uplink["name"]: uplink["state"] for uplink in json.loads(shown.stdout or "{}").get("uplinks", [])}

    def waits_for(self, *states: str, seconds: float = 60) -> float:
        """Wait until the first and the second provider are so; returns when they were seen to be, or fails."""
        self.settles(lambda: [self.states().get(name) for name in self.routers] == list(states), seconds)
        return time.monotonic()

    def settles(self, question: Callable[[], Any], seconds: float = 60) -> None:
        """Wait until something is so, or fail."""
        deadline = time.monotonic() + seconds
        while not question():
            assert time.monotonic() < deadline, f"{self.name}: {self.states()} after {seconds} s"
            time.sleep(0.2)

    def routing(self) -> str:
        """All rules and routes of IPv4, as text, but for two habits of networkd's.

        The way out that it keeps for the time without Shorewall, in the table that is looked up last, is removed by
        Shorewall when it starts, and comes back when a cable is plugged in. And the route to a leased network has a
        metric after a boot, but not when the lease was there before.
        """
        text = str(self.host.check_output("ip -4 rule; ip -4 route show table all"))
        text = re.sub(r"(?m)^default .* table default proto (static|dhcp).*\n", "", text)
        return re.sub(r"(?m)( proto kernel scope link src \S+) metric 1024", r"\1", text)

    def settled(self, expected: str, seconds: float = 30) -> str:
        """Return the rules and routes, once they are as expected or the time is over."""
        deadline = time.monotonic() + seconds
        while (found := self.routing()) != expected and time.monotonic() < deadline:
            time.sleep(0.5)
        return found

    def blackhole(self, *providers: str) -> float:
        """Let routers swallow what they should forward; they still answer for themselves. Returns when."""
        for provider in providers:
            table = "add table ip cut { chain everything { type filter hook forward priority -300; policy drop; }; }"
            assert self.routers[provider].run("nft", table).returncode == 0
        return time.monotonic()

    def heal(self, *providers: str) -> float:
        """Let them forward again."""
        for provider in providers:
            assert self.routers[provider].run("nft", "delete", "table", "ip", "cut").returncode == 0
        return time.monotonic()

    def cable(self, card: str, state: str, node: str = "") -> float:
        """Pull the cable of a card (down), or plug it in again (up)."""
        done = self.wire("set", card, state, node=node)
        assert done.returncode == 0, done.stderr
        return time.monotonic()

    def wire(self, verb: str, card: str, *state: str, node: str = "") -> subprocess.CompletedProcess[str]:
        """Ask or change the wire's end of a cable."""
        prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
        argv = [*prefix, "ip", "-n", WIRES, "link", verb, port_name(node or self.name, card), *state]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def booted_with(self, cables: Mapping[str, str]) -> Callable[[], None]:
        """Have the cables so when the host is switched on the next time; returns what waits until that was done."""

        def there() -> bool:
            return all(self.wire("show", card).returncode == 0 for card in cables)

        def act() -> None:
            for wanted in (False, True):
                deadline = time.monotonic() + 60
                while there() != wanted and time.monotonic() < deadline:
                    time.sleep(0.02)
            for card, state in cables.items():
                self.cable(card, state)

        thread = threading.Thread(target=act)
        thread.start()
        return thread.join

    def gateways(self, state: str) -> None:
        """Pull the providers' routers out of the wire, or plug them in again."""
        for router in self.routers.values():
            self.cable("lan", state, router.prefix[-1].removeprefix("kvmnet-"))

    def samples(self) -> list[tuple[float, list[str], list[str]]]:
        """What the sampler has noted since the host was switched on."""
        lines = self.host.check_output(f"cat {SAMPLES}").splitlines()
        return [tuple(json.loads(line)) for line in lines if line.endswith("]")]

    def started(self) -> tuple[float, float]:
        """When the firewall's unit began to start, and when it was up."""
        names = [f"ExecMain{what}TimestampMonotonic" for what in ("Start", "Exit")]
        values = (self.host.check_output(f"systemctl show --value -p {name} shorewall") for name in names)
        begun, up = (int(value) / 1e6 for value in values)
        return begun, up


@pytest.fixture(scope="session")
def modes(managed: Callable[[str], Host], station: Any) -> dict[str, Mode]:
    """Each way to attach uplinks."""
    providers = {
        "shared": {"comcast": "comcast", "avvanta": "avvanta"},
        "macvlan": {"north": "north", "south": "south"},
        "separate": {"fibre": "fibre", "cable": "separate-eth2"},
    }
    found = {}
    for name, routers in providers.items():
        stations = {provider: station(router) for provider, router in routers.items()}
        # Public addresses are routed, private ones translated
        outside = {
            provider: "198.51.100.2" if provider == "fibre" else str(at.addresses("wan")[0])
            for provider, at in stations.items()
        }
        found[name] = Mode(name, managed(name), station(f"desk-{name}"), stations, outside)
    return found


@pytest.fixture(scope="session")
def everywhere(modes: dict[str, Mode]) -> Callable[[Callable[[Mode], Any]], dict[str, Any]]:
    """Do the same on all hosts at once."""

    def run(act: Callable[[Mode], Any]) -> dict[str, Any]:
        with ThreadPoolExecutor(len(modes)) as crowd:
            return dict(zip(modes, crowd.map(act, modes.values()), strict=True))

    return run


@pytest.fixture(scope="session")
def power_cycle() -> Callable[..., None]:
    """Pull the plug of hosts, and put it back."""

    def run(*hosts: str) -> None:
        extra = json.dumps({"lab_power": "power_cycled", "lab_power_hosts": list(hosts), "lab_dir": str(ROOT / ".lab")})
        argv = ["ansible-playbook", "-i", str(HERE.parent / "inventory"), "-e", extra]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
        }
        argv.append(str(ROOT / "playbooks" / "lab_power.yml"))
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def sampled(everywhere: Any) -> None:
    """Have the firewall's policies noted on every host, from now on and from early boot on."""
    program = shlex.quote((HERE / "sampler.py").read_text(encoding="utf-8"))

    def install(mode: Mode) -> None:
        mode.host.check_output(f"printf %s {program} > {SAMPLER}")
        mode.host.check_output(f"printf %s {shlex.quote(UNIT)} > /etc/systemd/system/kvmnet-sampler.service")
        mode.host.check_output("systemctl daemon-reload; systemctl enable --quiet --now kvmnet-sampler")

    everywhere(install)
