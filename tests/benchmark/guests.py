# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure guests beside what others do, on one libvirtd: a host that Ansible reaches, such as the lab's.

Every guest that it makes begins with C(kvmnet-bench-), and all are removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COLLECTION = Path(__file__).resolve().parents[2]
PREFIX = "kvmnet-bench-"
STORAGE = "/var/lib/libvirt/images/kvmnet-bench"
XML = (
    "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>{mib}</memory>"
    "<vcpu>1</vcpu><os><type>hvm</type></os>"
    "<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/nowhere/{name}'/>"
    "<target dev='vda' bus='virtio'/></disk><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
    "</devices></domain>"
)
Task = dict[str, Any]


def names(count: int) -> list[str]:
    """Return the guests' names."""
    return [f"{PREFIX}{index}" for index in range(count)]


def ours(entries: Sequence[Mapping[str, Any]], image: str, **more: Any) -> list[Task]:
    """Return the task that converges guests."""
    images = {"base": {"path": image}}
    settings = {"virt_type": "qemu", "storage": STORAGE, "images": images, "stop_timeout": 1, "on_timeout": "destroy"}
    return [{"ursa.kvmnet.kvm_guest": {"guests": list(entries), **settings, **more}}]


def xml_of(name: str, mib: int) -> str:
    """Return a guest's XML. Without a UUID in it a second run would be refused."""
    return XML.format(name=name, mib=mib, uuid=uuid.uuid5(uuid.NAMESPACE_DNS, name))


def virsh(count: int, mib: int) -> list[Task]:
    """Return what a script does: one virsh for each guest."""
    lines = [f"printf '%s' \"{xml_of(name, mib)}\" >/tmp/{name}.xml" for name in names(count)]
    lines += [f"virsh -q define /tmp/{name}.xml" for name in names(count)]
    return [{"ansible.builtin.shell": "\n".join(["set -e", *lines])}]


def community(count: int, mib: int) -> list[Task]:
    """Return what its documentation says: one task, a loop, the XML of each."""
    xml = [xml_of(name, mib) for name in names(count)]
    task = {"community.libvirt.virt": {"command": "define", "xml": "{{ item }}"}, "loop": xml}
    return [{**task, "loop_control": {"label": ""}}]


class Bench:
    """Runs plays and times them.

    Args:
        arguments: what C(ansible-playbook) takes to find the host.
        host: the host.
        collections: where collections are.
    """

    def __init__(self, arguments: Sequence[str], host: str, collections: str) -> None:
        self._arguments = arguments
        self._host = host
        self._environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_PIPELINING": "1"}

    def play(self, tasks: Sequence[Task]) -> float:
        """Run one play, and return the seconds that all of it took."""
        started = time.monotonic()
        done = self._run(tasks)
        seconds = time.monotonic() - started
        if done.returncode:
            raise SystemExit(f"a play failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return seconds

    def _run(self, tasks: Sequence[Task]) -> subprocess.CompletedProcess[str]:
        named = [{"name": "Measured", **task} for task in tasks]
        play = {"name": "Bench", "hosts": self._host, "become": True, "gather_facts": False, "tasks": named}
        with tempfile.TemporaryDirectory(prefix="kvmnet-bench-") as scratch:
            path = Path(scratch, "play.yml")
            path.write_text(json.dumps([play]), encoding="utf-8")
            command = ["ansible-playbook", *self._arguments, str(path)]
            return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)

    def require(self, package: str, name: str, why: str) -> None:
        """End here, and not in the middle, if the host's Python lacks something."""
        done = self._run([{"ansible.builtin.command": f"python3 -c 'import {name}'"}])
        if done.returncode:
            missing = "ModuleNotFoundError" in done.stdout
            raise SystemExit(f"{self._host} needs {package} {why}" if missing else done.stdout + done.stderr)

    def show(self, what: str, seconds: float, empty: float) -> None:
        """Print one line: the whole play, and what is left of it without Ansible's own part."""
        print(f"{what:<44} {seconds:7.2f} s play {max(0.0, seconds - empty):7.2f} s work", flush=True)

    @contextmanager
    def cleaned(self, count: int) -> Iterator[None]:
        """Leave nothing behind."""
        gone = [{"name": name, "state": "absent", "remove_storage": True} for name in names(count)]
        try:
            yield
        finally:
            self.play([*ours(gone, "/nowhere"), {"ansible.builtin.shell": f"rm -rf /tmp/{PREFIX}*.xml {STORAGE}"}])


