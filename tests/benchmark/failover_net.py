# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with two or three uplinks in network namespaces: real Shorewall, two gateways, an internet, a guest.

    guest -- br0 [ursa] eth0 -- wire -- gw1, gw2 -- inet        shared, macvlan
                        eth0 with two addresses                 addresses
                        eth0 -- gw1, eth1 -- gw2 -- inet        separate
                        wlan0 -- gw3 -- inet                    with a third one

Everything stands in a mount and process namespace of its own and goes with it: see enter().
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COLLECTION = HERE.parents[1]
PROGRAM = COLLECTION / "roles/uplink_monitor/files"
INSIDE = "KVMNET_FAILOVER_INSIDE"
TARGETS = {"comcast": "198.18.101.1", "avvanta": "198.18.102.1", "wireless": "198.18.103.1"}
# What others than the monitor probe
FOREIGN = {"comcast": "198.18.111.1", "avvanta": "198.18.112.1"}
# What flows go to
SERVERS = [f"198.18.200.{number}" for number in range(1, 251)]
MACS = {"gw1": "02:00:00:00:01:01", "gw2": "02:00:00:00:01:02"}

_INTERFACES = {
    "shared": "net eth0 tcpflags,logmartians,arp_ignore\n",
    "addresses": "net eth0 tcpflags,arp_ignore\n",
    "macvlan": "net eth0 tcpflags,arp_ignore=1,optional\nnet isp2 tcpflags,arp_ignore=1,optional\n",
    "separate": "net eth0 tcpflags,optional\nnet eth1 tcpflags,optional\n",
}
_PROVIDERS = {
    "shared": (
        f"comcast 1 1 - eth0:172.20.1.130 172.20.1.1,{MACS['gw1']} track,loose,{{comcast}}\n"
        f"avvanta 2 2 - eth0:172.20.1.130 172.20.1.254,{MACS['gw2']} track,loose,{{avvanta}}\n"
    ),
    "addresses": (
        f"comcast 1 1 - eth0:172.20.1.130 172.20.1.1,{MACS['gw1']} track,{{comcast}}\n"
        f"avvanta 2 2 - eth0:172.20.1.131 172.20.1.254,{MACS['gw2']} track,{{avvanta}}\n"
    ),
    "macvlan": "comcast 1 1 - eth0 172.20.1.1 track,{comcast}\navvanta 2 2 - isp2 172.20.1.254 track,{avvanta}\n",
    "separate": "comcast 1 1 - eth0 172.20.1.1 track,{comcast}\navvanta 2 2 - eth1 172.21.1.254 track,{avvanta}\n",
}
_OUTSIDE = {"shared": ["eth0"], "addresses": ["eth0"], "macvlan": ["eth0", "isp2"], "separate": ["eth0", "eth1"]}
_CONF = {
    "IP_FORWARDING": "On", "ROUTE_FILTER": "No", "AUTOMAKE": "No", "LOGFILE": "systemd", "RESTART": "reload",
    "STARTUP_ENABLED": "Yes", "RESTORE_DEFAULT_ROUTE": "No",
}  # fmt: skip


def enter(argv: list[str]) -> Path:
    """Run this program again where nothing of the machine can be touched; return inside, with a place for files.

    Nothing is to be removed afterwards: the place is a mount that goes with the last process.
    """
    if os.environ.get(INSIDE):
        # The first process of a namespace is deaf to signals that it does not expect
        signal.signal(signal.SIGTERM, lambda *_unused: sys.exit(143))
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        for place in ("/run/netns", "/mnt"):
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        return Path("/mnt")
    Path("/run/netns").mkdir(exist_ok=True)
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, *argv]
    inside = subprocess.Popen(command, env={**os.environ, INSIDE: "1"})
    signal.signal(signal.SIGTERM, lambda *_unused: inside.kill())
    sys.exit(inside.wait())


