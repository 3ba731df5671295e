# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._files import _contents, _converge, _sysctl, _units, _validate
from ansible_collections.ursa.kvmnet.plugins.module_utils._files._request import read_request
from ansible_collections.ursa.kvmnet.plugins.module_utils._files._units import UnitState
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Plan

STOPPED = UnitState(known=True, active=False, enabled=False, masked=False)
RUNNING = UnitState(known=True, active=True, enabled=True, masked=False)
UNKNOWN = UnitState(known=False, active=False, enabled=False, masked=False)
NAME = "x.service"


def params(**given: Any) -> dict[str, Any]:
    """The module's options as AnsibleModule completes them."""
    row = {"content": None, "mode": "0644", "force": True, "state": "present"}
    unit = {"enabled": None, "state": None, "masked": None, "paths": [], "action": None, "order": 50}
    commands = [{"undo": None, "before": False, "order": 55, **command} for command in given.pop("commands", [])]
    found: dict[str, Any] = {
        "validate": [],
        "commands": commands,
        "release": None,
        "stage": False,
        "run_id": None,
        **given,
    }
    found["files"] = [{**row, **file} for file in given.get("files", [])]
    found["exclusive"] = [{"prefix": "50-kvmnet-", **entry} for entry in given.get("exclusive", [])]
    found["units"] = [{"name": NAME, **unit, **entry} for entry in given.get("units", [])]
    return found