def measure(bench: Bench, count: int, options: argparse.Namespace, empty: float, others: bool) -> None:
    """Measure one number of guests: defined, the same again, and with more memory."""
    entries = [{"name": name, "state": "present", "image": "base"} for name in names(count)]
    more = [{**entry, "memory_mib": 2048} for entry in entries]
    base = f"{STORAGE}.base"
    make = [{"ansible.builtin.command": f"qemu-img create -q -f qcow2 {base} 2G"}]
    drop = [{"ansible.builtin.command": f"rm -f {base}"}]
    bench.play(make)
    try:
        with bench.cleaned(count):
            for what, guests in (("defined", entries), ("unchanged", entries), ("more memory", more)):
                bench.show(f"{count} guests {what}: kvm_guest", bench.play(ours(guests, base)), empty)
    finally:
        bench.play(drop)
    ways = {"virsh": virsh, **({"community.libvirt loop": community} if options.community else {})}
    for way, tasks in ways.items() if others else ():
        with bench.cleaned(count):
            for what, mib in (("defined", 1024), ("unchanged", 1024), ("more memory", 2048)):
                bench.show(f"{count} guests {what}: {way}", bench.play(tasks(count, mib)), empty)


def starts(bench: Bench, count: int, kernel: str, empty: float) -> None:
    """Measure starting guests up to where they would boot: what comes then is the emulator's time, not ours."""
    entries = [
        {"name": name, "state": "stopped", "kernel": kernel, "memory_mib": 128, "disk_gib": 1} for name in names(count)
    ]
    ready = [{**entry, "state": "paused"} for entry in entries]
    with bench.cleaned(count):
        bench.play(ours(entries, "/nowhere"))
        bench.show(f"{count} guests started: kvm_guest", bench.play(ours(ready, "/nowhere")), empty)
        bench.play(ours(entries, "/nowhere"))
        loop = "\n".join(["set -e", *(f"virsh -q start --paused {name}" for name in names(count))])
        bench.show(f"{count} guests started: virsh", bench.play([{"ansible.builtin.shell": loop}]), empty)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-i", "--inventory", action="append", help="inventories; by default the article's and the lab's"
    )
    parser.add_argument("--host", default="ursa")
    parser.add_argument("--guests", default="100,1000", help="how many are defined")
    parser.add_argument("--others-up-to", type=int, default=100, help="the largest number that others are asked for")
    parser.add_argument("--community", type=Path, help="a collections path that has community.libvirt, for its loop")
    parser.add_argument("--start", type=int, default=10, help="how many are started; 0 leaves that out")
    parser.add_argument("--kernel", default="/srv/kvmnet/images/tiny-vmlinuz", help="what they boot")
    options = parser.parse_args()
    default = [str(COLLECTION / "playbooks/inventories/article"), str(COLLECTION / ".lab/inventory.yml")]
    arguments = [word for path in options.inventory or default for word in ("-i", path)]
    paths = [str(COLLECTION / ".ansible/collections"), *([str(options.community)] if options.community else [])]
    bench = Bench(arguments, options.host, ":".join(paths))
    nothing = [{"ansible.builtin.command": "true"}]
    bench.play(nothing)
    if options.community:
        bench.require("python3-lxml", "lxml", "for community.libvirt: apt install it there, or leave out --community")
    empty = min(bench.play(nothing) for _unused in range(3))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; an empty play {empty:.2f} s", flush=True)
    for count in (int(text) for text in options.guests.split(",") if text):
        measure(bench, count, options, empty, count <= options.others_up_to)
    if options.start:
        starts(bench, options.start, options.kernel, empty)
    print(f"load {os.getloadavg()[0]:.1f} at the end", flush=True)


if __name__ == "__main__":
    main()