def sh(command: str, check: bool = True) -> str:
    """Run a command line."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout


def shorewall_files(conf: str, mode: str, options: dict[str, str], third: bool) -> dict[str, str]:
    """Shorewall's files: C(conf) is Debian's, C(options) the words that say how each provider is used."""
    lines = conf.splitlines()
    for index, line in enumerate(lines):
        key = line.partition("=")[0]
        lines[index] = f"{key}={_CONF[key]}" if key in _CONF else line
    more = "wireless 3 3 - wlan0 172.22.1.1 track,{wireless}\n" if third else ""
    outside = [*_OUTSIDE[mode], *(["wlan0"] if third else [])]
    interfaces = "?FORMAT 2\n" + _INTERFACES[mode] + ("net wlan0 optional\n" if third else "")
    snat = [f"MASQUERADE 192.168.0.0/24 {name}" for name in outside]
    if mode == "addresses":
        snat[0] = "SNAT(172.20.1.130) 192.168.0.0/24 eth0(comcast)\nSNAT(172.20.1.131) 192.168.0.0/24 eth0(avvanta)"
    return {
        "shorewall.conf": "\n".join(lines) + "\n",
        "zones": "fw firewall\nnet ipv4\nkvm ipv4\n",
        "policy": "net net NONE\nfw all ACCEPT\nkvm all ACCEPT\nnet all DROP\nall all REJECT\n",
        "interfaces": interfaces + "kvm br0 dhcp,routeback\n",
        "providers": (_PROVIDERS[mode] + more).format(**options),
        "rtrules": "192.168.0.77 - avvanta 11000\n",
        "snat": "\n".join(snat) + "\n",
        "rules": "?SECTION NEW\nNotSyn(REJECT) kvm net tcp\nPing(ACCEPT) net $FW\n",
        "stoppedrules": "ACCEPT eth0 $FW tcp 22\n",
        "init": "[ ! -r /var/lib/kvmnet/uplinks/init ] || . /var/lib/kvmnet/uplinks/init\n",
    }


class Net:
    """The network; C(root) is a Debian root with Shorewall."""

    def __init__(self, root: Path, mode: str, scratch: Path, third: bool = False, **options: str) -> None:
        self.mode, self.third = mode, third
        self.options = {"comcast": "balance=1", "avvanta": "balance=1", "wireless": "fallback=1"} | options
        self.root = scratch / "root"
        for name in ("upper", "work", "root"):
            (scratch / name).mkdir()
        layers = f"lowerdir={root},upperdir={scratch}/upper,workdir={scratch}/work"
        sh(f"mount -t overlay overlay -o {layers} {self.root}")
        sh(f"mount -t proc proc {self.root}/proc && mount -t tmpfs tmpfs {self.root}/run && mkdir {self.root}/run/lock")
        # Copies and devices of its own: nothing here may reach what is outside
        for number, name in ((3, "null"), (5, "zero"), (8, "random"), (9, "urandom")):
            (self.root / "dev" / name).unlink(missing_ok=True)
            os.mknod(self.root / "dev" / name, 0o20666, os.makedev(1, number))
        shutil.copytree(PROGRAM, self.root / "usr/local/lib/kvmnet", dirs_exist_ok=True)
        shutil.rmtree(self.root / "etc/shorewall")
        (self.root / "etc/shorewall").mkdir()
        (self.root / "etc/kvmnet").mkdir(exist_ok=True)
        self.links()
        self.configure()

    # The links

    def links(self) -> None:
        names = ["ursa", "wire", "gw1", "gw2", "inet", "guest", *(["gw3"] if self.third else [])]
        sh("\n".join(f"ip netns add {n} && ip -n {n} link set lo up" for n in names))
        sh("""set -e
        for n in ursa gw1 gw2 inet guest; do ip netns exec $n sysctl -qw net.ipv4.conf.all.rp_filter=0 \
