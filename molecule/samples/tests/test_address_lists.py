# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another address in a list, with a name or in a rule: no compiler, no reload, and no packet is lost meanwhile."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

INVENTORY = "molecule/samples/inventory"
ROOT = Path(__file__).parents[3]
ONE = "192.0.2.10"
# Whose packets must not be lost: in the lists before and after; who leaves, and who comes
STAYS, LEAVES, COMES = "203.0.113.12", "203.0.113.10", "203.0.113.11"
NAMED, LITERAL = 8091, 8092
COMPILER = "/usr/share/shorewall/compiler.pl"
MANY = [f"10.99.{high}.{low}" for high in range(2) for low in range(1, 251)]
# Answers whatever it is told, to many at once
ECHO = """
import socketserver, threading
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
for port in (8091, 8092):
    threading.Thread(target=Server(("", port), Echo).serve_forever).start()
"""
# Talks over one connection and opens others, until it is told to end. A packet that was lost had to be sent again,
# which the kernel counts.
TALK = """
import json, select, socket, sys, time
address, port, source = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def again(wire):
    return int.from_bytes(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)[100:104], sys.byteorder)
def open_one():
    return socket.create_connection((address, port), 5, (source, 0))
def speak(wire, text):
    wire.sendall(text)
    assert wire.recv(100) == text
count = {"answers": 0, "connections": 0, "sent again": 0}
with open_one() as kept:
    speak(kept, b"ready")
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        speak(kept, b"%d" % count["answers"])
        count["answers"] += 1
        with open_one() as other:
            speak(other, b"new")
            count["connections"] += 1
            count["sent again"] += again(other)
    count["sent again"] += again(kept)
print(json.dumps(count))
"""
# What the sets hold, seen again and again: each state that is met once
WATCH = """
import json, subprocess, sys, time
seen = []
while True:
    said = subprocess.run(["ipset", "save"], capture_output=True, text=True).stdout
    sets = {}
    for words in map(str.split, said.splitlines()):
        if words[0] == "create" and not words[1].startswith("kvmnet-new-"):
            sets[words[1]] = []
        elif words[0] == "add" and words[1] in sets:
            sets[words[1]].append(words[2])
    state = {name: sorted(members) for name, members in sorted(sets.items())}
    if state not in seen:
        seen.append(state)
        open("/run/kvmnet-seen.json", "w").write(json.dumps(seen))
    time.sleep(0.02)
"""


def variables(address: str) -> list[str]:
    """The host's inventory with one address in two lists: one with a name, a long one in a rule."""
    given = yaml.safe_load((ROOT / INVENTORY / "host_vars" / "one.yml").read_text(encoding="utf-8"))
    sources = {"net:+friends": NAMED, f"net:{','.join([*MANY, STAYS, address])}": LITERAL}
    more = [
        {"from": source, "to": "fw", "action": "ACCEPT", "proto": "tcp", "port": port}
        for source, port in sources.items()
    ]
    lists = [{"name": "friends", "addresses": ["198.51.100.0/28", STAYS, address]}]
    return [
        "--limit=one",
        "--extra-vars",
        json.dumps({"kvmnet_rules": given["kvmnet_rules"] + more, "kvmnet_address_lists": lists}),
    ]


def prepared(said: str) -> list[str]:
    """Return the plan of shorewall_config, out of what `ansible-playbook --diff` says."""
    task = said.partition("Stage everything else and compile it]")[2].partition("\nTASK [")[0]
    plan = r"^(?:[~+-] .*: (?:create|change|delete)\b.*| {4}[a-z ]+: .* -> .*)$"
    return [line.strip() for line in re.findall(plan, task, re.MULTILINE)]


class Watched:
    """What is there before and after a change."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def files(self) -> str:
        """Return which files there are and when they were written: the compiled script and Shorewall's state, too."""
        places = "/etc/shorewall /var/lib/shorewall"
        return str(self.host.check_output(f"find {places} -type f -printf '%p %i %s %T@\\n' | sort"))

    def lists(self) -> str:
        """Return the file of the sets, and when it was written."""
        return str(
            self.host.check_output("stat -c '%i %Y' /etc/kvmnet/shorewall.ipsets; cat /etc/kvmnet/shorewall.ipsets")
        )

    def members(self) -> dict[str, list[str]]:
        """Return what the sets of the kernel hold."""
        sets: dict[str, list[str]] = {}
        for line in self.host.check_output("ipset save").splitlines():
            words = line.split()
            if words[0] == "create":
                sets[words[1]] = []
            else:
                sets[words[1]].append(words[2])
        return {name: sorted(members) for name, members in sets.items()}

    def rules(self) -> list[str]:
        """Return the rules of the kernel."""
        said = self.host.check_output("iptables-save")
        return [re.sub(r"\[\d+:\d+\]", "", line) for line in said.splitlines() if not line.startswith("#")]

    def accepted(self) -> int:
        """Return how many connections the two rules let in since the rules were loaded."""
        said = self.host.check_output("iptables-save -c -t filter")
        found = re.findall(r"^\[(\d+):.* --match-set (?:friends|kvmnet4_\w+) src -j ACCEPT", said, re.MULTILINE)
        assert len(found) == 2, said
        return sum(map(int, found))


@pytest.fixture(scope="module")
def one(managed: Callable[[str], Host]) -> Watched:
    return Watched(managed("one"))


@pytest.fixture(scope="module")
def run(ansible: Callable[..., str]) -> Callable[..., tuple[str, int]]:
    """Run site.yml on the host; what it said, and how many tasks changed something."""

    def play(*arguments: str) -> tuple[str, int]:
        said = ansible("ansible-playbook", INVENTORY, "--diff", *arguments, str(ROOT / "playbooks" / "site.yml"))
        found = re.search(r"^one .*changed=(\d+)", said.rsplit("PLAY RECAP", 1)[1], re.MULTILINE)
        return said, int(found[1]) if found else -1

    return play


