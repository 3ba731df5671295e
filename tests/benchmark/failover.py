# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how fast a dead uplink is noticed, traffic is moved, and comes back. Called by `make bench-failover`.

Real Shorewall, the real monitor, real flows, in namespaces of their own; Debian's lsm beside it sees the same outages.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from operator import itemgetter
from pathlib import Path
from typing import Any

import failover_net as lab

HERE = Path(__file__).resolve().parent
GATEWAYS = {"comcast": "gw1", "avvanta": "gw2"}
NUMBERS = {"comcast": 1, "avvanta": 2}
GAP = (6.0, 9.0)
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ursa.kvmnet")
# The settings of Shorewall's MultiISP article, and the best that facts about lsm allow
LSM = {
    "article": "max_packet_loss=20 max_successive_pkts_lost=7 min_packet_loss=5 min_successive_pkts_rcvd=10 "
    "interval_ms=2000 timeout_ms=2000",
    "tuned": "max_packet_loss=101 max_successive_pkts_lost=9 min_packet_loss=100 min_successive_pkts_rcvd=15 "
    "interval_ms=20 timeout_ms=300",
}


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so many are not above."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * len(ordered) * 1000) // 1000) - 1)]


def summary(values: list[float]) -> str:
    if not values:
        return "-"
    figures = [percentile(values, share) for share in (0.5, 0.95, 0.99)]
    return "/".join(f"{figure:.2f}" for figure in (*figures, max(values))) + f"  n {len(values)}"


class Lines:
    """What a program says, with the time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.heard: list[tuple[float, str]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self.heard.append((time.monotonic(), line.rstrip()))

    def first(self, text: str, after: float) -> float | None:
        return next((at for at, line in list(self.heard) if at >= after and text in line), None)


def get_lsm(scratch: Path) -> Path | None:
    """Fetch Debian's lsm (foolsm from Debian 13 on) without installing it."""
    for name in ("lsm", "foolsm"):
        done = subprocess.run(["apt-get", "download", name], cwd=scratch, capture_output=True, check=False)
        if done.returncode == 0:
            subprocess.run(["dpkg", "-x", str(next(scratch.glob(f"{name}_*.deb"))), str(scratch / "lsm")], check=True)
            return next(path for path in (scratch / "lsm").rglob("sbin/*lsm"))
    return None


