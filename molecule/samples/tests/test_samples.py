# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shorewall's samples: what each lets pass passes, what it drops stays silent, what it rejects is told so at once."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from testinfra.host import Host

ONE, TWO, THREE = "192.0.2.10", "192.0.2.20", "192.0.2.30"
WORKSTATION, DESK, SERVER = "10.1.0.1", "10.2.0.1", "10.3.0.1"
SAMPLES = {"one": "one-interface", "two": "two-interfaces", "three": "three-interfaces"}
# Nobody in particular, somewhere on the internet, where every port below is served; and its name server
SOMEWHERE, NAMES = "198.51.100.77", "203.0.113.53"
# Addresses of somebody outside: what is limited for each source counts them apart
STRANGERS = ("203.0.113.10", "203.0.113.11", "203.0.113.12")
OPEN, ANSWERED, REJECTED, DROPPED = "open", "answered", "rejected", "dropped"
# Kept alive for the proofs: a port of the host that has a listener, so that only the firewall can refuse it
LISTENING = 8081


@pytest.fixture(scope="module")
def at(managed: Callable[[str], Host], station: Callable[[str], Any]) -> Callable[[str], Any]:
    """Give a machine of the lab by its name."""
    hosts = {name: managed(name) for name in SAMPLES}
    return lambda name: hosts.get(name) or station(name)


@pytest.fixture(scope="module", autouse=True)
def _listener(at: Callable[[str], Any]) -> Iterator[None]:
    for name in SAMPLES:
        command = shlex.join(["nc", "-l", "-k", str(LISTENING)])
        at(name).check_output(f"systemd-run --quiet --collect --unit=kvmnet-listener {command}")
    yield
    for name in SAMPLES:
        at(name).check_output("systemctl stop kvmnet-listener")


def rows(text: str) -> list[list[str]]:
    """The rows of a Shorewall file, its variables resolved."""
    plain = text.replace("$FW", "fw").replace("$LOG_LEVEL", "info")
    return [line.split() for line in plain.splitlines() if line.strip() and line[0] not in "#?"]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_policies_are_those_of_the_sample(at: Callable[[str], Any], name: str) -> None:
    sample = at(name).check_output(f"cat /usr/share/doc/shorewall/examples/{SAMPLES[name]}/policy")
    assert rows(at(name).check_output("cat /etc/shorewall/policy")) == rows(sample)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_rule_of_the_sample_is_there(at: Callable[[str], Any], name: str) -> None:
    sample = at(name).check_output(f"cat /usr/share/doc/shorewall/examples/{SAMPLES[name]}/rules")
    have = rows(at(name).check_output("cat /etc/shorewall/rules"))
    assert [row for row in rows(sample) if row not in have] == []


# The scenario samples_swapped has them the other way round.
RELEASES = ("bookworm", "trixie") if os.environ["MOLECULE_SCENARIO_NAME"] == "samples" else ("trixie", "bookworm")


@pytest.mark.parametrize(("name", "suite"), [("one", RELEASES[0]), ("two", RELEASES[1]), ("three", RELEASES[0])])
def test_release(at: Callable[[str], Any], name: str, suite: str) -> None:
    assert at(name).check_output(". /etc/os-release; echo $VERSION_CODENAME") == suite


@pytest.mark.parametrize(("name", "forwards"), [("one", "0"), ("two", "1"), ("three", "1")])
def test_only_who_has_a_network_behind_it_forwards(at: Callable[[str], Any], name: str, forwards: str) -> None:
    assert at(name).check_output("cat /proc/sys/net/ipv4/ip_forward") == forwards


CONNECTIONS = [
    # One interface: everything out, nothing in
    ("controller", ONE, 22, OPEN),
    ("client", ONE, 80, DROPPED),
    ("client", ONE, LISTENING, DROPPED),
    ("one", SOMEWHERE, 80, OPEN),
    ("one", SOMEWHERE, 25, OPEN),
    # Two: out of loc everything; the host itself asks for names only, and tells loc what it refuses
    ("controller", TWO, 22, OPEN),
    ("client", TWO, 22, DROPPED),
    ("client", TWO, LISTENING, DROPPED),
    ("workstation", SOMEWHERE, 80, OPEN),
    ("workstation", SOMEWHERE, 25, OPEN),
    ("workstation", "10.1.0.254", 22, OPEN),
    ("workstation", "10.1.0.254", LISTENING, REJECTED),
    ("two", "127.0.0.1", LISTENING, OPEN),
    ("two", NAMES, 53, OPEN),
    ("two", SOMEWHERE, 80, REJECTED),
    ("two", WORKSTATION, 80, REJECTED),
    # Three: the servers reach nobody, and are reached by SSH from loc
    ("controller", THREE, 22, OPEN),
    ("client", THREE, 22, DROPPED),
    ("desk", SOMEWHERE, 80, OPEN),
    ("desk", "10.2.0.254", 22, OPEN),
    ("desk", "10.2.0.254", LISTENING, REJECTED),
    ("desk", SERVER, 22, OPEN),
    ("desk", SERVER, 80, REJECTED),
    ("server", NAMES, 53, OPEN),
    ("server", SOMEWHERE, 80, REJECTED),
    ("server", DESK, 22, REJECTED),
    ("server", "10.3.0.254", 22, REJECTED),
    ("three", SERVER, 22, REJECTED),
]


