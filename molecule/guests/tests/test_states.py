# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that run, stop, pause; that obey and that do not; that are up, and where they hang when they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

NAMES = ("good", "deaf", "port", "agent", "moved")
FAILED = "failed_guests"


def guest(name: str, **options: Any) -> dict[str, Any]:
    number = NAMES.index(name) + 1
    nics = [{"mac": f"52:54:00:0a:0e:{number:02x}", "tap": f"tap-{name}"}]
    return {"name": name, "image": "tiny", "memory_mib": 128, "nics": nics, **options}


def deaf(**options: Any) -> dict[str, Any]:
    """Return a guest that hears nothing: all that it does is sleep."""
    return guest("deaf", cmdline="console=ttyS0 no_timer_check rdinit=/bin/sleep -- 100000", **options)


@pytest.fixture(scope="module", autouse=True)
def surroundings(taps: Callable[..., None], removed: Callable[..., None]) -> None:
    taps(*(f"tap-{name}" for name in NAMES))
    removed(*NAMES)


def state_of(ursa: Host, name: str) -> str:
    return ursa.check_output(f"virsh domstate {name}")


def test_waited_for(refused: Callable[..., Any], converge: Callable[..., Any], eventually: Any) -> None:
    """Each failure says where the guest hangs, and all of them are told together."""
    entries = [
        deaf(wait_for=["lease"]),
        guest("port", wait_for=["lease", {"port": 81}]),
        guest("agent", wait_for=["lease", "agent"]),
        guest("moved", wait_for=["lease"], address="192.168.0.77"),
    ]
    entries = [{**entry, "wait_timeout": 3} for entry in entries]
    wanted = {
        "deaf": "has no lease",
        "port": ": connection refused; its console's last lines:",
        "agent": "its guest agent is not there; is qemu-guest-agent installed",
        "moved": ", its record says 192.168.0.77",
    }
    said: dict[str, str] = {}

    def all_said() -> bool:
        said.update(refused(*entries)[FAILED])
        return all(words in said[name] for name, words in wanted.items()) and "Run /bin/sleep as init" in said["deaf"]

    assert eventually(all_said), said
    assert "it is not up after 3 s: " in said["deaf"]
    assert "port 81 of 192.168.0." in said["port"]
    up = [guest("port", wait_for=["lease", {"port": 80}]), guest("agent"), guest("moved", wait_for=["lease"])]
    assert converge(*up).changes == []


def test_no_tap(refused: Callable[..., Any]) -> None:
    entry = guest("good", nics=[{"mac": "52:54:00:0a:0e:01", "tap": "tap-nowhere"}])
    said = refused(entry)[FAILED]["good"]
    assert said == "its tap tap-nowhere is missing on the host, and no guest makes its own"


def test_states(ursa: Host, converge: Callable[..., Any], refused: Callable[..., Any]) -> None:
    """A guest that obeys stops when it is asked to; one that does not fails the task, or is switched off."""
    running = guest("good", wait_for=["lease", {"port": 80}], wait_timeout=180)
    done = converge(running)
    assert done.result["guests"][0]["address"].startswith("192.168.0.")
    for state, seen in (("paused", "paused"), ("running", "running"), ("stopped", "shut off"), ("present", "shut off")):
        converge({**running, "state": state, "stop_timeout": 60})
        assert state_of(ursa, "good") == seen
    converge({**running, "state": "paused"})
    assert state_of(ursa, "good") == "paused"

    failure = refused(deaf(state="stopped", stop_timeout=3), guest("agent", state="stopped"))
    assert failure[FAILED] == {
        "deaf": "it did not stop within 3 s after it was asked to; on_timeout: destroy would switch it off"
    }
    assert (state_of(ursa, "deaf"), state_of(ursa, "agent")) == ("running", "shut off")
    converge(deaf(state="stopped", stop_timeout=3, on_timeout="destroy"))
    assert state_of(ursa, "deaf") == "shut off"


def test_with_an_agent(ursa: Host, converge: Callable[..., Any]) -> None:
    """The article's Debian guest has one: it stops through it, and is up when it answers."""
    found = converge().guests["debian32"]
    entry = {**found, "state": "stopped", "stop_timeout": 180}
    converge(entry)
    assert state_of(ursa, "debian32") == "shut off"
    converge({**entry, "state": "running", "wait_for": ["lease", "agent", {"port": 22}], "wait_timeout": 400})
    assert ursa.check_output('virsh qemu-agent-command debian32 \'{"execute":"guest-ping"}\'') == '{"return":{}}'
