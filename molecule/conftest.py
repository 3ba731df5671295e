# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands for the proofs: commands in the lab's simulated machines and in guests."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

ROOT = Path(__file__).parents[1]
LAB = ROOT / ".lab"
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"

# A rejected connection is told so by a reset; nobody says anything to a dropped one
KNOCK = """
import socket, sys
address, port, source, banner = sys.argv[1:]
try:
    wire = socket.create_connection((address, int(port)), 1.5, (source, 0) if source else None)
    print("open", wire.recv(80) if banner else "")
except ConnectionRefusedError:
    print("rejected")
except TimeoutError:
    print("dropped")
"""
# One echo request; the kernel counts the checksum of IPv6's
PING = """
import os, socket, struct, sys, time
six = ":" in sys.argv[1]
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return ~((total >> 16) + total & 0xFFFF) & 0xFFFF
mine = struct.pack("!HH", os.getpid() & 0xFFFF, 1)
kind, answer = (128, 129) if six else (8, 0)
head = struct.pack("!BBH", kind, 0, checksum(struct.pack("!BBH", kind, 0, 0) + mine))
family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
wire = socket.socket(family, socket.SOCK_RAW, protocol)
wire.sendto(head + mine, (sys.argv[1], 0))
deadline = time.monotonic() + 1.5
while (left := deadline - time.monotonic()) > 0:
    wire.settimeout(left)
    try:
        packet = wire.recv(200)[0 if six else 20:]
    except TimeoutError:
        continue
    if packet[0] == answer and packet[4:8] == mine:
        print("answered"); break
else:
    print("dropped")
"""
# One datagram; who says that nobody wants it, if anybody does
SEND = """
import socket, sys, time
six = ":" in sys.argv[1]
family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
wire = socket.socket(family, socket.SOCK_RAW, protocol)
socket.socket(family, socket.SOCK_DGRAM).sendto(b"", (sys.argv[1], 4444))
deadline = time.monotonic() + 1.5
while (left := deadline - time.monotonic()) > 0:
    wire.settimeout(left)
    try:
        packet, sender = wire.recvfrom(400)
    except TimeoutError:
        continue
    if packet[0 if six else 20:][:2] == (bytes([1, 4]) if six else bytes([3, 3])):
        print(sender[0]); break
else:
    print("dropped")
"""


def answers(text: str) -> dict[str, str]:
    """Read key=value lines of the lab's web servers. One that also speaks IPv6 calls its clients by IPv6 addresses."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {key: value.removeprefix("[::ffff:").removesuffix("]") for key, value in pairs}


class Station:
    """A simulated machine of the lab, such as a router, or somebody outside."""

    def __init__(self, name: str) -> None:
        self.prefix = [*([] if os.geteuid() == 0 else ["sudo", "-n"]), "ip", "netns", "exec", f"kvmnet-{name}"]

    def run(self, *argv: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command there; the caller looks at how it ended."""
        return subprocess.run([*self.prefix, *argv], capture_output=True, text=True, timeout=timeout, check=False)

    def fetch(self, url: str) -> dict[str, str]:
        """Ask a web server; an empty answer when none came."""
        return answers(self.run(sys.executable, "-c", FETCH, url).stdout)

    def connects(self, address: str, port: int, source: str | None = None) -> bool:
        """Whether a TCP connection comes about within three seconds."""
        sender = ["-s", source] if source else []
        return self.run("nc", "-n", "-z", "-w", "3", *sender, address, str(port)).returncode == 0

    def addresses(self, card: str) -> list[str]:
        """Return the addresses on one of its cards."""
        shown = json.loads(self.run("ip", "-j", "-4", "address", "show", "dev", card).stdout)
        return [entry["local"] for entry in shown[0]["addr_info"]]


