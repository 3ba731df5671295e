# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewalls that somebody made by hand are adopted: nothing of them changes. Then they are changed, well and badly."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ADOPTED = ROOT / ".lab" / "adopted"
ADDRESSES = {"twelve": "192.0.2.10", "thirteen": "192.0.2.20"}
HOSTS = tuple(ADDRESSES)
DESKS = {"twelve": "desk", "thirteen": "bench"}
SOMEWHERE = "198.51.100.77"
COMPILER = "/usr/share/shorewall/compiler.pl"
GUARD = "/var/lib/kvmnet/guard"

# What the compiler takes and the host does not
RUN_TIME: dict[str, dict[str, Any]] = {
    "fails": {"scripts": {"start": "echo 'Otto says no' >&2; exit 1"}, "said": "Otto says no"},
    "exits": {"scripts": {"init": "exit 0"}, "said": "ran, but its rules are not loaded"},
    "interface": {
        "zones": [
            {
                "name": "loc",
                "interfaces": [
                    {"name": "LOC_IF", "options": ["tcpflags", "nosmurfs", "logmartians", "physical=$LOC_IF"]},
                    {"name": "eth9", "options": ["required"]},
                ],
            }
        ],
        "said": "Required interface eth9 not available",
    },
}


def play(playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook on both hosts; the caller looks at how it ended."""
    inventories = (HERE.parent / "inventory", ROOT / ".lab" / "inventory.yml", ADOPTED / "hosts.yml")
    argv = ["ansible-playbook", *(word for path in inventories for word in ("-i", str(path))), *arguments]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
        "ANSIBLE_FORCE_COLOR": "false",
        "ANSIBLE_NOCOLOR": "true",
    }
    argv.append(str(ROOT / playbook))
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, env=environment)


def counts(done: subprocess.CompletedProcess[str], word: str) -> dict[str, int]:
    """Return what the recap says of each host."""
    recap = done.stdout.rsplit("PLAY RECAP", 1)[1]
    return {host: int(count) for host, count in re.findall(rf"^(\S+) .*\b{word}=(\d+)", recap, re.MULTILINE)}


def role(*arguments: str) -> dict[str, int]:
    """Run the role and return how many tasks changed something on each host."""
    done = play("molecule/adopt/role.yml", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return counts(done, "changed")


def refused(*arguments: str) -> dict[str, str]:
    """Run the role, which has to fail on every host, and return what was said on each."""
    done = play("molecule/adopt/role.yml", *arguments)
    assert (done.returncode, counts(done, "failed")) == (2, dict.fromkeys(HOSTS, 1)), done.stdout + done.stderr
    assert counts(done, "unreachable") == dict.fromkeys(HOSTS, 0)
    said = re.findall(r"^fatal: \[(\w+)\]: FAILED! => \n((?:    .*\n)+)", done.stdout, re.MULTILINE)
    return {host: " ".join(yaml.safe_load(text)["msg"].split()) for host, text in said}


def given(**variables: Any) -> list[str]:
    """Say variables on the command line."""
    return ["--extra-vars", json.dumps(variables)]


def port_open(port: int) -> list[str]:
    """The inventory's one rule beside those that are there."""
    rule = {"action": "ACCEPT", "source": "net", "dest": "$FW", "proto": "tcp", "dport": port}
    place = {"before": {"action": "Backup(ACCEPT)"}}
    return given(shorewall_exclusive=False, shorewall_files={}, shorewall_rules=[rule | place])


class Firewall:
    """One of the hosts."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.address = ADDRESSES[name]

    def files(self) -> dict[str, str]:
        """Return the fingerprint, mode and owner of every file of the configuration."""
        about = "echo $f $(sha256sum <$f) $(stat -c '%a %U' $f)"
        command = f"cd /etc/shorewall; find . -type f | sort | while read f; do {about}; done"
        return dict(line.split(" ", 1) for line in self.host.check_output(command).splitlines())

    def times(self) -> str:
        """Return when which file was written, the compiled script among them."""
        command = "find /etc/shorewall /var/lib/shorewall/firewall -type f -printf '%p %i %T@\\n' | sort"
        return str(self.host.check_output(command))

    def text(self, name: str) -> list[str]:
        """Return a file's lines."""
        return str(self.host.check_output(f"cat /etc/shorewall/{name}; echo .")).splitlines()[:-1]

    def rules(self) -> list[str]:
        """Return what the kernel holds, without counters and Shorewall's own marks."""
        return [
            re.sub(r"\[\d+:\d+\]", "", line)
            for line in self.host.check_output("iptables-save").splitlines()
            if not re.search(r"^#|sha-[lr]h-", line)
        ]

    def state(self) -> tuple[Any, ...]:
        """Return everything that a failure must leave as it was."""
        return self.files(), self.rules(), self.host.run("shorewall status").rc


@pytest.fixture(scope="module")
def firewalls(managed: Callable[[str], Host]) -> dict[str, Firewall]:
    return {name: Firewall(managed(name), name) for name in HOSTS}


def on_all(firewalls: dict[str, Firewall], command: str) -> None:
    """Run a command on every host."""
    for firewall in firewalls.values():
        firewall.host.check_output(command)


@pytest.fixture(scope="module", autouse=True)
def _listeners(firewalls: dict[str, Firewall]) -> Iterator[None]:
    """Something that listens, so that only the firewall can refuse it."""
    for port in (8081, 8082):
        there = f"systemctl --quiet is-active listener-{port}"
        on_all(firewalls, f"{there} || systemd-run --quiet --collect --unit=listener-{port} nc -l -k {port}")
    yield
    on_all(firewalls, "systemctl stop listener-8081 listener-8082")


@pytest.fixture
def broken_compiler(firewalls: dict[str, Firewall]) -> Iterator[None]:
    """Whatever compiles, fails."""
    on_all(firewalls, "echo 'print STDERR \"   ERROR: nobody compiles here\\n\"; exit 77;' > /run/broken.pl")
    on_all(firewalls, f"mount --bind /run/broken.pl {COMPILER}")
    yield
    on_all(firewalls, f"umount {COMPILER}")


@pytest.fixture(scope="module")
def by_hand(firewalls: dict[str, Firewall]) -> dict[str, tuple[Any, ...]]:
    """Remember what was there, but for the leftovers."""
    return {name: firewall.state() for name, firewall in firewalls.items()}


@pytest.fixture(scope="module")
def first(by_hand: Any) -> subprocess.CompletedProcess[str]:
    """Adopt with everything that is left over still there."""
    (ADOPTED / "host_vars").mkdir(parents=True, exist_ok=True)
    (ADOPTED / "hosts.yml").write_text("all: {}\n")
    where = f"kvmnet_adopt_directory={ADOPTED}"
    return play("playbooks/adopt.yml", "-e", where, "-e", "kvmnet_adopt_overwrite=true")


@pytest.fixture(scope="module")
def adopted(first: Any, firewalls: dict[str, Firewall]) -> subprocess.CompletedProcess[str]:
    """Take away what is left over, as told, and adopt."""
    on_all(firewalls, "rm /etc/shorewall/masq /etc/shorewall/routestopped")
    where = f"kvmnet_adopt_directory={ADOPTED}"
    return play("playbooks/adopt.yml", "-e", where, "-e", "kvmnet_adopt_overwrite=true")


class TestAdopting:
    def test_leftovers_are_named_with_what_replaces_them(self, first: subprocess.CompletedProcess[str]) -> None:
        assert counts(first, "failed") == dict.fromkeys(HOSTS, 1)
        for name, replacement in (("masq", "snat"), ("routestopped", "stoppedrules")):
            asked = f"/etc/shorewall/{name}: '{name}' is wrong; allowed: no file of this name: move its rows to "
            said = " ".join(first.stdout.replace("''", "'").split())
            assert said.count(asked + replacement) >= 2, first.stdout

    def test_nothing_is_touched_by_reading(
        self, adopted: subprocess.CompletedProcess[str], firewalls: dict[str, Firewall], by_hand: dict[str, Any]
    ) -> None:
        assert adopted.returncode == 0, adopted.stdout + adopted.stderr
        for name, firewall in firewalls.items():
            files, rules, status = by_hand[name]
            kept = {path: about for path, about in files.items() if path not in ("./masq", "./routestopped")}
            assert firewall.state() == (kept, rules, status)
            assert status == 0

    def test_what_cannot_be_rows_is_text(self, adopted: subprocess.CompletedProcess[str]) -> None:
        variables = {name: yaml.safe_load((ADOPTED / f"host_vars/{name}/shorewall.yml").read_text()) for name in HOSTS}
        assert set(variables["twelve"]["shorewall_files"]) == {"rules", "params", "macro.Backup", "rules.d/mail"}
        assert variables["thirteen"]["shorewall_params"]["LOC_NET"] == "10.2.0.0/24"
        for one in variables.values():
            assert one["shorewall_snat"] == [
                {
                    "action": "MASQUERADE",
                    "source": ["$LOC_NET"],
                    "dest": ["NET_IF"],
                    "comment": "Everybody leaves under our address",
                }
            ]
            assert "otto-saw" in one["shorewall_scripts"]["started"]


@pytest.mark.usefixtures("adopted")
class TestUnchanged:
    def test_the_role_changes_nothing(self, firewalls: dict[str, Firewall]) -> None:
        before = {name: (firewall.state(), firewall.times()) for name, firewall in firewalls.items()}
        assert role("--check") == dict.fromkeys(HOSTS, 0)
        on_all(firewalls, "test ! -e /var/lib/kvmnet/shorewall-verified.json")
        assert role() == dict.fromkeys(HOSTS, 0)
        assert before == {name: (firewall.state(), firewall.times()) for name, firewall in firewalls.items()}
        on_all(firewalls, f"test ! -e {GUARD}/report.json")

    @pytest.mark.usefixtures("broken_compiler")
    def test_nothing_is_compiled(self) -> None:
        assert role() == dict.fromkeys(HOSTS, 0)
        said = refused("--check", *port_open(8081))
        assert all("nobody compiles here" in text for text in said.values()), said

    def test_nor_after_it_was_compiled_again_from_the_same_files(self, firewalls: dict[str, Firewall]) -> None:
        """As at each boot."""
        for firewall in firewalls.values():
            before = firewall.times()
            firewall.host.check_output("sleep 1; shorewall reload -c")
            assert firewall.times() != before
        on_all(firewalls, f"echo 'exit 77;' > /run/broken.pl; mount --bind /run/broken.pl {COMPILER}")
        try:
            assert role() == dict.fromkeys(HOSTS, 0)
        finally:
            on_all(firewalls, f"umount {COMPILER}")


@pytest.fixture(scope="module")
def one_rule(adopted: Any, firewalls: dict[str, Firewall], station: Any) -> dict[str, Any]:
    """Add one rule, and see what was before."""
    before = {
        name: (firewall.files(), firewall.text("rules"), station("client").connects(firewall.address, 8081))
        for name, firewall in firewalls.items()
    }
    assert role("--check", *port_open(8081)) == role(*port_open(8081)) == dict.fromkeys(HOSTS, 2)
    return before


class TestOneRule:
    def test_only_its_line_appears(self, one_rule: dict[str, Any], firewalls: dict[str, Firewall]) -> None:
        for name, firewall in firewalls.items():
            contents, lines, _unused = one_rule[name]
            now = firewall.text("rules")
            added = [line for line in now if line not in lines]
            assert [line.split() for line in added] == [["ACCEPT", "net", "$FW", "tcp", "8081"]]
            assert [line for line in now if line not in added] == lines
            assert now[now.index(added[0]) + 1].startswith("Backup(ACCEPT)")
            changed = {path for path, about in firewall.files().items() if contents.get(path) != about}
            assert changed == {"./rules", "./postcompile"}

    def test_packets(self, one_rule: dict[str, Any], firewalls: dict[str, Firewall], station: Any) -> None:
        for name, firewall in firewalls.items():
            assert not one_rule[name][2]
            assert station("client").connects(firewall.address, 8081)
            assert not station("client").connects(firewall.address, 8082)
            assert not station("client").connects(firewall.address, 22)
            # What was there before: masquerading, the conditional block, the macro, the included file
            assert station(DESKS[name]).fetch(f"http://{SOMEWHERE}/").get("client") == firewall.address
            assert station("client").fetch(f"http://{firewall.address}:8080/").get("name") == DESKS[name]
            assert station("client").connects(firewall.address, 25)

    @pytest.mark.usefixtures("one_rule", "broken_compiler")
    def test_again_nothing_changes_and_nothing_is_compiled(self) -> None:
        assert role(*port_open(8081)) == dict.fromkeys(HOSTS, 0)


@pytest.mark.usefixtures("one_rule")
class TestFailures:
    def fails(self, firewalls: dict[str, Firewall], *arguments: str) -> dict[str, str]:
        """Run the role, which has to fail and to leave everything as it was."""
        before = {name: firewall.state() for name, firewall in firewalls.items()}
        assert {status for _files, _rules, status in before.values()} == {0}
        said = refused(*arguments)
        assert before == {name: firewall.state() for name, firewall in firewalls.items()}
        return said

    def test_the_compiler_refuses(self, firewalls: dict[str, Firewall]) -> None:
        """The message has the inventory's key, the compiler's words, the file and the line."""
        rules = [
            {"from": "net", "to": "fw", "action": "ACCEPT", "proto": "tcp", "port": 8081},
            {"from": "net", "to": "fw", "action": "NOSUCH", "proto": "tcp", "port": 8082},
        ]
        # As the role has it where nothing was adopted
        derived = (
            "{{ kvmnet_networks | ursa.kvmnet.firewall_rules("
            "uplinks=kvmnet_uplinks, management=kvmnet_management, rules=kvmnet_rules) }}"
        )
        said = self.fails(
            firewalls,
            *given(shorewall_exclusive=False, shorewall_files={}, shorewall_rules=derived, kvmnet_rules=rules),
        )
        for text in said.values():
            assert text.startswith(
                "kvmnet_rules[1]: Shorewall's compiler says: Unknown ACTION (NOSUCH) in the row 'NOSUCH net"
            )
            assert re.search(r"\(/etc/shorewall/rules, line \d+\); remedy: ", text)

    @pytest.mark.parametrize(("twelve", "thirteen"), [("fails", "interface"), ("exits", "fails")])
    def test_it_compiles_and_does_not_run(self, firewalls: dict[str, Firewall], twelve: str, thirteen: str) -> None:
        """A script of the user's that fails, one that ends everything and calls it a success, a missing interface."""
        chosen = {"twelve": twelve, "thirteen": thirteen}
        variables = {
            "shorewall_scripts": {name: RUN_TIME[way].get("scripts", {}) for name, way in chosen.items()},
            "shorewall_zones": {name: RUN_TIME[way].get("zones", []) for name, way in chosen.items()},
        }
        own = {name: f"{{{{ {json.dumps(value)}[inventory_hostname] }}}}" for name, value in variables.items()}
        said = self.fails(firewalls, *port_open(8082), *given(shorewall_zones_exclusive=False, **own))
        for name, way in chosen.items():
            assert said[name].startswith("The commit was undone by the host: shorewall shorewall: ")
            assert RUN_TIME[way]["said"] in said[name]
            assert "Everything is as it was before (" in said[name]


# On each of the hosts one of each pair; a script that is held says so and waits
KILLS = [
    ("before the exchange", "during the script, in init"),
    ("after the exchange", "during the script, in start"),
    ("before the script", "before the exchange"),
]
HOLD = 'if [ "$(cat /run/kvmnet-hold 2>/dev/null)" = {} ]; then touch /run/kvmnet-held; sleep 60; fi\n'
HELD = given(shorewall_scripts={name: HOLD.format(name) for name in ("init", "start")})


@pytest.fixture(scope="module")
def killable(one_rule: Any, firewalls: dict[str, Firewall]) -> None:
    assert role(*port_open(8081), *HELD) == dict.fromkeys(HOSTS, 2)
    program = (HERE / "kill_at.py").read_text()
    on_all(firewalls, f"printf %s {shlex.quote(program)} > /run/kill_at.py")


@pytest.mark.usefixtures("killable")
@pytest.mark.parametrize("points", KILLS, ids=" / ".join)
def test_killed_it_is_old_or_new_and_the_next_run_converges(
    firewalls: dict[str, Firewall], station: Any, points: tuple[str, str]
) -> None:
    old = {name: firewall.files() for name, firewall in firewalls.items()}
    wanted = 8082 if station("client").connects(ADDRESSES["twelve"], 8081) else 8081
    port = given(
        shorewall_exclusive=False,
        shorewall_files={},
        shorewall_rules=[
            {"action": "ACCEPT", "source": "net", "dest": "$FW", "proto": "tcp", "dport": wanted},
            {
                "action": "ACCEPT",
                "source": "net",
                "dest": "$FW",
                "proto": "tcp",
                "dport": 8081 + 8082 - wanted,
                "state": "absent",
            },
        ],
    )
    assert role(*port, *HELD, *given(shorewall_commit=False)) == dict.fromkeys(HOSTS, 1)
    killed = {}
    for (name, firewall), point in zip(firewalls.items(), points, strict=True):
        done = firewall.host.run(f"setsid --wait python3 /run/kill_at.py {shlex.quote(point)}")
        assert done.rc == 137, f"{point}: {done.rc} {done.stderr}"
        killed[name] = firewall.files()
        firewall.host.check_output("rm -f /run/kvmnet-hold")
    assert role(*port, *HELD) != dict.fromkeys(HOSTS, 0)
    for (name, firewall), point in zip(firewalls.items(), points, strict=True):
        new = firewall.files()
        assert new != old[name]
        assert killed[name] == (old if point == "before the exchange" else {name: new})[name], point
        assert firewall.host.run("shorewall status").rc == 0
        assert station("client").connects(firewall.address, wanted)
        assert not station("client").connects(firewall.address, 8081 + 8082 - wanted)
    if points == KILLS[-1]:
        assert role(*port, *HELD) == dict.fromkeys(HOSTS, 0)