net.ipv4.conf.default.rp_filter=0 net.ipv4.ip_forward=1 net.ipv6.conf.all.disable_ipv6=1; done
        ip -n ursa link add br0 type bridge forward_delay 0
        ip -n ursa link add tap0 type veth peer name eth0 netns guest
        ip -n ursa link set tap0 master br0 up; ip -n ursa link set br0 up
        ip -n ursa addr add 192.168.0.254/24 dev br0
        ip -n guest addr add 192.168.0.1/24 dev eth0; ip -n guest link set eth0 up
        ip -n guest route add default via 192.168.0.254
        ip -n wire link add lan1 type bridge forward_delay 0; ip -n wire link set lan1 up""")
        self.cable("ursa", "eth0", "wire", "eth0")
        self.gateway("gw1", 1, MACS["gw1"], "172.20.1.1/24")
        if self.mode == "separate":
            sh("ip -n wire link add lan2 type bridge forward_delay 0; ip -n wire link set lan2 up")
            self.cable("ursa", "eth1", "wire", "eth1", "lan2")
            self.gateway("gw2", 2, MACS["gw2"], "172.21.1.254/24", "lan2")
            sh("ip -n ursa addr add 172.21.1.131/24 dev eth1")
        else:
            self.gateway("gw2", 2, MACS["gw2"], "172.20.1.254/24")
        if self.third:
            sh("ip -n wire link add lan3 type bridge forward_delay 0; ip -n wire link set lan3 up")
            self.cable("ursa", "wlan0", "wire", "wlan0", "lan3")
            sh("ip -n ursa link set wlan0 down; ip -n wire link set wlan0 down")
            self.gateway("gw3", 3, "02:00:00:00:01:03", "172.22.1.1/24", "lan3")
        sh("ip -n ursa addr add 172.20.1.130/24 dev eth0")
        if self.mode == "addresses":
            sh("ip -n ursa addr add 172.20.1.131/24 dev eth0")
        if self.mode == "macvlan":
            sh("""ip -n ursa link add link eth0 name isp2 type macvlan mode bridge && ip -n ursa link set isp2 up
            ip -n ursa addr add 172.20.1.131/24 dev isp2
            ip netns exec ursa sysctl -qw net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.arp_ignore=1""")
        sh(
            "\n".join(
                f"ip -n inet addr add {each}/32 dev lo" for each in [*TARGETS.values(), *FOREIGN.values(), *SERVERS]
            )
        )

    def cable(self, one: str, name: str, other: str, peer: str, bridge: str = "lan1") -> None:
        sh(f"""set -e
        ip -n {one} link add {name} type veth peer name {peer} netns {other}
        ip -n {other} link set {peer} master {bridge} up; ip -n {one} link set {name} up""")

    def gateway(self, name: str, number: int, mac: str, address: str, bridge: str = "lan1") -> None:
        """A router that translates: what it forwards comes back through it."""
        sh(f"""set -e
        ip -n {name} link add lan address {mac} type veth peer name {name} netns wire
        ip -n wire link set {name} master {bridge} up
        ip -n {name} addr add {address} dev lan; ip -n {name} link set lan up
        ip -n {name} link add wan type veth peer name {name} netns inet
        ip -n {name} addr add 10.9.{number}.1/24 dev wan; ip -n {name} link set wan up
        ip -n inet addr add 10.9.{number}.2/24 dev {name}; ip -n inet link set {name} up
        ip -n {name} route add default via 10.9.{number}.2
        ip netns exec {name} sysctl -qw net.ipv4.ip_forward=1
        ip netns exec {name} nft -f - <<E
        add table ip nat
        add chain ip nat out {{ type nat hook postrouting priority 100; }}
        add rule ip nat out oifname wan masquerade
        add table ip fault
        add chain ip fault pass {{ type filter hook forward priority 0; }}
        add chain ip fault own {{ type filter hook input priority 0; }}
