# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is watched, and the files of whoever watches it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.ursa.kvmnet.plugins.filter.uplinks import drill_problems, monitor_files, monitor_uplinks

COMCAST = {"name": "comcast", "interface": "eth0", "address": "172.20.1.130/24", "gateway": "172.20.1.1"}
AVVANTA = {"name": "avvanta", "interface": "eth0", "gateway": "172.20.1.254", "targets": ["203.0.113.5", "192.0.2.9"]}
FIBRE = {"name": "fibre", "interface": "eth1", "gateway": "198.51.100.1"}
CABLE = {"name": "cable", "interface": "eth2", "address": "dhcp", "gateway": "dhcp", "targets": ["203.0.113.5"]}
SETTINGS = {"program": "kvmnet", "interval_ms": 100, "hooks": ["/bin/true"]}
SOURCES = {
    "kvmnet_uplink_monitor/__init__.py": "# {{ not a template }}\n",
    "kvmnet-uplink-monitor.service": "[Unit]\n",
    "kvmnet-foolsm.service": "[Unit]\n",
    "foolsm/foolsm-run": "#!/usr/bin/env bash\n",
}
PROGRAM = "/usr/local/lib/kvmnet/kvmnet_uplink_monitor/__init__.py"
UNIT = "/etc/systemd/system/kvmnet-uplink-monitor.service"
CONFIGURATION = "/etc/kvmnet/uplink_monitor.json"
FOOLSM = ["/etc/systemd/system/kvmnet-foolsm.service", "/usr/local/lib/kvmnet/foolsm-run"]
VERDICTS = ["/var/lib/kvmnet/uplinks/init", "/var/lib/kvmnet/uplinks/down.json"]


def files(uplinks: list[dict[str, Any]] | None, **settings: Any) -> dict[str, dict[str, Any]]:
    watched = monitor_uplinks(uplinks)
    return {file["path"]: file for file in monitor_files(watched, SETTINGS | settings, SOURCES)}