@pytest.mark.parametrize(("start", "address", "port", "end"), CONNECTIONS)
def test_connections(probe: Any, at: Callable[[str], Any], start: str, address: str, port: int, end: str) -> None:
    assert probe.knock(at(start), address, port) == end


PINGS = [
    ("client", ONE, DROPPED),
    ("client", TWO, DROPPED),
    ("client", THREE, DROPPED),
    ("one", STRANGERS[0], ANSWERED),
    ("two", STRANGERS[0], ANSWERED),
    ("two", WORKSTATION, ANSWERED),
    ("workstation", "10.1.0.254", ANSWERED),
    ("workstation", SOMEWHERE, ANSWERED),
    ("desk", SERVER, ANSWERED),
    ("server", DESK, ANSWERED),
    ("server", "10.3.0.254", ANSWERED),
    ("server", SOMEWHERE, ANSWERED),
    ("three", SERVER, ANSWERED),
]


@pytest.mark.parametrize(("start", "address", "end"), PINGS)
def test_pings(probe: Any, at: Callable[[str], Any], start: str, address: str, end: str) -> None:
    assert probe.ping(at(start), address) == end


@pytest.mark.parametrize(
    ("start", "address", "end"),
    [
        ("client", TWO, DROPPED),
        ("client", THREE, DROPPED),
        ("workstation", "10.1.0.254", "10.1.0.254"),
        ("server", SOMEWHERE, "10.3.0.254"),
        ("desk", SERVER, "10.2.0.254"),
    ],
)
def test_datagrams_are_rejected_by_the_firewall_and_by_nobody_else(
    probe: Any, at: Callable[[str], Any], start: str, address: str, end: str
) -> None:
    assert probe.send(at(start), address) == end


@pytest.mark.parametrize(("start", "address"), [("workstation", TWO), ("desk", THREE)])
def test_networks_leave_under_the_hosts_address(at: Callable[[str], Any], start: str, address: str) -> None:
    assert at(start).fetch(f"http://{SOMEWHERE}/").get("client") == address


@pytest.mark.parametrize(("url", "name"), [(f"http://{TWO}:8080/", "workstation"), (f"http://{THREE}/", "server")])
def test_a_forwarded_port_leads_behind_the_host(at: Callable[[str], Any], url: str, name: str) -> None:
    answer = at("client").fetch(url)
    assert (answer.get("name"), answer.get("client")) == (name, STRANGERS[0])


def test_a_redirected_port_is_answered_by_the_host_itself(probe: Any, at: Callable[[str], Any]) -> None:
    assert probe.knock(at("client"), SOMEWHERE, 2222) == REJECTED, "nobody listens there"
    assert "SSH-2.0-OpenSSH" in probe.knock(at("workstation"), SOMEWHERE, 2222, banner=True)


@pytest.mark.parametrize(("address", "port"), [(ONE, 22), (THREE, 25)])
def test_a_rate_is_counted_for_each_source(probe: Any, at: Callable[[str], Any], address: str, port: int) -> None:
    """Three at once, of however many; then the policy decides, which drops. Others do not suffer for it."""
    greedy, other = STRANGERS[1:]
    with ThreadPoolExecutor(6) as crowd:
        found = list(crowd.map(lambda _number: probe.knock(at("client"), address, port, greedy), range(6)))
    assert sorted(found) == [DROPPED] * 3 + [OPEN] * 3
    assert probe.knock(at("client"), address, port, other) == OPEN


def test_a_listed_address_may_more_than_others(probe: Any, at: Callable[[str], Any]) -> None:
    found = [probe.knock(at("client"), ONE, LISTENING, stranger) for stranger in STRANGERS]
    assert found == [DROPPED, DROPPED, OPEN]


def test_a_log_group_gets_the_packet_with_its_reason(probe: Any, at: Callable[[str], Any]) -> None:
    """A listener of the group, as ulogd2 is one, sees chain, verdict and packet."""
    record = "/run/kvmnet-telnet.pcap"
    listen = shlex.join(["timeout", "20", "tcpdump", "-i", "nflog:1", "-U", "-c", "1", "-w", record])
    at("one").check_output(f"systemd-run --quiet --collect --unit=kvmnet-nflog {listen}")
    deadline = time.monotonic() + 15
    # Its file has a header as soon as it listens
    while at("one").run(f"test -s {record}").rc != 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert probe.knock(at("client"), ONE, 23) == DROPPED
    assert "net-fw DROP" in at("one").check_output(f"sleep 0.5; strings -n 6 {record} || tr -cd '[:print:]' < {record}")


@pytest.mark.parametrize(("name", "address"), [("one", ONE), ("two", TWO), ("three", THREE)])
def test_the_policy_logs_what_it_drops(probe: Any, at: Callable[[str], Any], name: str, address: str) -> None:
    """Counted at the rule: outside the first network namespace the kernel itself keeps such lines from its log."""

    def lines() -> int:
        rules = at(name).check_output("iptables-save -c -t filter")
        (count,) = re.findall(r'^\[(\d+):\d+\] .* -j LOG --log-prefix "net-fw DROP "', rules, re.MULTILINE)
        return int(count)

    before = lines()
    assert probe.knock(at("client"), address, 5999) == DROPPED
    assert lines() > before