class Bench:
    """One network and everything that runs on it."""

    def __init__(self, given: argparse.Namespace, scratch: Path) -> None:
        self.given = given
        self.scratch = scratch
        self.net = lab.Net(given.root, given.mode, scratch)
        if given.settings:
            self.net.settings(**json.loads(given.settings))
        self.net.shorewall("start")
        self.running: list[subprocess.Popen[Any]] = []
        command = ["ip", "netns", "exec", "inet", sys.executable, str(HERE / "failover_flows.py"), "server"]
        self.running.append(subprocess.Popen(command))
        argv = ["ip", "netns", "exec", "ursa", "nice", "-n", "-10", "chroot", str(self.net.root), "env"]
        argv += ["PYTHONPATH=/usr/local/lib/kvmnet", "PYTHONDONTWRITEBYTECODE=1"]
        argv += ["/usr/bin/python3", "-m", "kvmnet_uplink_monitor"]
        self.monitor = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.running.append(self.monitor)
        self.said = Lines(self.monitor)
        self.net.wait(dict.fromkeys(GATEWAYS, "up"))
        self.lsm()
        self.flows = scratch / "flows"
        self.start_flows()

    def lsm(self) -> None:
        """Run lsm beside the monitor: the article's way, and tuned, one process for each uplink."""
        self.events = {name: self.scratch / f"lsm-{name}" for name in LSM}
        if self.given.lsm is None:
            return
        place = self.net.root / "usr/local/sbin/lsm"
        shutil.copy(self.given.lsm, place)
        sources = {}
        for name, target in lab.FOREIGN.items():
            number = NUMBERS[name]
            route = self.net.on_host("ip", "route", "show", "table", str(2000 + number), "default").split()
            sources[name], device = route[route.index("src") + 1], route[route.index("dev") + 1]
            # lsm asks for the way to the target without gateways, and only goes on when there is one
            way = ["ip", "route", "replace", target, "dev", device, "src", sources[name], "table", str(3000 + number)]
            self.net.on_host(*way)
            mac = lab.MACS[GATEWAYS[name]]
            self.net.on_host("ip", "neigh", "replace", target, "lladdr", mac, "nud", "permanent", "dev", device)
            self.net.on_host("ip", "rule", "add", "to", target, "pref", "800", "table", str(3000 + number))
        for kind, settings in LSM.items():
            script = f"#!/bin/sh\necho $1 $2 $(cut -d ' ' -f 1 /proc/uptime) >> /run/lsm-{kind}\n"
            self.net.write(f"usr/local/sbin/lsm-{kind}", script)
            (self.net.root / f"usr/local/sbin/lsm-{kind}").chmod(0o755)
            self.events[kind] = self.net.root / f"run/lsm-{kind}"
            groups = [list(lab.FOREIGN)] if kind == "article" else [[name] for name in lab.FOREIGN]
            for number, group in enumerate(groups):
                lines = "\n".join(settings.split())
                text = (
                    f"debug=8\ndefaults {{\nname=defaults\ncheckip=127.0.0.1\neventscript=/usr/local/sbin/lsm-{kind}\n"
                )
                text += f"{lines}\nwarn_email=root\ncheck_arp=0\nttl=0\nstatus=1\n}}\n"
                for name in group:
                    # Without a source lsm looks for the target on the wire
                    text += f"connection {{\nname={name}\ncheckip={lab.FOREIGN[name]}\nsourceip={sources[name]}\n}}\n"
                self.net.write(f"etc/lsm/{kind}{number}.conf", text)
                command = ["ip", "netns", "exec", "ursa", "nice", "-n", "-10", "chroot", str(self.net.root)]
                command += ["/usr/local/sbin/lsm", "-f", "-c", f"/etc/lsm/{kind}{number}.conf"]
                command += ["-p", f"/run/lsm-{kind}{number}.pid"]
                quiet = subprocess.DEVNULL
                self.running.append(subprocess.Popen(command, stdout=quiet, stderr=quiet))

    def start_flows(self) -> None:
        command = ["ip", "netns", "exec", "guest", sys.executable, str(HERE / "failover_flows.py"), "client"]
        command += [",".join(lab.SERVERS), str(self.given.every), "8", str(self.flows)]
        self.client = subprocess.Popen(command)
        self.running.append(self.client)
        time.sleep(2)

    def stop_flows(self) -> list[list[Any]]:
        Path(f"{self.flows}.stop").touch()
        self.client.wait(10)
        return [json.loads(line) for line in self.flows.read_text(encoding="utf-8").splitlines()]

    def quiet(self, seconds: float) -> dict[str, float]:
        """How much of a processor the monitor uses while nothing happens."""
        before = self.cpu()
        time.sleep(seconds)
        return {"seconds": seconds, "percent of a core": round((self.cpu() - before) / seconds * 100, 2)}

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.monitor.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
        return sum(int(fields[index]) for index in (11, 12, 13, 14)) / float(os.sysconf("SC_CLK_TCK"))

    def lsm_first(self, kind: str, state: str, uplink: str, after: float) -> float | None:
        try:
            events = self.events[kind].read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        offset = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        for event in events:
            said, name, at = event.split()
            # The clock of the script counts in hundredths
            if said == state and name == uplink and float(at) - offset >= after - 0.01:
                return float(at) - offset
        return None

    def outage(self, uplink: str, kind: str, seconds: float) -> dict[str, Any]:
        """One outage, from the fault to the return."""
        gateway = GATEWAYS[uplink]
        fault = {"blackhole": self.net.blackhole, "dead": self.net.dead, "carrier": self.net.unplugged}[kind]
        place = {"comcast": "eth0", "avvanta": "eth1"}[uplink] if kind == "carrier" else gateway
        begun = fault(place, True)
        time.sleep(max(begun + seconds - time.monotonic(), 0))
        hold = self.net.state()[uplink]["hold_s"]
        ended = fault(place, False)
        gone = " is absent" if kind == "carrier" else " is down"
        limit = ended + hold + 6
        back = None
        while back is None and time.monotonic() < limit:
            time.sleep(0.05)
            back = self.said.first(f"uplink {uplink} is up", ended)
        time.sleep(random.uniform(*GAP) if self.given.gap is None else self.given.gap)
        noticed = self.said.first(f"uplink {uplink}{gone}", begun)
        result = {"uplink": uplink, "kind": kind, "begun": begun, "ended": ended, "seconds": ended - begun}
        result |= {"noticed": noticed, "back": back, "hold": hold, "load": os.getloadavg()[0]}
        for name in LSM:
            # One that is noticed after the end of the outage was not noticed in time
            down = self.lsm_first(name, "down", uplink, begun)
            result[f"lsm {name} noticed"] = down if down is not None and down < time.monotonic() else None
            result[f"lsm {name} back"] = self.lsm_first(name, "up", uplink, ended)
        return result

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def judge(outages: list[dict[str, Any]], flows: list[list[Any]], every: float) -> dict[str, Any]:
    """What the flows went through in each outage."""
    fresh = sorted(row[2] for row in flows if row[0] == "new" and row[3] is None)
    by_flow: dict[tuple[str, int], list[list[Any]]] = {}
    for row in sorted((row for row in flows if row[0] != "new"), key=itemgetter(2)):
        by_flow.setdefault((row[0], row[1]), []).append(row)
    lost_healthy = sent_healthy = 0
    slow_healthy, ended_healthy, moved, resets = 0.0, 0, [], []
    for outage in outages:
        begun, ended, number = outage["begun"], outage["ended"], NUMBERS[outage["uplink"]]
        lost = [sent for sent in fresh if begun - 0.05 <= sent < ended]
        settled = outage["noticed"]
        if settled is not None and settled < ended:
            moved.append(max(lost, default=begun) + every - begun)
            outage["lost later"] = sum(sent > settled + 0.5 for sent in lost)
        for (kind, _flow), rows in by_flow.items():
            start, stop = (bisect.bisect_left(rows, at, key=itemgetter(2)) for at in (begun - 0.2, ended + 5))
            before = next((row for row in reversed(rows[:start]) if row[3] not in (None, "ended")), None)
            if before is None:
                continue
            rows = rows[start:stop]
            if before[4] == number:
                resets += [row[2] - begun for row in rows if row[3] == "ended" and row[2] < ended][:1]
            elif kind == "udp":
                sent_healthy += len(rows)
                lost_healthy += sum(row[3] is None for row in rows)
            else:
                ended_healthy += sum(row[3] == "ended" for row in rows)
                slow_healthy = max([slow_healthy, *(row[3] for row in rows if isinstance(row[3], float))])
    return {
        "moved": moved,
        "healthy packets": sent_healthy,
        "healthy packets lost": lost_healthy,
        "healthy connections ended": ended_healthy,
        "healthy connections, slowest answer": slow_healthy,
        "connections of the dead uplink reset after": resets,
        "new connections lost after the move": sum(outage.get("lost later", 0) for outage in outages),
    }