E""")

    # The firewall

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(target.name + ".new")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(target)

    def configure(self) -> None:
        conf = (self.root / "usr/share/shorewall/configfiles/shorewall.conf").read_text(encoding="utf-8")
        for name, text in shorewall_files(conf, self.mode, self.options, self.third).items():
            self.write(f"etc/shorewall/{name}", text)
        self.settings()

    def settings(self, **more: Any) -> None:
        given = {"uplinks": [{"name": name, "targets": [target]} for name, target in TARGETS.items()]} | more
        if not self.third:
            given["uplinks"] = [each for each in given["uplinks"] if each["name"] != "wireless"]
        self.write("etc/kvmnet/uplink_monitor.json", json.dumps(given))

    def shorewall(self, *arguments: str, check: bool = True) -> str:
        """Run Shorewall on the host."""
        return self.on_host("shorewall", *arguments, check=check)

    def on_host(self, *argv: str, check: bool = True) -> str:
        """Run a program of the host's."""
        command = ["ip", "netns", "exec", "ursa", "chroot", str(self.root), *argv]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def routing(self) -> tuple[str, str]:
        """What the issue compares: every route and every rule."""
        return self.on_host("ip", "-j", "-4", "route", "show", "table", "all"), self.on_host("ip", "-j", "-4", "rule")

    # The faults

    def blackhole(self, gateway: str, on: bool) -> float:
        """What the gateway forwards is lost in silence, while it answers itself; return when."""
        rule = "add rule ip fault pass drop" if on else "flush chain ip fault pass"
        begun = time.monotonic()
        sh(f"ip netns exec {gateway} nft '{rule}'")
        return begun if on else time.monotonic()

    def dead(self, gateway: str, on: bool) -> float:
        """The gateway itself is gone as well."""
        rule = "add rule ip fault {} drop" if on else "flush chain ip fault {}"
        begun = time.monotonic()
        sh(f"ip netns exec {gateway} nft '{rule.format('pass')}; {rule.format('own')}'")
        return begun if on else time.monotonic()

    def lossy(self, gateway: str, percent: int) -> None:
        """So much is lost of what the gateway forwards, in each direction."""
        rule = f"; add rule ip fault pass numgen random mod 100 lt {percent} drop" if percent else ""
        sh(f"ip netns exec {gateway} nft 'flush chain ip fault pass{rule}'")

    def unplugged(self, name: str, on: bool) -> float:
        """The cable of one of the host's interfaces is pulled, or put back."""
        begun = time.monotonic()
        sh(f"ip -n wire link set {name} {'down' if on else 'up'}")
        return begun if on else time.monotonic()

    # The monitor

    def monitor(self, log: Path, *more: str) -> subprocess.Popen[bytes]:
        """Start the monitor as its unit does."""
        command = ["ip", "netns", "exec", "ursa", *more, "chroot", str(self.root), "env"]
        command += ["PYTHONPATH=/usr/local/lib/kvmnet", "PYTHONDONTWRITEBYTECODE=1"]
        command += ["/usr/bin/python3", "-m", "kvmnet_uplink_monitor"]
        with log.open("ab") as stream:
            return subprocess.Popen(command, stderr=stream, stdout=stream)

    def state(self) -> dict[str, dict[str, Any]]:
        """What the monitor shows, by uplink."""
        try:
            text = (self.root / "run/kvmnet/uplinks.json").read_text(encoding="utf-8")
        except OSError:
            return {}
        return {each["name"]: each for each in json.loads(text)["uplinks"]}

    def wait(self, wanted: dict[str, str], limit: float = 10.0) -> float:
        """Wait until uplinks have these states; return when that was seen."""
        until = time.monotonic() + limit
        while True:
            state = self.state()
            if all(state.get(name, {}).get("state") == value for name, value in wanted.items()):
                return time.monotonic()
            if time.monotonic() > until:
                raise RuntimeError(f"waited {limit} s for {wanted}: {state}")
            time.sleep(0.005)


@contextlib.contextmanager
def ended(processes: Iterable[subprocess.Popen[bytes]]) -> Iterator[None]:
    """End processes in any case."""
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            if process.poll() is None:
                process.kill()
                process.wait()
