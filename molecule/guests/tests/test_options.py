# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option on a real hypervisor: set, repeated, changed while the guest runs, at its next boot, by a restart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

TABLE = yaml.safe_load((Path(__file__).parent / "option_values.yml").read_text(encoding="utf-8"))
SEED = ("hostname", "fqdn", "users", "user_data", "meta_data", "network_config")
NETWORKS = {
    "opt-net": "<forward mode='bridge'/><bridge name='br0'/>",
    "opt-nat": "<forward mode='nat'/><bridge name='virbr-nat'/><ip address='192.168.177.1' prefix='24'/>",
    "opt-route": "<forward mode='route'/><bridge name='virbr-route'/><ip address='192.168.178.1' prefix='24'/>",
}
Entry = dict[str, Any]


def rows(when: str) -> dict[str, dict[str, Any]]:
    return {name: row for name, row in TABLE.items() if row.get("when") == when}


def put(entry: Entry, name: str, value: Any) -> None:
    """Put a value at its place."""
    option, *rest = name.split(".")
    if not rest:
        entry[option] = copy.deepcopy(value)
    else:
        entry[option][int(rest[0])][rest[1]] = value


def wanted(*changed: str) -> Entry:
    """Return an entry with the first value of each option, or of those that change then, with the second."""
    entry: Entry = {"name": "opt", "stop_timeout": 60}
    # Whole lists, and then what is in them
    for name, row in sorted(TABLE.items(), key=lambda item: "." in item[0]):
        if "when" in row:
            put(entry, name, row["second" if row["when"] in changed else "first"])
    return entry


def options_of(when: str) -> set[str]:
    """Return the options as a plan names them."""
    return {{"seed": "seed_path"}.get(name, name.split(".")[0]) for name in rows(when)} - {*SEED}


def unlike(ursa: Host, when: str) -> list[str]:
    """Return the options that libvirt itself does not describe as wanted."""
    described = ursa.check_output("virsh dumpxml opt")
    return [
        name
        for name, row in rows(when).items()
        if row.get("shows", "") not in described or ("gone" in row and row["gone"] in described)
    ]


@pytest.fixture(scope="module", autouse=True)
def surroundings(ursa: Host, taps: Callable[..., None], removed: Callable[..., None]) -> Iterator[None]:
    taps("tap-opt", "tap-opt2", "tap-opt3")
    taps("tap-optq", queues=2)
    removed("opt")
    ursa.check_output("rm -f /var/tmp/opt-*")
    ursa.check_output("cp /srv/kvmnet/images/tiny-vmlinuz /var/tmp/opt-vmlinuz")
    ursa.check_output("cp /srv/kvmnet/images/tiny-initrd.img /var/tmp/opt-initrd")
    ursa.check_output("qemu-img create -q -f qcow2 /var/tmp/opt-data.qcow2 1G")
    for name, rest in NETWORKS.items():
        described = f"<network><name>{name}</name>{rest}</network>"
        ursa.check_output(f'echo "{described}" > /var/tmp/opt-net.xml && virsh net-create /var/tmp/opt-net.xml')
    yield
    for name in NETWORKS:
        ursa.check_output(f"virsh net-destroy {name}")
    ursa.check_output("rm -f /var/tmp/opt-*")


def process(ursa: Host) -> str:
    return ursa.check_output("cat /run/libvirt/qemu/opt.pid")


def test_set(converge: Callable[..., Any]) -> None:
    done = converge({**wanted(), "wait_for": ["lease", {"port": 80}], "wait_timeout": 180})
    assert done.result["guests"][0]["address"].startswith("192.168.0.")
    assert [change["action"] for change in done.changes] == ["create"]
    assert done.pending("opt") == []


def test_while_it_runs(ursa: Host, converge: Callable[..., Any], eventually: Any) -> None:
    before = process(ursa)
    done = converge(wanted("live"))
    assert (done.pending("opt"), done.warnings) == ([], [])
    expected = {*options_of("live"), "seed", "disks[vdb].size_gib"}
    assert {*done.changed(""), *done.changed("read at the guest's first boot")} == expected
    # The guest gives its memory back in its own time
    assert eventually(lambda: not unlike(ursa, "live"), 30), unlike(ursa, "live")
    for path in ("/var/tmp/opt-root.qcow2", "/var/tmp/opt-vdb.qcow2"):
        assert "2 GiB" in ursa.check_output(f"qemu-img info -U {path}")
    assert process(ursa) == before


def test_at_the_next_boot(ursa: Host, converge: Callable[..., Any]) -> None:
    before = process(ursa)
    entry = wanted("live", "next_boot")
    done = converge(entry)
    assert set(done.pending("opt")) == options_of("next_boot")
    assert unlike(ursa, "live") == []
    assert process(ursa) == before
    done = converge({**entry, "restart": "if_needed"})
    assert set(done.changed("by a restart")) == options_of("next_boot")
    assert done.pending("opt") == []
    assert unlike(ursa, "next_boot") == []
    assert process(ursa) != before


def test_never(ursa: Host, converge: Callable[..., Any]) -> None:
    before = ursa.check_output("virsh dumpxml --inactive opt")
    done = converge(wanted("live", "next_boot", "never"))
    assert done.changes == []
    assert {*done.result["needs_recreate"][0]["options"]} == options_of("never")
    assert ursa.check_output("virsh dumpxml --inactive opt") == before
