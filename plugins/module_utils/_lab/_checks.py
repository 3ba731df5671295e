# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Can this machine hold the lab? Asked before anything is built; every "no" is one line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.urls import open_url

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._images import image_path

GIB = 1024**3
# Command -> Debian package
TOOLS = {
    "ip": "iproute2",
    "nc": "netcat-openbsd",
    "nft": "nftables",
    "ssh-keygen": "openssh-client",
    "sysctl": "procps",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
BUILD_TOOLS = {"mmdebstrap": "mmdebstrap"}
GUEST_TOOLS = {"mke2fs": "e2fsprogs", "qemu-img": "qemu-utils"}


def check(topology: Mapping[str, Any], lab_dir: Path, cache: Path, mirror: str) -> list[str]:
    """What is missing."""
    problems = []
    if os.geteuid():
        problems.append("not root: run as root, or as a user with sudo and --become")
    if not Path("/dev/net/tun").exists():
        problems.append("/dev/net/tun is missing: load the module tun, or give the container this device")
    images = [*topology["host_images"], *({"name": n} for n in topology["guest_images"])]
    missing = [i for i in images if not image_path(cache, i).exists()]
    tools = dict(TOOLS)
    if missing:
        tools |= BUILD_TOOLS
        if any(str(i["name"]).startswith("debian-") for i in missing):
            tools |= GUEST_TOOLS
    if any(p["name"] == "dhcp" for s in topology["stations"] for p in s["programs"]):
        tools["dnsmasq"] = "dnsmasq-base"
    packages = sorted({package for tool, package in tools.items() if not _which(tool)})
    if packages:
        problems.append(f"commands are missing: apt-get install {' '.join(packages)}")
    problems += _space(cache, 1.2 * len(missing) + 0.2, "the image cache", "lab_cache")
    problems += _space(lab_dir, 0.3 * len(topology["machines"]) + 0.2, "the lab", "lab_dir")
    if missing and not os.geteuid():
        problems += _mirror(mirror, [str(i.get("suite", "bookworm")) for i in missing])
    if not problems and not _overlay(lab_dir):
        problems.append(
            f"{lab_dir} is on a file system that cannot carry an overlay: set lab_dir to one on ext4 or xfs"
        )
    return problems


def _which(tool: str) -> str | None:
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _space(path: Path, gib: float, what: str, variable: str) -> list[str]:
    place = path
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / GIB
    if free >= gib:
        return []
    return [f"{what} needs {gib:.1f} GiB in {path}, {free:.1f} GiB are free: make room, or set {variable}"]


def _mirror(mirror: str, suites: list[str]) -> list[str]:
    for suite in sorted(set(suites)):
        url = f"{mirror}/dists/{suite}/InRelease"
        try:
            open_url(url, timeout=20).read(64)
        except OSError as error:
            reason = getattr(error, "reason", error)
            said = f"{url}: {reason}"
            return [f"the Debian mirror, needed to build an image, is out of reach ({said}): set lab_mirror to another"]
    return []


def _overlay(lab_dir: Path) -> bool:
    """Try one, where it leaves no trace."""
    place = lab_dir / ".overlay-test"
    first = not lab_dir.exists()
    try:
        for name in ("lower", "upper", "work", "root"):
            (place / name).mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work,redirect_dir=on,index=off"
        argv = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "overlay", "overlay"]
        done = subprocess.run([*argv, "-o", options, f"{place}/root"], capture_output=True, check=False, timeout=30)
        return done.returncode == 0
    finally:
        shutil.rmtree(lab_dir if first else place, ignore_errors=True)