@pytest.fixture(scope="module")
def before(one: Watched, run: Callable[..., tuple[str, int]]) -> Iterator[dict[str, list[str]]]:
    """Bring the lists there, and take the compiler away. The inventory's firewall comes back at the end."""
    serve = shlex.join(["systemd-run", "--quiet", "--collect", "--unit=kvmnet-echo", "python3", "-c", ECHO])
    one.host.check_output(serve)
    run(*variables(LEAVES))
    one.host.check_output(f"echo 'exit 77;' > /run/broken.pl; mount --bind /run/broken.pl {COMPILER}")
    yield one.members()
    one.host.check_output(f"umount {COMPILER}; systemctl stop kvmnet-echo 'kvmnet-watch*'")
    run("--limit=one")


@pytest.fixture(scope="module")
def predicted(
    before: dict[str, list[str]], one: Watched, run: Callable[..., tuple[str, int]]
) -> tuple[list[str], int, bool]:
    """Ask for the other address in check mode; the plan, how many tasks it counts, and whether all stayed as it was."""
    was = one.files(), one.lists(), one.members(), one.rules()
    said, changed = run("--check", *variables(COMES))
    return prepared(said), changed, was == (one.files(), one.lists(), one.members(), one.rules())


def test_check_mode_says_which_addresses_and_changes_nothing(predicted: tuple[list[str], int, bool]) -> None:
    plan, _unused, same = predicted
    assert plan == [
        f"~ rule net:({len(MANY) + 2} addresses)->$FW ACCEPT tcp {LITERAL}: change",
        f"source added: - -> [{COMES}]",
        f"source removed: - -> [{LEAVES}]",
        "~ address list friends: change",
        f"added: - -> [{COMES}]",
        f"removed: - -> [{LEAVES}]",
    ]
    assert same


@pytest.fixture(scope="module")
def swapped(
    before: dict[str, list[str]],
    predicted: tuple[list[str], int, bool],
    one: Watched,
    station: Callable[[str], Any],
    run: Callable[..., tuple[str, int]],
) -> dict[str, Any]:
    """Put the other address in, with packets underway and the sets watched."""
    client = station("client")
    was = one.files(), one.rules(), one.accepted()
    watch = shlex.join(["systemd-run", "--quiet", "--collect", "--unit=kvmnet-watch", "python3", "-c", WATCH])
    talkers = []
    for port in (NAMED, LITERAL):
        argv = [*client.prefix, sys.executable, "-c", TALK, ONE, str(port), STAYS]
        pipe = subprocess.PIPE
        talkers.append(subprocess.Popen(argv, text=True, stdin=pipe, stdout=pipe, stderr=pipe))
    try:
        for talker in talkers:
            assert talker.stdout is not None
            assert talker.stdout.readline() == "ready\n"
        one.host.check_output(watch)
        said, changed = run(*variables(COMES))
        one.host.check_output("systemctl stop kvmnet-watch")
        counts = [talker.communicate("end\n", timeout=30) for talker in talkers]
    finally:
        for talker in talkers:
            talker.kill()
    now = one.files(), one.rules(), one.accepted()
    seen = json.loads(one.host.check_output("cat /run/kvmnet-seen.json"))
    return {"plan": prepared(said), "changed": changed, "counts": counts, "was": was, "now": now, "seen": seen}


def test_it_does_what_check_mode_said(swapped: dict[str, Any], predicted: tuple[list[str], int, bool]) -> None:
    assert (swapped["plan"], swapped["changed"]) == predicted[:2]
    assert swapped["changed"] > 0


def test_nothing_is_compiled_and_nothing_reloaded(swapped: dict[str, Any]) -> None:
    """There was no compiler. A reload writes Shorewall's state anew and counts from nought."""
    (files, rules, accepted), (files_now, rules_now, accepted_now) = swapped["was"], swapped["now"]
    assert "/var/lib/shorewall/state " in files
    assert files_now == files
    assert rules_now == rules
    connections = sum(json.loads(out.splitlines()[-1])["connections"] for out, _unused in swapped["counts"])
    assert accepted_now - accepted == connections + 2


def test_no_packet_is_lost(swapped: dict[str, Any]) -> None:
    for out, errors in swapped["counts"]:
        count = json.loads(out.splitlines()[-1])
        assert errors == ""
        assert count["sent again"] == 0
        assert min(count["answers"], count["connections"]) > 50


def test_nobody_ever_meets_half_a_list(swapped: dict[str, Any], before: dict[str, list[str]], one: Watched) -> None:
    """A set is the old one or the new one whenever it is looked at."""
    after = one.members()
    assert before.keys() == after.keys()
    assert len(before) == 2
    for name, members in before.items():
        assert LEAVES in members
        assert after[name] == sorted([*set(members) - {LEAVES}, COMES])
    seen = swapped["seen"]
    assert seen[0] == before
    assert seen[-1] == after
    assert all(state[name] in (before[name], after[name]) for state in seen for name in state)


@pytest.mark.parametrize("port", [NAMED, LITERAL])
def test_who_comes_gets_in_and_who_left_does_not(
    swapped: dict[str, Any], station: Callable[[str], Any], port: int
) -> None:
    client = station("client")
    assert [client.connects(ONE, port, address) for address in (STAYS, COMES, LEAVES)] == [True, True, False]


def test_once_more_changes_nothing(swapped: dict[str, Any], run: Callable[..., tuple[str, int]]) -> None:
    said, changed = run(*variables(COMES))
    assert (prepared(said), changed) == ([], 0)