class TinyGuest:
    """A guest of the lab's small image, asked by HTTP from its KVM host."""

    def __init__(self, host: Host, address: str) -> None:
        self.host = host
        self.address = address

    def ask(self, page: str, query: str = "") -> str:
        """Run one of its pages, which are programs in the guest."""
        url = f"http://{self.address}/cgi-bin/{page}?{query}"
        return str(self.host.run(f"curl --silent --max-time 20 {shlex.quote(url)}").stdout)

    def says(self) -> dict[str, str]:
        """Return how the guest's own web server sees itself and its client."""
        return answers(self.ask("index.cgi"))

    def fetch(self, url: str) -> dict[str, str]:
        """Let the guest ask a web server."""
        return answers(self.ask("fetch", url))


class Probe:
    """Finds out what becomes of packets."""

    @staticmethod
    def _ask(machine: Any, *argv: str) -> str:
        """Run a small program on a machine of the lab, simulated or managed, and return what it prints."""
        if isinstance(machine, Host):
            return str(machine.check_output(shlex.join(["python3", "-c", *argv]))).strip()
        done = machine.run(sys.executable, "-c", *argv)
        assert done.returncode == 0, done.stderr
        return str(done.stdout).strip()

    def knock(self, machine: Any, address: str, port: int, source: str = "", banner: bool = False) -> str:
        """Try a TCP connection; a word, and the banner if asked for."""
        return self._ask(machine, KNOCK, address, str(port), source, "banner" if banner else "")

    def ping(self, machine: Any, address: str) -> str:
        """Try an echo request."""
        return self._ask(machine, PING, address)

    def send(self, machine: Any, address: str) -> str:
        """Send a datagram that nobody expects."""
        return self._ask(machine, SEND, address)


@pytest.fixture(scope="session")
def probe() -> Probe:
    """Give what sends them."""
    return Probe()


@pytest.fixture(scope="session")
def managed() -> Callable[[str], Host]:
    """Give a managed host by its name in the inventory."""
    return lambda name: testinfra.get_host(f"ansible://{name}", ansible_inventory=str(LAB / "inventory.yml"))


@pytest.fixture(scope="session")
def station() -> Callable[[str], Station]:
    """Give a simulated machine by its name in the lab."""
    return Station


@pytest.fixture(scope="session")
def ssh_command() -> Callable[[str], list[str]]:
    """Give the beginning of an SSH command line to a managed host."""
    return lambda host: ["ssh", "-F", str(LAB / "ssh_config"), host]


@pytest.fixture(scope="session")
def guest_ssh(ssh_command: Callable[[str], list[str]]) -> Callable[[str, str, str], str]:
    """Run a command in a guest over SSH, through its KVM host, with the key of the lab."""

    def run(host: str, address: str, command: str) -> str:
        options = [
            f"ProxyCommand={shlex.join([*ssh_command(host), 'nc %h %p'])}",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ]
        argv = [*ssh_command(address), *(word for option in options for word in ("-o", option)), command]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Ask again until the answer is true: a guest that boots without hardware virtualisation takes its time."""

    def ask(question: Callable[[], Any], seconds: float = 180) -> Any:
        deadline = time.monotonic() + seconds
        while not (answer := question()) and time.monotonic() < deadline:
            time.sleep(2)
        return answer

    return ask


@pytest.fixture(scope="session")
def ansible() -> Callable[..., str]:
    """Run a program of Ansible's on the lab with an inventory and return what it prints."""

    def run(program: str, inventory: str, *arguments: str) -> str:
        argv = [program, "-i", str(ROOT / inventory), "-i", str(LAB / "inventory.yml"), *arguments]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
            "ANSIBLE_FORCE_COLOR": "false",
            "ANSIBLE_NOCOLOR": "true",
        }
        done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def site_playbook(ansible: Callable[..., str]) -> Callable[..., dict[str, int]]:
    """Run site.yml on the lab with an inventory and return how many tasks changed something on each host."""

    def run(inventory: str, *arguments: str) -> dict[str, int]:
        said = ansible("ansible-playbook", inventory, *arguments, str(ROOT / "playbooks" / "site.yml"))
        recap = said.rsplit("PLAY RECAP", 1)[1]
        return {host: int(count) for host, count in re.findall(r"^(\S+) .*changed=(\d+)", recap, re.MULTILINE)}

    return run


@pytest.fixture(scope="session")
def tiny() -> type[TinyGuest]:
    """Give a guest of the small image."""
    return TinyGuest
