# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways that are learned, silent, or replaced: as data, and by real ARP between namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._info._gateways import answering, complete, warnings
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._gateways import resolve_macs

OLD, NEW = "02:00:00:00:00:01", "02:00:00:00:00:ff"
KNOWN = {"comcast": {"name": "comcast", "interface": "eth0", "gateway": "172.20.1.1", "gateway_mac": OLD}}


def entry(*macs: str, **changes: Any) -> dict[str, Any]:
    found = {"name": "comcast", "interface": "eth0", "gateway": "172.20.1.1", "origin": "kvmnet_uplinks[0]"}
    return {**found, "gateway_mac": list(macs or ["learn"]), **changes}


def resolve(
    wanted: dict[str, Any], answer: str | None, repin: bool = False, known: Any = None
) -> tuple[list[str], list[str], list[str]]:
    """Return the MAC addresses, what is wrong, and what is remarked."""
    entries = [wanted]
    known = KNOWN if known is None else known
    found = resolve_macs(entries, known, lambda *_unused: answer, lambda *_unused: answer, repin)
    return entries[0]["gateway_mac"], [problem.place() for problem in found.problems], found.remarks


class TestPins:
    def test_is_learned_once(self) -> None:
        assert resolve(entry(), NEW, known={}) == ([NEW], [], [])

    def test_that_cannot_be_learned_is_refused(self) -> None:
        assert resolve(entry(), None, known={}) == ([], ["kvmnet_uplinks[0].gateway_mac"], [])

    def test_one_that_is_the_same_is_not_mentioned(self) -> None:
        assert resolve(entry(), OLD) == ([OLD], [], [])

    def test_a_silent_one_keeps_its_pin(self) -> None:
        assert resolve(entry(), None) == resolve(entry(), None, repin=True) == ([OLD], [], [])

    def test_a_replaced_one_is_reported_and_keeps_its_pin(self) -> None:
        macs, wrong, (said,) = resolve(entry(), NEW)
        assert (macs, wrong) == ([OLD], [])
        assert said.startswith("kvmnet_uplinks[0].gateway_mac: the gateway 172.20.1.1 on eth0")
        assert OLD in said
        assert NEW in said
        assert "shorewall_repin_gateways: true" in said

    def test_it_is_taken_when_asked_for(self) -> None:
        assert resolve(entry(), NEW, repin=True) == ([NEW], [], [])

    def test_what_is_given_wins_and_nobody_is_asked(self) -> None:
        assert resolve(entry("02-00-00-00-00-AA"), NEW, repin=True) == (["02:00:00:00:00:aa"], [], [])

    def test_a_pair_may_answer_with_either(self) -> None:
        assert resolve(entry("learn", NEW), NEW) == ([OLD, NEW], [], [])

    @pytest.mark.parametrize("changes", [{"gateway": "172.20.1.9"}, {"interface": "eth1"}])
    def test_another_gateway_is_learned_anew(self, changes: dict[str, str]) -> None:
        assert resolve(entry(**changes), NEW) == ([NEW], [], [])


PROVIDERS = [{**KNOWN["comcast"], "number": "1"}, {"name": "line", "interface": "ppp0", "number": "2"}]
UPLINKS = [{"name": "comcast", "gateway": "172.20.1.1"}, {"name": "line", "gateway": None}]


class TestInfo:
    def told(self, mac: str, state: str = "STALE", marks: Any = ()) -> list[dict[str, Any]]:
        neighbours = [
            {"dst": "172.20.1.1", "dev": "eth0", "lladdr": mac, "state": [state]},
            {"dst": "172.20.1.9", "dev": "eth0", "state": ["FAILED"]},
        ]
        return complete(UPLINKS, PROVIDERS, marks, answering(neighbours))

    def test_the_same(self) -> None:
        found = self.told(OLD)
        assert [(uplink["gateway_mac"], uplink["gateway_mac_now"]) for uplink in found] == [(OLD, None), (None, None)]
        assert warnings(found) == []

    def test_another_one(self) -> None:
        found = self.told(NEW)
        assert found[0]["gateway_mac_now"] == NEW
        (said,) = warnings(found)
        assert OLD in said
        assert NEW in said
        assert "shorewall_repin_gateways" in said

    def test_one_that_does_not_answer(self) -> None:
        assert warnings(self.told(NEW, "FAILED")) == []

    def test_the_other_of_a_pair(self) -> None:
        assert warnings(self.told(NEW, marks=[{"source": f"eth0:~{NEW.replace(':', '-')}"}])) == []


ASK = """
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._arp import glance, neighbour
print(glance("near", "192.0.2.1"), neighbour("near", "192.0.2.1", tries=2))
"""


class Wire:
    """A cable between two network namespaces of our own, ended with the process that holds them."""

    def __init__(self) -> None:
        # What /sys says of cards is what was there when it was mounted.
        hold = ["unshare", "--net", "--mount", "sh", "-c", "mount -t sysfs sysfs /sys && echo ready && read line"]
        self.ends = [
            subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _unused in range(2)
        ]
        for end in self.ends:
            assert end.stdout is not None
            end.stdout.readline()
        far = str(self.ends[1].pid)
        self.inside(0, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far)
        self.inside(0, "ip", "address", "add", "192.0.2.2/24", "dev", "near")
        self.inside(0, "ip", "link", "set", "near", "up")
        self.inside(1, "ip", "link", "set", "far", "address", OLD)
        self.inside(1, "ip", "address", "add", "192.0.2.1/24", "dev", "far")
        self.inside(1, "ip", "link", "set", "far", "up")

    def inside(self, end: int, *argv: str) -> str:
        prefix = ["nsenter", f"--target={self.ends[end].pid}", "--net", "--mount"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [*prefix, *argv], check=True, capture_output=True, text=True, timeout=30, env=environment
        ).stdout

    def close(self) -> None:
        for end in self.ends:
            end.communicate("\n", timeout=10)


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/self/ns/net").exists(), reason="needs network namespaces")
class TestArp:
    @pytest.fixture(name="wire")
    def fixture_wire(self) -> Iterator[Wire]:
        wire = Wire()
        yield wire
        wire.close()

    def test_a_gateway_that_is_replaced_answers_with_another_address(self, wire: Wire) -> None:
        assert wire.inside(0, sys.executable, "-c", ASK).split() == [OLD, OLD]
        wire.inside(1, "ip", "link", "set", "far", "address", NEW)
        assert wire.inside(0, sys.executable, "-c", ASK).split() == [NEW, NEW]

    def test_one_that_is_silent_is_nobody(self, wire: Wire) -> None:
        wire.inside(1, "ip", "address", "del", "192.0.2.1/24", "dev", "far")
        assert wire.inside(0, sys.executable, "-c", ASK).split() == ["None", "None"]
        wire.inside(1, "ip", "link", "set", "far", "down")
        assert wire.inside(0, sys.executable, "-c", ASK).split() == ["None", "None"]
