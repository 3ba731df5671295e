# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The monitor's files, its probes as bytes, and the programs that it runs."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from monitor import FILES, part

_config, _state, _control, _hooks = part("_config"), part("_state"), part("_control"), part("_hooks")
_probe, _netlink, _kernel, _main = part("_probe"), part("_netlink"), part("_kernel"), part("__main__")
CODE = sorted((FILES / "kvmnet_uplink_monitor").glob("*.py"))


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_a_file_is_short_enough_and_needs_nothing_but_python(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 400
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["import"] or (words[:1] == ["from"] and not words[1].startswith(".")):
            assert words[1].split(".")[0] in sys.stdlib_module_names, line


# The configuration


def test_the_smallest_configuration() -> None:
    config = _config.read_config('{"uplinks": [{"name": "comcast"}]}')
    assert config.targets == {"comcast": ()}
    assert (config.thresholds.interval, config.thresholds.down_after, config.thresholds.up_after) == (0.1, 1.0, 2.0)


def test_a_whole_configuration() -> None:
    given_ = {"interval_ms": 200, "down_after_ms": 3000, "up_after_ms": 5000, "window_s": 30, "loss_percent": 100}
    given_ |= {"latency_ms": 250, "hooks": ["/usr/local/bin/tell"]}
    uplink = {"name": "a", "interface": "eth0", "gateway": "dhcp", "family": 4, "targets": ["203.0.113.5"]}
    config = _config.read_config(json.dumps(given_ | {"uplinks": [uplink]}))
    assert config.targets == {"a": ("203.0.113.5",)}
    assert config.hooks == ("/usr/local/bin/tell",)
    assert config.thresholds.loss > 1, "off"
    assert (config.thresholds.window, config.thresholds.latency) == (30.0, 0.25)


def test_every_problem_is_told_at_once() -> None:
    given_ = {
        "interval_ms": 10,
        "down_after_ms": True,
        "loss_percent": 101,
        "colour": "blue",
        "hooks": ["tell"],
        "uplinks": [
            {"name": "a", "targets": ["gw.example", "0.0.0.0"]},
            {"name": "a"},
            {"family": 6, "name": "c", "x": 1},
        ],
    }
    with pytest.raises(_config.InvalidError) as invalid:
        _config.read_config(json.dumps(given_))
    told = str(invalid.value).splitlines()
    for word in ("colour", "interval_ms", "down_after_ms", "loss_percent", "hooks", "'gw.example'", "'0.0.0.0'"):
        assert any(word in line for line in told), word
    assert any(line.startswith("uplinks[1].name: 'a'") for line in told)
    assert any(line.startswith("uplinks[2].family: 6") for line in told)
    assert "uplinks[2].x: unknown key" in told


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"uplinks": {}}', '{"uplinks": [1]}'])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(_config.InvalidError):
        _config.read_config(text)


def test_detection_takes_at_least_three_probes() -> None:
    with pytest.raises(_config.InvalidError, match="at least 3 times"):
        _config.read_config('{"interval_ms": 500, "uplinks": []}')


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config"
    path.write_text('{"uplinks": []}')
    assert _main.main(["check", str(path)]) == 0
    path.write_text('{"uplinks": [], "x": 1}')
    assert _main.main(["check", str(path)]) == 1
    assert capsys.readouterr().err == "x: unknown key\n"


# What is remembered


@given(
    down=st.dictionaries(st.text("abc", min_size=1), st.text(), max_size=3),
    out=st.frozensets(st.text("abc", min_size=1), max_size=3),
)
def test_a_verdict_is_read_as_it_was_written(down: dict[str, str], out: frozenset[str]) -> None:
    since = dict.fromkeys(down, 1795464665.0)
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "lib", "down.json")
        _state.write(path, _state.Verdicts(down, since, out).text(), durable=True)
        assert _state.Verdicts.load(path) == _state.Verdicts(down, since, out)
        assert os.listdir(path.parent) == ["down.json"]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"down": 1, "out": []}', '{"down": {"a": {}}, "out": []}'])