def report(result: dict[str, Any]) -> None:
    outages = result["outages"]
    print(f"{len(outages)} outages of {result['mode']}, p50/p95/p99/max in seconds")
    long = [each for each in outages if each["seconds"] >= 2]
    ways = [("monitor", "noticed", "back"), *((f"lsm {n}", f"lsm {n} noticed", f"lsm {n} back") for n in LSM)]
    for name, down, up in ways:
        noticed = [each[down] - each["begun"] for each in outages if each[down] and each[down] < each["ended"]]
        missed = sum(not (each[down] and each[down] < each["ended"]) for each in long)
        back = [each[up] - each["ended"] for each in outages if each[up] and each[down] and each[down] < each["ended"]]
        print(
            f"  {name:12} noticed {summary(noticed)}, not noticed in an outage of 2 s and more: {missed} of {len(long)}"
        )
        print(f"  {'':12} back    {summary(back)}")
        if name == "monitor":
            usual = [each[up] - each["ended"] for each in outages if each[up] and each[down] and each["hold"] <= 2]
            print(f"  {'':12} back, where the hold-down was not prolonged for flapping: {summary(usual)}")
    flows = result["flows"]
    print(f"  traffic moved (the last new connection that was lost, from the fault on): {summary(flows['moved'])}")
    print(
        f"  connections of the dead uplink reset after: {summary(flows['connections of the dead uplink reset after'])}"
    )
    for name, value in flows.items():
        if not isinstance(value, list):
            print(f"  {name}: {value}")
    print(f"  monitor at rest: {result['cpu']}")
    loads = [each["load"] for each in outages]
    print(f"  load of the machine: {summary(loads)} (2 processors or so: read the figures with it)")