def split(found: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    """What is to be there, and what is not."""
    absent = [path for path, file in found.items() if file.get("state") == "absent"]
    return sorted(set(found) - set(absent)), sorted(absent)


class TestWatched:
    def test_not_set_is_not_managed(self) -> None:
        assert monitor_uplinks(None) is None

    @pytest.mark.parametrize("uplinks", [[], [COMCAST]])
    def test_there_is_nothing_to_choose_from(self, uplinks: list[dict[str, Any]]) -> None:
        assert monitor_uplinks(uplinks) == []

    def test_each_with_the_interface_that_its_traffic_leaves_by(self) -> None:
        found = monitor_uplinks([COMCAST, AVVANTA | {"sharing": "macvlan"}, {"name": "ppp", "interface": "ppp0"}])
        assert [(entry["interface"], entry.get("gateway"), entry["targets"]) for entry in found or []] == [
            ("eth0", "172.20.1.1", []),
            ("avvanta", "172.20.1.254", ["203.0.113.5", "192.0.2.9"]),
            ("ppp0", None, []),
        ]
        assert [entry["source"] for entry in found or []] == [f"kvmnet_uplinks[{index}]" for index in range(3)]


class TestOurs:
    def test_program_unit_and_configuration(self) -> None:
        found = files([COMCAST, AVVANTA])
        assert split(found) == (sorted([PROGRAM, UNIT, CONFIGURATION]), sorted(FOOLSM))
        assert found[PROGRAM]["content"] == SOURCES["kvmnet_uplink_monitor/__init__.py"]
        written = json.loads(found[CONFIGURATION]["content"])
        assert written["interval_ms"] == 100
        assert written["hooks"] == ["/bin/true"]
        assert "program" not in written
        assert written["uplinks"][1] == {
            "name": "avvanta",
            "interface": "eth0",
            "gateway": "172.20.1.254",
            "family": 4,
            "targets": ["203.0.113.5", "192.0.2.9"],
        }

    def test_all_goes_with_the_last_choice(self) -> None:
        present, absent = split(files([COMCAST]))
        assert present == []
        assert absent == sorted([PROGRAM, UNIT, CONFIGURATION, *FOOLSM, *VERDICTS])

    def test_a_verdict_is_never_touched_while_it_may_hold(self) -> None:
        assert not set(VERDICTS) & set(files([COMCAST, AVVANTA]))


class TestFoolsm:
    def test_one_process_and_one_target_for_each_uplink(self) -> None:
        found = files([FIBRE, CABLE], program="foolsm")
        configurations = [f"/etc/kvmnet/foolsm/50-kvmnet-{name}.conf" for name in ("cable", "fibre")]
        assert split(found) == (
            sorted([*FOOLSM, *configurations]),
            sorted([PROGRAM, UNIT, CONFIGURATION, *VERDICTS]),
        )
        assert found[FOOLSM[1]]["mode"] == "0755"
        assert found[configurations[0]]["content"].splitlines()[0] == "# route cable eth2 dhcp 203.0.113.5"
        assert "  checkip=198.51.100.1\n  device=eth1\n" in found[configurations[1]]["content"]
        assert "# route" not in found[configurations[1]]["content"]

    def test_cannot_tell_apart_what_shares_an_interface(self) -> None:
        with pytest.raises(AnsibleFilterError) as caught:
            files([COMCAST, AVVANTA, FIBRE], program="foolsm")
        text = str(caught.value)
        assert "kvmnet_uplinks[0].interface: 'eth0' is wrong" in text
        assert "comcast is on this one too" in text
        assert "kvmnet_uplinks[2]" not in text

    @pytest.mark.parametrize(
        ("change", "place"),
        [
            ({"targets": []}, "kvmnet_uplinks[1].targets: "),
            ({"targets": ["198.51.100.1"]}, "kvmnet_uplinks[1].targets: "),
            ({"gateway": None}, "kvmnet_uplinks[1].gateway: is missing"),
        ],
    )
    def test_needs_something_to_ask(self, change: dict[str, Any], place: str) -> None:
        with pytest.raises(AnsibleFilterError, match="1 problem") as caught:
            files([FIBRE, CABLE | change], program="foolsm")
        assert place in str(caught.value)


class TestDrill:
    """A drill is for an uplink that works, beside another one that works, with somebody who moves its traffic."""

    @staticmethod
    def info(av: str = "up", com: str | None = "up", **monitor: Any) -> dict[str, Any]:
        states = {"av": av, "com": com}
        uplinks = [{"name": name, "state": state, "reason": "silence"} for name, state in states.items() if state]
        return {"uplinks": uplinks, "monitor": {"state": "running", "program": "kvmnet", **monitor}}

    def test_nothing_speaks_against_it(self) -> None:
        assert drill_problems(self.info(), "av") == []

    @pytest.mark.parametrize(
        ("info", "said"),
        [
            (info(com="down"), "it is the last one that works; com is down"),
            (info(com=None), "it is the last one that works; there is no other"),
            (info(av="down"), "it is down already: silence"),
            (info(av="forced"), "a drill is under way: silence"),
            (info(state="stopped"), "nobody would move its traffic; the monitor is stopped"),
            (info(state="not installed", program=None), "nobody would move its traffic; the monitor is not installed"),
            (info(program="foolsm"), "nobody would move its traffic; the monitor is foolsm, which has no drill"),
        ],
    )
    def test_what_speaks_against_it(self, info: dict[str, Any], said: str) -> None:
        assert drill_problems(info, "av") == [f"uplink av: {said}"]

    def test_one_that_is_not_there(self) -> None:
        assert drill_problems(self.info(), "x") == ["uplink x: there is no such one; there are av, com"]
        nothing = {"uplinks": [], "monitor": {"state": "stopped"}}
        assert drill_problems(nothing, "x") == ["uplink x: there is no such one; there are none"]


def test_everything_that_is_wrong_at_once() -> None:
    uplinks = [{"name": "a b", "interface": "eth1"}, {"name": "c", "interface": "eth2"}]
    with pytest.raises(AnsibleFilterError) as caught:
        monitor_files(uplinks, {"program": "lsm", "hooks": ["notify"]}, {})
    text = str(caught.value)
    assert "3 problems" in text
    for place in ("uplink_monitor_program: 'lsm'", "uplink_monitor_uplinks[0].name: 'a b'", "uplink_monitor_hooks[0]"):
        assert place in text
