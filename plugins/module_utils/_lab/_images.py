# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Images: named by what they are made of, built once, complete or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._guest_images import GUEST_RECIPES, build_guest_image
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._system import LabFailedError, exclusive

# Raise it when the same packages are to be installed differently
HOST_RECIPE = 1
BUILD_TIMEOUT = 1800.0
MASKED = ("console-getty.service", "systemd-modules-load.service")


def image_path(cache: Path, image: Mapping[str, Any]) -> Path:
    """Where an image is, or will be. A guest image is a directory of files, a host image the root of a host."""
    name = str(image["name"])
    about = GUEST_RECIPES.get(name) or [HOST_RECIPE, image["suite"], image["packages"]]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    return cache / f"{image['name']}-{digest}"


def host_command(image: Mapping[str, Any], mirror: str, target: Path) -> list[str]:
    """How a host is installed: as a fresh Debian has it, but that no service of ours was started yet."""
    packages = list(image["packages"])
    hooks = [
        'chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash --groups sudo admin',
        'echo "admin ALL=(ALL) NOPASSWD: ALL" > "$1/etc/sudoers.d/admin"',
        'chmod 0440 "$1/etc/sudoers.d/admin"',
        'chroot "$1" systemctl enable systemd-networkd.service systemd-resolved.service ssh.service',
        f'chroot "$1" systemctl mask {" ".join(MASKED)}',
        'rm -f "$1"/etc/ssh/ssh_host_*_key* "$1"/etc/libvirt/qemu/networks/autostart/*',
        # The machine the lab runs on may have cgroups that libvirt cannot use
        '[ ! -e "$1/etc/libvirt/qemu.conf" ] || echo "cgroup_controllers = []" >> "$1/etc/libvirt/qemu.conf"',
        'mkdir -p "$1/srv/kvmnet/images"',
    ]
    if "dnsmasq" in packages:
        hooks.append('chroot "$1" systemctl mask dnsmasq.service')
    return [
        *("unshare", "--mount", "--propagation", "private"),
        *("mmdebstrap", "--variant=apt", "--mode=root", "--format=directory"),
        f"--include={','.join(packages)}",
        *(f"--customize-hook={hook}" for hook in hooks),
        str(image["suite"]),
        str(target),
        mirror,
    ]


def build_image(cache: Path, image: Mapping[str, Any], mirror: str) -> bool:
    """Build an image unless it is there; True when it was built."""
    target = image_path(cache, image)
    if target.exists():
        return False
    with exclusive(cache / "lock", BUILD_TIMEOUT, f"building an image in {cache}"):
        if target.exists():
            return False
        for stale in cache.glob(".building-*"):
            shutil.rmtree(stale)
        temporary = cache / f".building-{target.name}"
        log = cache / f"{target.name}.log"
        try:
            if image["name"] in GUEST_RECIPES:
                temporary.mkdir()
                build_guest_image(str(image["name"]), mirror, temporary, lambda argv: logged(argv, log))
            else:
                logged(host_command(image, mirror, temporary), log)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        log.unlink(missing_ok=True)
    return True


def logged(argv: Sequence[str], log: Path, timeout: float = BUILD_TIMEOUT) -> None:
    """A long command: what it says goes to a file that can be followed, its last lines into the error."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    with log.open("ab") as output:
        try:
            done = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                timeout=timeout,
                env=environment,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LabFailedError(f"{argv[0]}: {error}") from error
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line for line in lines if line.startswith(("E:", "Err"))][-5:] or lines[-5:]
        raise LabFailedError(f"building an image failed ({log} has all of it): " + " / ".join(said))


def publish_guest_images(cache: Path, directory: Path, names: Sequence[str], write: bool) -> list[str]:
    """Put the images where the hosts see them; returns those that were missing."""
    found = []
    for name in names:
        source = image_path(cache, {"name": name})
        for file in sorted(source.iterdir()) if source.is_dir() else []:
            target = directory / file.name
            if target.exists() and _same(file, target):
                continue
            found.append(f"images/{file.name}")
            if write:
                _publish(file, target)
    return found


def _publish(file: Path, target: Path) -> None:
    """A second name for the same file where that can be; a guest's disk is an overlay on it, so it is never written."""
    target.parent.mkdir(exist_ok=True)
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        os.link(file, temporary)
    except OSError:
        shutil.copy2(file, temporary)
    temporary.replace(target)


def _same(one: Path, other: Path) -> bool:
    first, second = one.stat(), other.stat()
    return (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)