def test_a_damaged_one_is_none(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "down.json"
    if text is not None:
        path.write_text(text)
    assert _state.Verdicts.load(path) == _state.Verdicts()


def test_exchanged_files_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "providers"
    seen = [_state.stamp(path)]
    for text in ("a", "b"):
        _state.write(path, text, durable=False)
        seen.append(_state.stamp(path))
    assert len(set(seen)) == 3


def test_status_is_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main.main(["--root", str(tmp_path), "status"]) == 1
    uplink = {"name": "comcast", "state": "down", "interface": "eth0", "gateway": None, "loss_percent": 100.0}
    uplink |= {"rtt_ms": None, "reason": "no answer for 1.0 s", "carries": False}
    _state.write(tmp_path / "run/kvmnet/uplinks.json", json.dumps({"uplinks": [uplink]}), durable=False)
    assert _main.main(["--root", str(tmp_path), "status"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "STATE", "INTERFACE", "GATEWAY", "LOSS", "RTT", "REASON"]
    assert row == "comcast  down (no traffic)  eth0       -        100 %  -    no answer for 1.0 s"


# The socket


def test_a_drill_is_asked_for_by_the_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run/kvmnet/uplink_monitor.sock"
    assert _main.main(["--root", str(tmp_path), "drill", "a", "down"]) == 1
    assert "does not answer" in capsys.readouterr().err
    control = _control.Control(path)
    assert path.stat().st_mode & 0o777 == 0o600
    asked: list[Any] = []

    def answer(question: dict[str, Any]) -> str:
        asked.append(question)
        return "" if question["to"] == "down" else "no"

    def serve() -> None:
        until = time.monotonic() + 5
        while len(asked) < 2 and time.monotonic() < until:
            control.serve(answer)
            time.sleep(0.01)

    thread = threading.Thread(target=serve)
    thread.start()
    assert _main.main(["--root", str(tmp_path), "drill", "a", "down", "--seconds", "5"]) == 0
    assert _main.main(["--root", str(tmp_path), "drill", "a", "up"]) == 1
    thread.join()
    control.close()
    assert asked[0] == {"name": "a", "to": "down", "seconds": 5.0}
    assert capsys.readouterr().err == "no\n"
    assert not path.exists()


# Programs


def test_hooks_run_by_themselves_and_not_for_ever(tmp_path: Path) -> None:
    said: list[str] = []
    hooks = _hooks.Hooks(lambda text, _level: said.append(text))
    told = tmp_path / "told"
    good, slow, bad = tmp_path / "good", tmp_path / "slow", tmp_path / "bad"
    good.write_text(f'#!/bin/sh\necho "$@" > {told}.new; mv {told}.new {told}\n')
    slow.write_text("#!/bin/sh\nexec sleep 100\n")
    bad.write_text("#!/bin/sh\nexit 3\n")
    for each in (good, slow, bad):
        each.chmod(0o755)
    now = time.monotonic()
    hooks.call([str(good), str(slow), str(bad), "/no/such"], ("comcast", "up", "down", "no answer"), now)
    assert time.monotonic() - now < 5
    until = time.monotonic() + 10
    while not told.exists() or not any("3" in text for text in said):
        assert time.monotonic() < until
        hooks.reap(now)
        time.sleep(0.02)
    assert told.read_text() == "comcast up down no answer\n"
    hooks.reap(now + 11)
    assert any("/no/such" in text for text in said)
    assert any(f"{slow} took longer" in text for text in said)
    assert hooks._running == []


def program(place: Path, name: str, text: str) -> None:
    path = place / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_batch_that_fails_is_done_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path,
        "ip",
        f'if [ "$2" = -batch ]; then cat > {tmp_path}/batch; exit 255; fi\necho "$@" >> {tmp_path}/lines\n'
        'case "$*" in *gone*) echo "Cannot find device" >&2; exit 1;; esac',
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    batch = _kernel.Batch()
    batch.prepare()
    problems = batch.apply(["route replace default dev gone table 1", "route replace default dev eth0 table 2"])
    batch.close()
    assert (tmp_path / "lines").read_text().splitlines() == [
        "-4 route replace default dev gone table 1",
        "-4 route replace default dev eth0 table 2",
    ]
    assert len(problems) == 1
    assert "Cannot find device" in problems[0]


def test_missing_programs_are_told_not_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for action in (_kernel.look, lambda: _kernel.drop_connections(1)):
        with pytest.raises(_kernel.FailedError):
            action()
    assert len(_kernel.Batch().apply(["route flush table 1"])) == 1


def test_what_conntrack_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path, "conntrack", f'echo "$@" >> {tmp_path}/asked; echo "0 flow entries have been deleted." >&2; exit 1'
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    _kernel.drop_connections(2)
    _kernel.drop_connections(3, "172.20.1.131")
    assert (tmp_path / "asked").read_text().splitlines() == [
        "-D -f ipv4 --mark 0x2/0xff",
        "-D -f ipv4 --mark 0x3/0xff",
        "-D -f ipv4 --mark 0/0xff --src-nat 172.20.1.131",
    ]


# Bytes


@given(st.binary(min_size=2, max_size=64).filter(lambda data: len(data) % 2 == 0))
def test_the_checksum_makes_the_sum_whole(data: bytes) -> None:
    assert _probe.checksum(data + struct.pack("!H", _probe.checksum(data))) == 0


def test_news_of_the_kernel() -> None:
    def message(kind: int, payload: bytes) -> bytes:
        length = 16 + len(payload)
        return struct.pack("IHHII", length, kind, 0, 0, 0) + payload + bytes(-length % 4)

    name = struct.pack("HH", 9, 3) + b"eth0\0" + bytes(3)
    news = _netlink.News(set())
    _netlink.digest(message(16, bytes(16) + struct.pack("HH", 5, 1) + b"x" + bytes(3) + name), news)
    assert (news.links, news.addresses, news.routes) == ({"eth0"}, False, False)
    _netlink.digest(message(20, bytes(8)) + message(25, bytes(12)), news)
    assert (news.addresses, news.routes) == (True, True)


@given(st.binary(max_size=200))
def test_bytes_that_mean_nothing_do_no_harm(data: bytes) -> None:
    _netlink.digest(data, _netlink.News(set()))