def run(given: argparse.Namespace) -> None:
    scratch = lab.enter(sys.argv)
    random.seed(given.seed)
    bench = Bench(given, scratch)
    try:
        result: dict[str, Any] = {"mode": given.mode, "cpu": bench.quiet(given.quiet)}
        if given.loss:
            for gateway in GATEWAYS.values():
                bench.net.lossy(gateway, 10)
            begun = time.monotonic()
            time.sleep(given.loss * 60)
            flaps = [line for at, line in bench.said.heard if at > begun and (" is down" in line or " is up" in line)]
            print(f"{given.loss:g} minutes with 10 % loss in each direction on both uplinks: {len(flaps)} changes")
            for line in flaps:
                print(f"  {line}")
            for kind, path in bench.events.items():
                events = path.read_text(encoding="ascii").splitlines() if path.exists() else []
                print(f"  lsm {kind}: {len(events)} changes")
            print(f"  load {os.getloadavg()}, monitor at rest: {result['cpu']}")
            return
        kinds = ["blackhole", "dead"] + (["carrier"] if given.mode == "separate" else [])
        outages = []
        for number in range(given.outages):
            seconds = given.shortest * (given.longest / given.shortest) ** random.random()
            uplink = random.choice(list(GATEWAYS))
            outages.append(bench.outage(uplink, kinds[number % len(kinds)], seconds))
            each = outages[-1]
            print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in each.items()}), flush=True)
        rows = bench.stop_flows()
        result |= {"outages": outages, "flows": judge(outages, rows, given.every)}
        report(result)
        if given.json:
            given.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    finally:
        bench.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outages", type=int, default=100)
    parser.add_argument("--shortest", type=float, default=1.0)
    parser.add_argument("--longest", type=float, default=60.0)
    parser.add_argument("--mode", choices=("shared", "macvlan", "separate"), default="shared")
    parser.add_argument("--every", type=float, default=0.02, help="a new connection so often, in seconds")
    parser.add_argument("--gap", type=float, help="seconds between outages after the return (default: 6 to 9)")
    parser.add_argument("--quiet", type=float, default=60, help="seconds of rest in which the processor is measured")
    parser.add_argument("--loss", type=float, help="instead: so many minutes with 10 %% of the packets lost")
    parser.add_argument("--settings", help="settings of the monitor, as JSON")
    parser.add_argument("--root", type=Path, help="a Debian root with Shorewall (default: of the lab's cache)")
    parser.add_argument("--lsm", type=Path, help="the program lsm (default: fetched from Debian; 'none' leaves it out)")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.root is None:
        from bench import find_root

        given.root = find_root(CACHE)
    if given.lsm is not None:
        given.lsm = None if str(given.lsm) == "none" else given.lsm
        run(given)
        return
    with tempfile.TemporaryDirectory(prefix="kvmnet-lsm-") as scratch:
        program = get_lsm(Path(scratch)) or "none"
        sys.argv += ["--lsm", str(program), "--root", str(given.root)]
        given.lsm = None if program == "none" else program
        sys.exit(subprocess.run([sys.executable, *sys.argv], check=False).returncode)


if __name__ == "__main__":
    main()
