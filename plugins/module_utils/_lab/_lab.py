# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The lab as a whole: what stands is compared with the topology, node by node, and only what differs is made anew."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab import _steps as steps
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._access import ensure_key, owner_of, write_access
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._images import image_path, publish_guest_images
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._machine import Machine
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._system import (
    NETNS_DIR,
    LabFailedError,
    alive,
    arguments,
    end,
    exclusive,
    link_masters,
    namespace_id,
    namespace_pids,
    out_of_session,
    run_steps,
    spawn,
    write_file,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan

# What of a machine's topology its power supply needs
SWITCHED_ON_WITH = ("nics", "address", "host_vars")
Topology = Mapping[str, Any]
LEFTOVERS = ("inventory.yml", "host_vars", "ssh_config", "known_hosts", "connect", "machines", "stations", "images")


class Lab:
    """One lab: its topology lies in the inventory, its state in a directory, itself in namespaces."""

    def __init__(self, lab_dir: Path, cache_dir: Path, programs: Path) -> None:
        self.dir = lab_dir
        self.cache = cache_dir
        self.programs = programs
        self.state_file = lab_dir / "state.json"
        self.state: dict[str, Any] = {}
        self._load()

    @contextmanager
    def claim(self, patience: float, check_mode: bool) -> Iterator[None]:
        """While the lab is being changed. Whoever waited for it reads anew what the other one left."""
        with nullcontext() if check_mode else exclusive(self.dir / "lock", patience, f"changing the lab in {self.dir}"):
            self._load()
            yield

    def _load(self) -> None:
        self.state = {"wires": None, "stations": {}, "machines": {}}
        if self.state_file.exists():
            self.state.update(json.loads(self.state_file.read_text(encoding="utf-8")))

    def save(self) -> None:
        """Before each thing is made, so that a half-built lab can be taken down too."""
        write_file(self.state_file, json.dumps(self.state, indent=1, sort_keys=True) + "\n", owner=owner_of(self.dir))

    # What differs

    def plan(self, topology: Topology) -> Plan:
        """What a build would do."""
        plan = Plan()
        masters = link_masters(steps.WIRES) if self._wires_stand() else {}
        wanted = {w["name"] for w in topology["wires"]}
        for wire in topology["wires"]:
            if wire["name"] not in masters:
                plan.add(Change("create", "wire", wire["label"]))
        for name in self._wires_recorded():
            if name not in wanted:
                plan.add(Change("delete", "wire", name))
        for kind in ("station", "machine"):
            nodes = {n["name"]: n for n in topology[f"{kind}s"]}
            for name in self.state[f"{kind}s"]:
                if name not in nodes:
                    plan.add(Change("delete", kind, name))
            for name, node in nodes.items():
                record = self.state[f"{kind}s"].get(name)
                reason = self._differs(kind, node, masters)
                if reason:
                    plan.add(Change("change" if record else "create", kind, name, note=reason if record else ""))
        return plan

    def _wires_stand(self) -> bool:
        recorded = self.state["wires"]
        return recorded is not None and namespace_id(steps.WIRES) == recorded["namespace_id"]

    def _wires_recorded(self) -> list[str]:
        return list(self.state["wires"]["names"]) if self.state["wires"] else []

    def _differs(self, kind: str, node: Mapping[str, Any], masters: Mapping[str, str]) -> str:
        record = self.state[f"{kind}s"].get(node["name"])
        if record is None:
            return "new"
        if record["fingerprint"] != self._fingerprint(kind, node):
            return "another now: made anew"
        if kind == "machine":
            if not alive(record.get("supply")):
                return "powered off: boot it"
            if Machine(self.dir, node["name"]).status().get("state") == "rebooting":
                return ""
        elif namespace_id(steps.namespace(node["name"])) != record.get("namespace_id"):
            return "its namespace is gone"
        elif not all(alive(p) for p in record.get("processes", [])):
            return "a program of it has ended"
        for nic in node["nics"]:
            if masters.get(steps.port_name(node["name"], nic["name"])) != nic["wire"]:
                return f"{nic['name']} is unplugged"
        return ""

    def _fingerprint(self, kind: str, node: Mapping[str, Any]) -> str:
        if kind == "station":
            return steps.fingerprint(node)
        about = {k: v for k, v in node.items() if k not in ("host_vars", "users", "guest_images")}
        return steps.fingerprint([about, str(image_path(self.cache, node["image"]))])

    def strangers(self, topology: Topology) -> list[str]:
        """Namespaces of our names that this lab did not make: another checkout's lab, which must not be touched."""
        ours = {*self.state["stations"], *self.state["machines"], *(["wires"] if self.state["wires"] else [])}
        wanted = {"wires", *(n["name"] for kind in ("stations", "machines") for n in topology[kind])}
        return sorted(steps.namespace(n) for n in wanted - ours if namespace_id(steps.namespace(n)) is not None)

    # What is done about it

    def build(self, topology: Topology) -> list[str]:
        """Make what the plan says; returns the machines that boot now."""
        public_key = ensure_key(self.dir)
        masters = link_masters(steps.WIRES) if self._wires_stand() else {}
        self._remove(self._stale(topology, masters), {m["name"] for m in topology["machines"]})
        self._build_wires(topology)
        for station in topology["stations"]:
            if station["name"] not in self.state["stations"]:
                self._build_station(station)
        return [spec["name"] for spec in topology["machines"] if self._boot_if_needed(spec, public_key)]

    def installed(self, topology: Topology) -> bool:
        """Whether each machine has its disk."""
        return all(self.state["machines"].get(m["name"], {}).get("fingerprint") for m in topology["machines"])

    def files(self, topology: Topology, write: bool) -> list[str]:
        """The files that a change of the inventory alone can alter: those that differ, and now no longer if written."""
        machines = topology["machines"]
        found = publish_guest_images(self.cache, self.dir / "images", topology["guest_images"], write)
        keys = {m["name"]: Machine(self.dir, m["name"]).host_key() for m in machines}
        return found + write_access(self.dir, machines, keys, write)

    def wait(self, names: Sequence[str], timeout: float) -> dict[str, str]:
        """Until these machines take a login; systemd's verdict on each boot."""
        deadline = time.monotonic() + timeout
        return {name: Machine(self.dir, name).wait(deadline) for name in names}

    def _stale(self, topology: Topology, masters: Mapping[str, str]) -> list[tuple[str, str]]:
        """What has to go before the rest is made; a machine that is only off keeps its disk."""
        found = []
        for kind in ("machine", "station"):
            nodes = {n["name"]: n for n in topology[f"{kind}s"]}
            for name in self.state[f"{kind}s"]:
                if name not in nodes or self._differs(kind, nodes[name], masters):
                    found.append((kind, name))
        return found

    def _remove(self, nodes: Sequence[tuple[str, str]], keep: Container[str]) -> None:
        for kind, name in nodes:
            if kind == "station":
                self._remove_station(name)
            elif name in keep:
                self.power_off(name)
            else:
                self._remove_machine(name)

    def _remove_machine(self, name: str) -> None:
        self.power_off(name)
        shutil.rmtree(Machine(self.dir, name).dir, ignore_errors=True)
        del self.state["machines"][name]
        self.save()

    def _build_wires(self, topology: Topology) -> None:
        fresh = not self._wires_stand()
        wanted = {w["name"]: w for w in topology["wires"]}
        have = set() if fresh else set(link_masters(steps.WIRES))
        if not fresh:
            run_steps(steps.remove_wires([n for n in self._wires_recorded() if n not in wanted]))
        self.state["wires"] = {"names": sorted(wanted), "namespace_id": namespace_id(steps.WIRES)}
        self.save()
        if fresh:
            run_steps([steps.step(["ip", "netns", "del", steps.WIRES], may_fail=True)])
        run_steps(steps.make_wires([w for n, w in wanted.items() if n not in have], with_namespace=fresh))
        self.state["wires"]["namespace_id"] = namespace_id(steps.WIRES)
        self.save()

    def _build_station(self, node: Mapping[str, Any]) -> None:
        name = node["name"]
        record: dict[str, Any] = {"fingerprint": "", "cards": [n["name"] for n in node["nics"]], "processes": []}
        self.state["stations"][name] = record
        self.save()
        run_steps(steps.make_station(node))
        record["namespace_id"] = namespace_id(steps.namespace(name))
        directory = self.dir / "stations"
        directory.mkdir(exist_ok=True)
        for program in node["programs"]:
            zone = directory / f"{name}.zone.json"
            if "zone" in program:
                write_file(zone, json.dumps(program["zone"]) + "\n")
            words = {"python": sys.executable, "programs": self.programs, "state": directory, "zone": zone}
            argv = [word.format(**words) for word in program["argv"]]
            argv = out_of_session(["ip", "netns", "exec", steps.namespace(name), *argv], steps.namespace(name))
            record["processes"].append(spawn(argv, directory / f"{name}.log"))
            self.save()
        record["fingerprint"] = self._fingerprint("station", node)
        self.save()

    def _boot_if_needed(self, spec: Mapping[str, Any], public_key: str) -> bool:
        name = spec["name"]
        machine = Machine(self.dir, name)
        fingerprint = self._fingerprint("machine", spec)
        image = image_path(self.cache, spec["image"])
        record = self.state["machines"].get(name)
        if record is not None and record["fingerprint"] == fingerprint and alive(record.get("supply")):
            return False
        cards = [n["name"] for n in spec["nics"]]
        if record is None or record["fingerprint"] != fingerprint:
            if not image.is_dir():
                raise LabFailedError(
                    f"{name}: its image {image} is missing; it is built by the module kvmnet_lab_image"
                )
            self.state["machines"][name] = {"fingerprint": "", "cards": cards, "supply": None}
            self.save()
            machine.install(spec, image, public_key)
        record = {"fingerprint": fingerprint, "cards": cards, "supply": None, "image": str(image)}
        record |= {key: spec[key] for key in SWITCHED_ON_WITH}
        self.state["machines"][name] = record
        record["supply"] = machine.power_on(spec, image, self.programs)
        self.save()
        return True

    # Power

    def power_off(self, name: str) -> None:
        """Pull the plug. The network it had is forgotten, its disk is not."""
        record = self.state["machines"][name]
        self._hang_up(record.get("address"))
        end(record.get("supply"))
        # Only when the power supply itself was killed is anything left to do here
        machine = Machine(self.dir, name)
        end(machine.status().get("nspawn"), 0.0)
        self._clear(name, record["cards"], 0.0, [machine.forget_cgroup()])
        record["supply"] = None
        self.save()

    def _hang_up(self, address: str | None) -> None:
        """A connection that Ansible keeps open would not notice the cut, and the next task would wait for it."""
        for process in namespace_pids(steps.namespace("controller")) if address else []:
            if address in arguments(process["pid"]):
                end(process, 2.0)

    def power_on(self, name: str) -> None:
        """Boot it, without waiting."""
        record = self.state["machines"][name]
        if not alive(record.get("supply")):
            spec = {"name": name, **{key: record[key] for key in SWITCHED_ON_WITH}}
            record["supply"] = Machine(self.dir, name).power_on(spec, Path(record["image"]), self.programs)
            self.save()

    def running(self, name: str) -> bool:
        """Whether it is switched on."""
        return alive(self.state["machines"][name].get("supply"))

    # Down

    def anything(self) -> bool:
        """Whether there is something to take down."""
        recorded = bool(self.state["stations"] or self.state["machines"] or self.state["wires"])
        return recorded or self.state_file.exists() or any((self.dir / name).exists() for name in LEFTOVERS)

    def take_down(self) -> None:
        """Everything but the key and the cached images."""
        for name in list(self.state["machines"]):
            self._remove_machine(name)
        for name in list(self.state["stations"]):
            self._remove_station(name)
        if self.state["wires"]:
            run_steps([steps.step(["ip", "netns", "del", steps.WIRES], may_fail=True)])
            self.state["wires"] = None
            self.save()
        for name in LEFTOVERS:
            path = self.dir / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.state_file.unlink(missing_ok=True)
        _forget_empty_netns_dir()

    def _remove_station(self, name: str) -> None:
        record = self.state["stations"][name]
        for process in record["processes"]:
            end(process, 2.0)
        self._clear(name, record["cards"], 2.0)
        del self.state["stations"][name]
        self.save()

    def _clear(self, name: str, cards: Sequence[str], patience: float, also: Sequence[steps.Step] = ()) -> None:
        """The namespace, with whatever a test may have left running in it."""
        for process in namespace_pids(steps.namespace(name)):
            end(process, patience)
        run_steps([*steps.remove_node({"name": name, "cards": cards}), *also])


def _forget_empty_netns_dir() -> None:
    """ip mounts it over itself for the first namespace and never takes it away."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    if str(NETNS_DIR) in mounts and not any(NETNS_DIR.iterdir()):
        subprocess.run(["umount", str(NETNS_DIR)], check=False, capture_output=True)
