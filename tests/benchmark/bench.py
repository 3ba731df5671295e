# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure rendering and committing a firewall beside what the existing roles do. Called by `make bench`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from site_of import Site
from verdicts import read, sample, verdict

HERE = Path(__file__).resolve().parent
COLLECTION = HERE.parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "ursa.kvmnet")
ROUNDS = ("first", "unchanged", "changed")
PACKAGES = ["ipset", "iptables", "shorewall"]
CONF = "usr/share/shorewall/configfiles/shorewall.conf"
# A root of its own over the image, with its own network: nothing of this machine is touched, and all goes with the
# process. /etc/shorewall is made anew, since a lower directory of an overlay cannot be exchanged.
INSIDE = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t tmpfs tmpfs run
collection=bench/collections/ansible_collections/ursa/kvmnet
mkdir -p "$collection" bench/data run/lock
mount --bind "$3" "$collection"
mount --bind "$4" bench/data
for each in etc/shorewall etc/kvmnet; do rm -rf "$each"; done
ip link set lo up
export SYSTEMD_OFFLINE=1
exec chroot . python3 "/$collection/$5" /bench/data/case.json
"""


def cached_roots(cache: Path = CACHE) -> list[Path]:
    """Return the lab's Debian roots with Shorewall and ipset, Debian 12 first."""
    found = sorted(cache.glob("host-*"), key=lambda path: "bookworm" not in path.name)
    needed = ("usr/share/shorewall/version", "usr/sbin/ipset")
    return [path for path in found if all((path / name).exists() for name in needed)]


def find_root(cache: Path) -> Path:
    """Return a Debian root with Shorewall: one of the lab's, or a new one that stays in the cache."""
    roots = cached_roots(cache)
    if roots:
        return roots[0]
    from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._images import build_image, image_path

    defaults = yaml.safe_load((COLLECTION / "roles/lab/defaults/main.yml").read_text(encoding="utf-8"))
    image = {"name": "host-bookworm", "suite": "bookworm", "packages": [*defaults["lab_packages_base"], *PACKAGES]}
    print("Installing a Debian root, about a minute", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    build_image(cache, image, defaults["lab_mirror"])
    return image_path(cache, image)


def run_inside(root: Path, program: str, case: object, timeout: float) -> str:
    """Run one of this collection's programs in a throw-away host and return the last line that it prints."""
    with tempfile.TemporaryDirectory(prefix="kvmnet-bench-") as scratch:
        data, top = Path(scratch, "data"), Path(scratch, "top")
        data.mkdir()
        top.mkdir()
        (data / "case.json").write_text(json.dumps(case), encoding="utf-8")
        argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", INSIDE, "sh"]
        argv += [*(str(path) for path in (root, top, COLLECTION, data)), program]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise SystemExit(f"{program} failed: {done.stderr[-3000:]}")
    return done.stdout.splitlines()[-1]


def run_case(root: Path, site: Site, limit: float, baseline: bool, rounds: tuple[str, ...] = ROUNDS) -> dict[str, Any]:
    """Run one size in both ways."""
    changed = site.changed()
    started = time.monotonic()
    theirs = {"first": site.files((root / CONF).read_text(encoding="utf-8"))}
    rendering = time.monotonic() - started
    theirs["changed"] = changed.files((root / CONF).read_text(encoding="utf-8"))
    case = {
        "ours": {"zones": site.zone_parameters(), "first": site.parameters(), "changed": changed.parameters()},
        "theirs": theirs,
        "limit": limit,
        "baseline": baseline,
        "rounds": rounds,
    }
    result: dict[str, Any] = json.loads(run_inside(root, "tests/benchmark/on_host.py", case, 20 * limit))
    for seconds in result.get("theirs", {}).values():
        seconds["render"] = seconds["render cpu"] = round(rendering, 3)
    return result


def total(seconds: dict[str, float | None], cpu: bool) -> float | None:
    """Return the sum of the phases, or None when one was given up."""
    values = [value for name, value in seconds.items() if name.endswith(" cpu") is cpu]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def compare_verdicts(site: Site, result: dict[str, Any], count: int) -> int | None:
    """Return how many packets were judged alike by both rule sets; fails on one that was not."""
    # What a set of the kernel matches is not among the rules.
    if "their rules" not in result or site.addresses:
        return None
    ours, theirs = read(result["rules"]), read(result["their rules"])
    packets = sample(site.tuples(), site.networks(), count)
    for packet in packets:
        verdicts = verdict(ours, packet), verdict(theirs, packet)
        if verdicts[0] != verdicts[1]:
            raise SystemExit(f"the verdicts differ: {packet}: ours {verdicts[0]}, theirs {verdicts[1]}")
    return len(packets)


def show(name: str, result: dict[str, Any], limit: float, packets: int | None) -> None:
    """Print the lines of one size."""
    for which, ours in result["ours"].items():
        wall, cpu = total(ours, False) or 0.0, total(ours, True) or 0.0
        line = f"{name:>22}  {which:<10} {wall:7.2f} s {cpu:7.2f} cpu"
        line += f"  (stage {ours['stage']:.2f}, compile {ours['compile']:.2f}, commit {ours['commit']:.2f})"
        theirs = result.get("theirs", {}).get(which)
        if theirs is not None:
            other, other_cpu = total(theirs, False), total(theirs, True)
            if other is None:
                line += f"  templates: given up after {limit:.0f} s for one command"
            else:
                line += f"  templates {other:7.2f} s {other_cpu:7.2f} cpu  ratio {other / wall:6.2f}"
        print(line, flush=True)
    if packets is not None:
        print(f"{'':>22}  {packets} packets: the same verdicts", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, help="a Debian root with Shorewall; by default one of the lab's images")
    parser.add_argument("--rules", default="10,1000,10000,20000", help="sizes, with two zones")
    parser.add_argument("--addresses", default="100,5000", help="lengths of a list in one rule, beside 10 other rules")
    parser.add_argument("--zones", default="10,50,100", help="numbers of zones, with 100 rules")
    parser.add_argument("--limit", type=float, default=120, help="seconds after which a command of theirs is given up")
    parser.add_argument("--packets", type=int, default=200, help="rules whose packets are compared")
    parser.add_argument("--no-baseline", action="store_true", help="ours alone")
    parser.add_argument("--json", type=Path, help="where to write every figure")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("it needs namespaces and mounts of its own: run it as root")
    root = (options.root or find_root(CACHE)).resolve()
    sizes = [(int(rules), 2, 0) for rules in options.rules.split(",") if rules]
    sizes += [(10, 2, int(addresses)) for addresses in options.addresses.split(",") if addresses]
    sizes += [(100, int(zones), 0) for zones in options.zones.split(",") if zones]
    figures = []
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
    for rules, zones, addresses in sizes:
        site = Site(rules, zones, addresses)
        result = run_case(root, site, options.limit, not options.no_baseline)
        packets = compare_verdicts(site, result, options.packets)
        show(f"a list of {addresses}" if addresses else f"{rules} rules, {zones} zones", result, options.limit, packets)
        times = {way: result[way] for way in ("ours", "theirs") if way in result}
        figures.append({"rules": rules, "zones": zones, "addresses": addresses, "packets": packets, **times})
    print(f"load {os.getloadavg()[0]:.1f} at the end", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
