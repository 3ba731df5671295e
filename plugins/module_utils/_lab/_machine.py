# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A managed host: its disk (an overlay on a cached image), its first boot's files, its power supply."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._steps import (
    Step,
    make_node,
    namespace,
    remove_node,
    step,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._system import (
    SYSTEMD,
    LabFailedError,
    out_of_session,
    run,
    spawn,
    write_file,
)

ADMIN_ID = 1000
TUN = Path("/dev/net/tun")
# The overlay is mounted where only this machine sees it: it is gone with the last process, whatever happens.
# Without systemd nobody gives the machine a control group of its own, and two machines that share one end each
# other's services
START = """\
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  if [ -n "$1" ] && [ -e "$hierarchy/cgroup.procs" ]; then
    mkdir -p "$hierarchy/$1" && echo $$ > "$hierarchy/$1/cgroup.procs"
  fi
done
mount -t overlay overlay -o "$2" "$3" || exit 1
shift 3
exec "$@"
"""
FORGET_CGROUPS = """\
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  for try in 1 2 3 4 5 6 7 8 9 10; do
    [ -d "$hierarchy/$1" ] || break
    find "$hierarchy/$1" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
  done
done
"""


class Machine:
    """One managed host of the lab, on disk."""

    def __init__(self, lab_dir: Path, name: str) -> None:
        self.lab_dir = lab_dir
        self.name = name
        self.dir = lab_dir / "machines" / name
        self.upper = self.dir / "upper"
        self.console = self.dir / "console.log"
        self.status_file = self.dir / "status.json"
        self.tun = self.dir / "tun"

    @property
    def cgroup(self) -> str:
        """Its control group: two labs at once may each have a machine of this name."""
        return f"{namespace(self.name)}-{self.lab_dir.stat().st_ino}"

    def forget_cgroup(self) -> Step:
        """Remove the control group that the machine had to itself."""
        return step(["sh", "-c", FORGET_CGROUPS, "sh", self.cgroup], may_fail=True)

    def install(self, spec: Mapping[str, Any], image: Path, public_key: str) -> None:
        """An empty disk on the image, with what an installer would have written."""
        shutil.rmtree(self.dir, ignore_errors=True)
        for directory in (self.upper, self.dir / "work", self.dir / "root"):
            directory.mkdir(parents=True)
        (self.lab_dir / "images").mkdir(exist_ok=True)
        files: dict[str, str] = {
            "/etc/hostname": f"{self.name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n::1 localhost ip6-localhost ip6-loopback\n",
            "/etc/machine-id": f"{spec['machine_id']}\n",
            **spec["files"],
        }
        for path, content in files.items():
            self._put(image, path, content)
        for path in spec["removed"]:
            self._parents(image, path)
            # What the overlay takes for a file that was deleted
            os.mknod(self.upper / path.lstrip("/"), stat.S_IFCHR, os.makedev(0, 0))
        self._put(image, "/home/admin/.ssh/authorized_keys", f"{public_key}\n")
        for path in ("home/admin/.ssh", "home/admin/.ssh/authorized_keys"):
            os.chown(self.upper / path, ADMIN_ID, ADMIN_ID)
        key = self.upper / "etc/ssh/ssh_host_ed25519_key"
        self._parents(image, "/etc/ssh/ssh_host_ed25519_key")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{self.name}", "-f", str(key)])

    def _parents(self, image: Path, path: str) -> None:
        """A directory of the upper layer shows its own owner and mode: those of the image's, where it has one."""
        for parent in reversed(Path(path.lstrip("/")).parents[:-1]):
            ours = self.upper / parent
            if not ours.exists():
                ours.mkdir()
                if (image / parent).is_dir():
                    status = (image / parent).stat()
                    ours.chmod(status.st_mode & 0o7777)
                    os.chown(ours, status.st_uid, status.st_gid)

    def _put(self, image: Path, path: str, content: str) -> None:
        self._parents(image, path)
        write_file(self.upper / path.lstrip("/"), content)

    def host_key(self) -> str:
        """The public key it proves itself with."""
        text = (self.upper / "etc/ssh/ssh_host_ed25519_key.pub").read_text(encoding="utf-8")
        return " ".join(text.split()[:2])

    def boot_command(self, spec: Mapping[str, Any], image: Path) -> list[str]:
        """What the power supply runs: a machine whose disk nobody else sees."""
        options = f"lowerdir={image},upperdir={self.upper},workdir={self.dir / 'work'},redirect_dir=on,index=off"
        root = str(self.dir / "root")
        cgroup = "" if SYSTEMD.is_dir() else self.cgroup
        nspawn = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={root}", "--boot"]
        argv = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", START, "sh", cgroup, options, root]
        argv += out_of_session(nspawn, namespace(self.name))
        argv += [f"--machine={self.name}", "--capability=all", "--resolv-conf=off", "--timezone=off"]
        argv += ["--link-journal=no", "--console=pipe"]
        argv += [f"--network-namespace-path=/run/netns/{namespace(self.name)}"]
        argv.append(f"--bind={self.tun if self.tun.exists() else TUN}:/dev/net/tun")
        # Where KVM is there but cannot run a guest, libvirt would try it again at every definition and every start
        if spec["host_vars"].get("kvm_guests_virt_type") == "kvm":
            argv += [f"--bind={d}" for d in ("/dev/kvm", "/dev/vhost-net") if os.path.exists(d)]
        argv.append(f"--bind-ro={self.lab_dir / 'images'}:/srv/kvmnet/images")
        return argv

    def _make_tun(self) -> None:
        """Where no udev opened it to all, a device of its own: networkd makes taps without root's right to any file."""
        self.tun.unlink(missing_ok=True)
        device = TUN.stat()
        if device.st_mode & 0o666 != 0o666:
            os.mknod(self.tun, stat.S_IFCHR | 0o666, device.st_rdev)
            self.tun.chmod(0o666)

    def power_on(self, spec: Mapping[str, Any], image: Path, programs: Path) -> dict[str, int]:
        """Start its power supply, which boots it."""
        self._make_tun()
        cards = {"name": self.name, "cards": [nic["name"] for nic in spec["nics"]]}
        supply = {
            "namespace": namespace(self.name),
            "setup": make_node(spec),
            "teardown": [*remove_node(cards), self.forget_cgroup()],
            "run": self.boot_command(spec, image),
            "environment": {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
            "console": str(self.console),
            "status": str(self.status_file),
        }
        path = self.dir / "supply.json"
        write_file(path, json.dumps(supply, indent=1) + "\n")
        self.status_file.unlink(missing_ok=True)
        argv = [sys.executable, str(programs / "supervise.py"), str(path)]
        return spawn(out_of_session(argv, f"{namespace(self.name)}-supply"), self.dir / "supply.log")

    def status(self) -> dict[str, Any]:
        """What its power supply last said."""
        try:
            found: dict[str, Any] = json.loads(self.status_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def wait(self, deadline: float) -> str:
        """Until it takes a login and has finished booting; returns systemd's verdict on the boot."""
        ssh = ["ssh", "-F", str(self.lab_dir / "ssh_config"), "-oConnectTimeout=2", "-oBatchMode=yes", self.name]
        said = ""
        while time.monotonic() < deadline:
            state = str(self.status().get("state", ""))
            if state.startswith("ended") or state == "off":
                raise LabFailedError(f"{self.name}: {state} while booting; its console ends with:\n{self.tail()}")
            try:
                run([*ssh, "true"], timeout=10)
                left = max(1, int(deadline - time.monotonic()))
                script = f"timeout {left} systemctl is-system-running --wait || true"
                return run([*ssh, script], timeout=left + 5).strip()
            except LabFailedError as failure:
                said = str(failure).rpartition(": ")[2]
                time.sleep(0.3)
        raise LabFailedError(f"{self.name}: no login by SSH in time ({said}); its console ends with:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its console, or of its power supply when there is no console yet."""
        for path in (self.console, self.dir / "supply.log"):
            if path.exists() and path.stat().st_size:
                return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        return "(nothing)"
