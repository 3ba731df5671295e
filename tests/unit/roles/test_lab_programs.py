# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's programs, which run outside Ansible."""

from __future__ import annotations

import json
import socket
import struct
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from ..conftest import load_program

FILES = Path(__file__).parents[3] / "roles" / "lab" / "files"


services = load_program(FILES / "services.py")
supervise = load_program(FILES / "supervise.py")


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\0" + struct.pack("!HH", kind, 1)


def answer(name: str, kind: int = 1, **zone: Any) -> tuple[int, str | None]:
    """(Response code, address or None)."""
    reply = services.Zone(zone).answer(question(name, kind), "198.18.0.6")
    flags, _questions, answers = struct.unpack("!HHH", reply[2:8])
    assert reply[:2] == b"\x12\x34"
    assert flags & 0x8000
    return flags & 15, socket.inet_ntoa(reply[-4:]) if answers else None


def test_every_name_has_a_stable_address() -> None:
    code, address = answer("www.example.org")
    assert code == 0
    assert address is not None
    assert address.startswith("192.0.2.")
    assert answer("WWW.example.org") == (code, address)
    assert answer("whoami.example") == (0, "198.18.0.6")
    assert answer("a.example", names={"a.example": "203.0.113.9"}) == (0, "203.0.113.9")
    assert answer("www.example.org", kind=28) == (0, None)


@pytest.mark.parametrize("name", ["x.invalid", "kvm.example", "web.KVM.example"])
def test_names_of_the_site_are_not_invented(name: str) -> None:
    assert answer(name, unknown=["kvm.example"]) == (3, None)


def test_an_address_has_a_name() -> None:
    reply = services.Zone({}).answer(question("4.3.2.1.in-addr.arpa", 12), "x")
    assert b"\x0chost-1-2-3-4\x07example\0" in reply


@pytest.mark.parametrize("packet", [b"", b"short", question("a.b")[:13], b"\x12\x34\x81" + question("a.b")[3:]])
def test_what_is_no_question_gets_no_answer(packet: bytes) -> None:
    assert services.Zone({}).answer(packet, "x") is None


def test_http_says_whom_it_saw() -> None:
    server = services.WebServer(("127.0.0.1", 0), services.Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/a?b", timeout=5) as reply:
            lines = dict(line.split("=", 1) for line in reply.read().decode().splitlines())
    finally:
        server.shutdown()
        server.server_close()
    assert lines["client"] == lines["server"] == "127.0.0.1"
    assert lines["path"] == "/a?b"


def supply(tmp_path: Path, script: str) -> Any:
    """A power supply of a machine that is a shell script; nothing lives in a namespace."""

    # Of a module that is loaded at run time mypy knows nothing
    class Supply(supervise.Supply):  # type: ignore[misc, name-defined]
        def inside(self) -> list[int]:
            return []

    log = tmp_path / "log"
    note = {"stdin": "", "may_fail": False}
    return Supply(
        {
            "setup": [{"argv": ["sh", "-c", f"echo setup >> {log}"], **note}],
            "teardown": [{"argv": ["sh", "-c", f"echo teardown >> {log}"], **note}],
            "run": ["sh", "-c", f"echo run >> {log}; {script}"],
            "environment": {"COLOUR": "blue"},
            "console": str(tmp_path / "console"),
            "status": str(tmp_path / "status"),
            "namespace": "none",
        }
    )


def test_a_reboot_gets_a_fresh_network(tmp_path: Path) -> None:
    supply(tmp_path, f"[ $(grep -c run {tmp_path}/log) = 3 ] || exit 133; echo $COLOUR").serve()
    log = (tmp_path / "log").read_text(encoding="utf-8").split()
    assert log == ["teardown", "setup", "run", "teardown"] + ["teardown", "setup", "run", "teardown"] * 2
    status = json.loads((tmp_path / "status").read_text(encoding="utf-8"))
    assert status == {"state": "ended with exit code 0", "boots": 3, "nspawn": None}
    assert "blue" in (tmp_path / "console").read_text(encoding="utf-8")


def test_a_machine_that_only_reboots_is_given_up(tmp_path: Path) -> None:
    supply(tmp_path, "exit 133").serve()
    log = (tmp_path / "log").read_text(encoding="utf-8").split()
    assert log.count("run") == supervise.MAX_BOOTS + 1


def test_the_plug_can_be_pulled(tmp_path: Path) -> None:
    machine = supply(tmp_path, "exec sleep 30")
    timer = threading.Timer(0.3, machine.pull_the_plug, (15, None))
    timer.start()
    machine.serve()
    assert json.loads((tmp_path / "status").read_text(encoding="utf-8"))["state"] == "off"
    assert (tmp_path / "log").read_text(encoding="utf-8").split()[-1] == "teardown"