class Host:
    """A host's root in a directory, and what the module would do on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.candidate = Candidate(None, None, root)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def stage(self, state: UnitState = RUNNING, **given: Any) -> Plan:
        request, problems = read_request(params(**given))
        assert problems == []
        self.candidate = Candidate(None, None, self.root)
        return _converge.stage(request, self.candidate, {unit.name: state for unit in request.units})

    def steps(self) -> list[tuple[str, str, Any]]:
        ordered = sorted(self.candidate.steps.values(), key=lambda step: step["order"])
        return [(step["kind"], step["key"], step["args"].get("action")) for step in ordered]


@pytest.fixture(name="host")
def fixture_host(tmp_path: Path) -> Host:
    return Host(tmp_path)


class TestFiles:
    def test_new_changed_and_removed(self, host: Host) -> None:
        host.write("/etc/x/50-kvmnet-a", "one\ntwo\nthree\n")
        host.write("/etc/x/50-kvmnet-old", "")
        host.write("/etc/x/60-theirs", "")
        plan = host.stage(
            files=[
                {"path": "/etc/x/50-kvmnet-a", "content": "one\n2\nthree\nfour\n"},
                {"path": "/etc/x/50-kvmnet-new", "content": "1\n2\n", "mode": "0600"},
            ],
            exclusive=[{"directory": "/etc/x"}],
        )
        assert plan.lines() == [
            "~ file /etc/x/50-kvmnet-a: change",
            "    line 2: two -> 2",
            "    line 4: - -> four",
            "+ file /etc/x/50-kvmnet-new: create",
            "    mode: 0600",
            "    lines: 2",
            "- file /etc/x/50-kvmnet-old: delete",
        ]
        assert host.candidate.read("/etc/x/60-theirs") == b""
        assert host.candidate.read("/etc/x/50-kvmnet-old") is None

    def test_what_is_right_is_left_alone(self, host: Host) -> None:
        host.write("/etc/x/a", "text\n", 0o600)
        assert not host.stage(files=[{"path": "/etc/x/a", "content": "text\n", "mode": "600"}]).changed
        assert host.candidate.empty

    def test_a_mode_alone_is_a_change(self, host: Host) -> None:
        host.write("/etc/x/a", "text\n", 0o600)
        plan = host.stage(files=[{"path": "/etc/x/a", "content": "text\n"}])
        assert plan.lines() == ["~ file /etc/x/a: change", "    mode: 0600 -> 0644"]

    def test_without_force_a_file_is_only_made(self, host: Host) -> None:
        row = {"path": "/etc/x/a", "content": "ours\n", "force": False}
        assert host.stage(files=[row]).changed
        host.write("/etc/x/a", "theirs\n")
        assert not host.stage(files=[row], exclusive=[{"directory": "/etc/x", "prefix": "a"}]).changed

    def test_a_long_diff_is_cut_and_counted(self) -> None:
        after = "".join(f"{number}\n" for number in range(100)).encode()
        shown = _contents.line_changes(b"", after)
        assert len(shown) == _contents.LINES_SHOWN + 1
        assert shown["and"] == (None, "80 more lines")

    @pytest.mark.parametrize(("before", "after"), [(b"a\n", b"a"), (b"\xff\x00", b"\xff\x01\x02")])
    def test_a_diff_is_never_empty(self, before: bytes, after: bytes) -> None:
        assert _contents.line_changes(before, after)

    def test_a_line_that_goes_keeps_its_old_number(self) -> None:
        assert _contents.line_changes(b"a\nb\nc\n", b"a\nc\n") == {"old line 2": ("b", None)}


class TestUnits:
    RULES = (
        {"enabled": True, "state": "started", "paths": ["/etc/x/main"], "action": "restart"},
        {"paths": ["/etc/x/hosts"], "action": "reload"},
    )

    def files(self, main: str = "m\n", hosts: str = "h\n") -> list[dict[str, Any]]:
        return [{"path": "/etc/x/main", "content": main}, {"path": "/etc/x/hosts", "content": hosts}]

    @pytest.fixture(autouse=True)
    def _live(self, host: Host) -> None:
        host.write("/etc/x/main", "m\n")
        host.write("/etc/x/hosts", "h\n")

    def test_nothing_changes_nothing_happens(self, host: Host) -> None:
        assert not host.stage(files=self.files(), units=self.RULES).changed

    def test_the_least_that_is_needed(self, host: Host) -> None:
        plan = host.stage(files=self.files(hosts="new\n"), units=self.RULES)
        assert host.steps() == [("unit", NAME, "reload")]
        assert plan.lines()[-1] == f"~ unit {NAME}: change, reload, because /etc/x/hosts changes"

    def test_a_restart_covers_a_reload_and_says_why(self, host: Host) -> None:
        plan = host.stage(files=self.files("new\n", "new\n"), units=self.RULES)
        assert host.steps() == [("unit", NAME, "restart")]
        assert plan.lines()[-1].endswith("restart, because /etc/x/main changes")

    def test_a_unit_that_is_started_is_not_restarted_as_well(self, host: Host) -> None:
        host.stage(STOPPED, files=self.files("new\n"), units=self.RULES)
        assert host.steps() == [("unit", NAME, "enable-now")]

    def test_drift_without_any_changed_file(self, host: Host) -> None:
        plan = host.stage(STOPPED, files=self.files(), units=self.RULES)
        assert plan.lines() == [
            f"~ unit {NAME}: change",
            "    enabled: false -> true",
            "    running: false -> true",
        ]

    def test_a_running_unit_that_is_not_enabled(self, host: Host) -> None:
        state = UnitState(known=True, active=True, enabled=False, masked=False)
        host.stage(state, files=self.files("new\n"), units=self.RULES)
        assert host.steps() == [("command", f"enable {NAME}", None), ("unit", NAME, "restart")]

    def test_a_unit_that_is_not_ours_to_start_is_left_stopped(self, host: Host) -> None:
        host.stage(STOPPED, files=self.files(hosts="new\n"), units=[self.RULES[1]])
        assert host.steps() == []

    def test_masking_comes_before_starting_others_and_is_done_once(self, host: Host) -> None:
        plan = host.stage(units=[{"masked": True}, {"name": "y.service", "state": "started"}])
        assert host.steps() == [("command", f"mask {NAME}", None), ("command", f"stop {NAME}", None)]
        assert plan.lines()[1:] == ["    masked: false -> true", "    running: true -> false"]
        masked = UnitState(known=True, active=False, enabled=False, masked=True)
        assert not host.stage(masked, units=[{"masked": True}]).changed
        host.stage(masked, units=[{"masked": False, "state": "started"}])
        assert host.steps() == [("command", f"unmask {NAME}", None), ("unit", NAME, "start")]

    def test_what_is_done_by_a_command_says_how_it_is_undone(self, host: Host) -> None:
        host.stage(units=[{"masked": True}])
        undone = [step["args"]["undo"][1] for step in sorted(host.candidate.steps.values(), key=lambda s: s["order"])]
        assert undone == ["unmask", "start"], "in this order: what is masked cannot be started"

    def test_stopping_and_disabling(self, host: Host) -> None:
        host.stage(units=[{"enabled": False, "state": "stopped"}])
        assert host.steps() == [("unit", NAME, "disable-now")]
        assert not host.stage(STOPPED, units=[{"enabled": False, "state": "stopped"}]).changed

    @pytest.mark.parametrize(
        ("active", "enabled", "action"),
        [(True, True, "disable-now"), (True, False, "stop"), (False, True, "disable"), (False, False, None)],
    )
    def test_a_unit_whose_file_goes(self, host: Host, active: bool, enabled: bool, action: str | None) -> None:
        """A step of the unit's own, which the commit runs while systemd still knows the unit."""
        host.write("/etc/systemd/system/x@.service", "[Service]\n")
        state = UnitState(known=True, active=active, enabled=enabled, masked=False)
        files = [{"path": "/etc/systemd/system/x@.service", "state": "absent"}]
        host.stage(state, files=files, units=[{"name": "x@y.service", "enabled": False, "state": "stopped"}])
        assert host.steps() == ([("unit", "x@y.service", action)] if action else [])

    def test_networkd_is_restarted_by_its_own_step(self, host: Host) -> None:
        unit = {"name": "systemd-networkd.service", "paths": ["/etc/x/main"], "action": "restart"}
        host.stage(files=self.files("new\n"), units=[unit])
        assert host.candidate.steps[("networkd", "networkd")]["args"] == {"restart": True}

    def test_the_answer_of_systemctl(self) -> None:
        text = (
            "Id=a.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n"
            "Id=b.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n\n"
            "Id=c.service\nLoadState=masked\nActiveState=inactive\nUnitFileState=masked\n"
        )
        assert _units.parse_states(["a.service", "b.service", "c.service"], text) == {
            "a.service": RUNNING,
            "b.service": UNKNOWN,
            "c.service": UnitState(known=True, active=False, enabled=False, masked=True),
        }

    def test_a_unit_that_nobody_brings_is_refused(self, host: Host) -> None:
        request, _unused = read_request(params(units=[{"name": "x@y.service", "state": "started"}]))
        (problem,) = _converge.missing_units(request, host.candidate, {"x@y.service": UNKNOWN})
        assert problem.place() == "units[0].name"
        host.candidate.put("/etc/systemd/system/x@.service", "[Service]\n")
        assert _converge.missing_units(request, host.candidate, {"x@y.service": UNKNOWN}) == []


