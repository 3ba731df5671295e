# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the tests find a real Shorewall: in a host image of the lab, once one was built; else on this machine.

And how they import programs that run outside Ansible.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ursa.kvmnet"
INSTALLED = [root for root in sorted(CACHE.glob("host-*-*")) if (root / "usr/share/shorewall/version").exists()]
# One image of each release that the lab has
ROOTS = [root for suite in ("bookworm", "trixie") for root in INSTALLED if root.name.startswith(f"host-{suite}-")]
ROOTS = list({root.name.split("-")[1]: root for root in ROOTS}.values())

if ROOTS:
    os.environ.setdefault("KVMNET_SHOREWALL_ROOT", str(ROOTS[0]))
    os.environ.setdefault("KVMNET_SHOREWALL_ROOTS", ":".join(map(str, ROOTS)))

ROOT = Path(os.environ.get("KVMNET_SHOREWALL_ROOT", "/"))
SHOREWALL_ROOTS = [Path(root) for root in os.environ.get("KVMNET_SHOREWALL_ROOTS", "").split(":") if root] or [ROOT]

# In a network namespace of its own, where no tables can be touched; each configuration in its turn lies over the
# image's /etc/shorewall, and nothing in the image is written.
COMPILE = r"""
root=$1 work=$2
if [ "$root" != / ]; then
  mount --bind "$root" "$root"
  mount --bind /proc "$root/proc"
  mount -t tmpfs none "$root/dev"
  mknod -m 666 "$root/dev/null" c 1 3
  mount -t tmpfs none "$root/var/lib/shorewall"
fi
mount -t tmpfs none "$root/mnt"
for case in "$work"/*/; do
  case=${case%/}
  mount --bind "$case" "$root/etc/shorewall"
  chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root \
    /sbin/shorewall -q compile /mnt/firewall >"$case.said" 2>&1 </dev/null
  echo $? >"$case.code"
  umount "$root/etc/shorewall"
  [ ! -e "$root/mnt/firewall" ] || mv "$root/mnt/firewall" "$case.firewall"
done
"""


def load_program(path: Path) -> ModuleType:
    """Import a program that stands in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    # Where its dataclasses look for their module
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


class Compiled(NamedTuple):
    """What Shorewall's compiler made of a configuration: its exit code, what it said, the script."""

    code: int
    said: str
    script: str


@pytest.fixture(name="shorewall_compiler", scope="session")
def fixture_shorewall_compiler() -> Callable[[Path], dict[str, Compiled]]:
    """Compile each directory of a directory, as a configuration, with Shorewall's own compiler."""
    # `make test` has both, since its lab's images hold Shorewall; elsewhere the words say what to do
    if not (ROOT / "sbin/shorewall").exists():
        pytest.skip("Shorewall is not here: install it, or set KVMNET_SHOREWALL_ROOT to the root of a Debian with it")
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("a network namespace for Shorewall's compiler needs root and unshare")

    def compile_all(work: Path) -> dict[str, Compiled]:
        names = sorted(path.name for path in work.iterdir() if path.is_dir())
        argv = ["unshare", "--net", "--mount", "sh", "-c", COMPILE, "sh", str(ROOT), str(work)]
        subprocess.run(argv, check=True, timeout=120 + 20 * len(names), capture_output=True)

        def text(name: str) -> str:
            path = work / name
            return path.read_text(errors="replace") if path.exists() else ""

        return {
            name: Compiled(int(text(f"{name}.code")), text(f"{name}.said"), text(f"{name}.firewall")) for name in names
        }

    return compile_all