class TestSteps:
    def test_commands_run_when_what_they_depend_on_changes(self, host: Host) -> None:
        commands = [{"argv": ["modprobe", "m"], "paths": ["/etc/x/m"], "order": 10}]
        host.stage(files=[{"path": "/etc/x/m", "content": "m\n"}], commands=commands)
        assert host.steps() == [("command", "modprobe m", None)]
        assert host.candidate.steps["command", "modprobe m"]["args"] == {"argv": ["modprobe", "m"], "undo": []}
        host.write("/etc/x/m", "m\n")
        assert not host.stage(files=[{"path": "/etc/x/m", "content": "m\n"}], commands=commands).changed

    def test_a_command_that_only_its_undo_needs(self, host: Host) -> None:
        commands = [{"argv": [], "undo": ["x", "clear"], "paths": ["/etc/x/m"], "before": True}]
        plan = host.stage(files=[{"path": "/etc/x/m", "content": "m\n"}], commands=commands)
        assert host.candidate.steps["command", "x clear"]["args"] == {
            "argv": [],
            "undo": ["x", "clear"],
            "before": True,
        }
        assert [change.kind for change in plan.changes] == ["file"], "nothing of it runs now"
        _unused, problems = read_request(params(commands=[{"argv": [], "paths": []}]))
        assert [problem.place() for problem in problems] == ["commands[0].argv"]

    def test_kernel_settings_are_compared_with_the_kernel(self, host: Host) -> None:
        files = [{"path": "/etc/sysctl.d/50-x.conf", "content": "# why\nnet.ipv4.ip_forward = 1\n-net.none=2\n"}]
        host.write("/etc/sysctl.d/50-x.conf", files[0]["content"])
        host.write("/proc/sys/net/ipv4/ip_forward", "1\n")
        assert not host.stage(files=files).changed
        host.write("/proc/sys/net/ipv4/ip_forward", "0\n")
        plan = host.stage(files=files)
        assert plan.lines() == [
            "~ sysctl /etc/sysctl.d/50-x.conf: change",
            "    net.ipv4.ip_forward: 0 -> 1",
        ]
        assert host.steps() == [("sysctl", "/etc/sysctl.d/50-x.conf", None)]

    def test_sysctl_keys_with_dots_in_names(self) -> None:
        assert _sysctl.parse("net.ipv4.conf.eth0/100.rp_filter = 0\nnet/ipv4/conf/eth0.100/rp_filter=1 \t 2\n") == {
            "net/ipv4/conf/eth0.100/rp_filter": "1 2"
        }


class TestValidation:
    def test_sees_the_whole_directory_and_names_no_temporary_path(self, host: Host) -> None:
        host.write("/etc/x/user.conf", "user\n")
        request, _unused = read_request(
            params(
                files=[{"path": "/etc/x/50-kvmnet-a", "content": "a\n"}],
                exclusive=[{"directory": "/etc/x"}],
                validate=[["sh", "-c", "cat $0/etc/x/*; echo $0/etc/x; exit 1", "%s"]],
            )
        )
        _converge.stage(request, host.candidate, {})
        complete, (problem,) = _validate.validate(request, host.candidate, missing_allowed=False)
        assert complete
        assert problem.value == "a user /etc/x"
        assert problem.allowed.startswith("files that pass: sh -c")

    def test_quotes_the_line_that_a_message_points_to(self, host: Host) -> None:
        host.candidate.put("/etc/x/a", "one\ntwo\n")
        assert _validate.quote_line("bad at line 2 of /etc/x/a", host.candidate) == "bad at line 2 of /etc/x/a: two"
        assert _validate.quote_line("bad at line 9 of /etc/x/a", host.candidate) == "bad at line 9 of /etc/x/a"
        assert _validate.quote_line("bad", host.candidate) == "bad"

    def test_a_directory_that_empties_is_there_all_the_same(self, host: Host) -> None:
        request, _unused = read_request(
            params(exclusive=[{"directory": "/etc/x"}], validate=[["test", "-d", "%s/etc/x"]])
        )
        assert _validate.validate(request, host.candidate, missing_allowed=False) == (True, [])

    def test_a_missing_program_is_passed_over_only_where_that_is_allowed(self, host: Host) -> None:
        request, _unused = read_request(params(validate=[["no-such-program-here"], ["true"]]))
        assert _validate.validate(request, host.candidate, missing_allowed=True) == (False, [])
        _complete, (problem,) = _validate.validate(request, host.candidate, missing_allowed=False)
        assert problem.place() == "validate[0]"


def test_everything_wrong_is_reported_at_once() -> None:
    _request, problems = read_request(
        params(
            files=[
                {"path": "etc/x", "content": ""},
                {"path": "/etc/../x", "content": "", "mode": "rw"},
                {"path": "/etc/y", "mode": 0o644},
                {"path": "/etc/y", "state": "absent"},
            ],
            exclusive=[{"directory": "x", "prefix": "a/b"}],
            validate=[[]],
            units=[
                {"name": "x", "masked": True, "enabled": True},
                {"paths": ["/etc/typo"], "action": "reload"},
                {"name": "z.service", "action": "reload"},
            ],
            commands=[{"argv": [], "paths": ["/etc/y"], "order": 1}],
            release={"leases": "/l", "reservations": "/r", "interfaces": {"br0": "192.168.0.999/24"}},
            stage=True,
        )
    )
    assert sorted(problem.place() for problem in problems) == [
        "commands[0].argv",
        "exclusive[0].directory",
        "exclusive[0].prefix",
        "files[0].path",
        "files[1].mode",
        "files[1].path",
        "files[2].content",
        "files[2].mode",
        "files[3].path",
        "release.interfaces.br0",
        "run_id",
        "units[0].masked",
        "units[0].name",
        "units[1].paths",
        "units[2].paths",
        "validate[0]",
    ]
