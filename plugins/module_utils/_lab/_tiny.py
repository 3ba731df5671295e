# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The small guest: Debian's kernel and a busybox, an address in three seconds even without hardware virtualisation."""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

SUITE = "bookworm"
PACKAGES = ["busybox-static", "kmod", "linux-image-cloud-amd64"]
# In this order, each with what it depends on: a network card, the power button that "shutdown" presses, randomness,
# memory that can be taken back
DRIVERS = ["virtio_pci", "virtio_net", "button", "evdev", "virtio_rng", "virtio_balloon"]

INITTAB = """\
::sysinit:/etc/rc
::respawn:/bin/httpd -f -p 0.0.0.0:80 -h /www
::respawn:/etc/power
ttyS0::askfirst:/bin/sh
"""

RC = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r driver; do insmod "/drivers/$driver" 2>/dev/null; done < /drivers/order
ip link set lo up
name=$(sed -n 's/.*kvmnet.name=\\([^ ]*\\).*/\\1/p' /proc/cmdline)
[ -z "$name" ] || hostname "$name"
for card in $(ls /sys/class/net); do
  [ "$card" = lo ] || udhcpc -b -S -t 30 -T 1 -i "$card" -s /etc/dhcp -O hostname -O mtu ${name:+-x hostname:$name}
done >/dev/console 2>&1
"""

DHCP = """\
#!/bin/sh
case $1 in
  deconfig) ip link set "$interface" up; ip addr flush dev "$interface" ;;
  bound|renew)
    ip addr replace "$ip/$mask" dev "$interface"
    [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
    [ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface"
    [ -z "$hostname" ] || hostname "$hostname"
    { [ -z "$domain" ] || echo "search $domain"; for s in $dns; do echo "nameserver $s"; done; } > /etc/resolv.conf
    echo "kvmnet: $(hostname) has $ip"
    ;;
esac
"""

# A shutdown asked for by the hypervisor is a press of the power button
POWER = """\
#!/bin/sh
for button in /dev/input/event*; do
  (dd if="$button" bs=24 count=1 of=/dev/null 2>/dev/null && poweroff -f) &
done
wait
exec sleep 86400
"""

HEADER = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
# What a test may ask of the guest: who it is and whom it saw, a page, a name, an echo, a banner
PAGES = {
    "index.cgi": 'printf "client=%s\\nname=%s\\nhost=%s\\n" "$REMOTE_ADDR" "$(hostname)" "$HTTP_HOST"\n',
    # wget's own time limit crashes Debian's static build
    "fetch": 'timeout 8 wget -q -O - "$QUERY_STRING" 2>&1 || echo "failed=$?"\n',
    "resolve": 'nslookup "$QUERY_STRING" 2>&1 || echo "failed=$?"\n',
    "ping": 'ping -c 2 -W 2 "$QUERY_STRING" 2>&1 || echo "failed=$?"\n',
    "connect": 'nc -w 3 "${QUERY_STRING%:*}" "${QUERY_STRING##*:}" </dev/null 2>&1 || echo "failed=$?"\n',
    "address": "ip addr 2>&1; ip route 2>&1; cat /etc/resolv.conf\n",
}

RECIPE: list[object] = [SUITE, PACKAGES, DRIVERS, INITTAB, RC, DHCP, POWER, HEADER, PAGES]


def build(mirror: str, target: Path, execute: Callable[[Sequence[str]], None]) -> None:
    """Two files: a kernel and its initrd."""
    root = target / "root"
    execute(
        [
            *("unshare", "--mount", "--propagation", "private", "mmdebstrap", "--variant=extract", "--mode=root"),
            *(f"--include={','.join(PACKAGES)}", SUITE, str(root), mirror),
        ]
    )
    release = next((root / "lib/modules").iterdir()).name
    execute(["chroot", str(root), "depmod", release])
    shutil.copyfile(root / f"boot/vmlinuz-{release}", target / "tiny-vmlinuz")
    (target / "tiny-initrd.img").write_bytes(initrd(root, release))
    shutil.rmtree(root)


def drivers(modules_dep: str, wanted: Sequence[str]) -> list[str]:
    """The files of these modules and of all they need, each after what it needs; what is not there is built in."""
    needs: dict[str, list[str]] = {}
    for line in modules_dep.splitlines():
        path, _colon, others = line.partition(":")
        needs[path] = others.split()
    paths = {path.rpartition("/")[2].partition(".")[0]: path for path in needs}
    order: list[str] = []
    for name in wanted:
        if name in paths:
            # depmod lists the nearest need first
            order += [p for p in [*reversed(needs[paths[name]]), paths[name]] if p not in order]
    return order


def initrd(root: Path, release: str) -> bytes:
    """The archive, packed."""
    base = root / "lib/modules" / release
    archive = Archive()
    for directory in ("bin", "dev", "etc", "proc", "sys", "tmp", "drivers", "www", "www/cgi-bin"):
        archive.directory(directory)
    archive.file("bin/busybox", (root / "bin/busybox").read_bytes(), 0o755)
    archive.link("init", "/bin/busybox")
    for applet in APPLETS.split():
        archive.link(f"bin/{applet}", "busybox")
    archive.device("dev/console", 5, 1)
    order = []
    for path in drivers((base / "modules.dep").read_text(encoding="utf-8"), DRIVERS):
        data = (base / path).read_bytes()
        name = path.rpartition("/")[2]
        archive.file(f"drivers/{name.removesuffix('.xz')}", lzma.decompress(data) if name.endswith(".xz") else data)
        order.append(name.removesuffix(".xz"))
    archive.file("drivers/order", "".join(f"{name}\n" for name in order).encode())
    archive.file("etc/inittab", INITTAB.encode())
    for name, text in (("rc", RC), ("dhcp", DHCP), ("power", POWER)):
        archive.file(f"etc/{name}", text.encode(), 0o755)
    for name, text in PAGES.items():
        archive.file(f"www/cgi-bin/{name}", (HEADER + text).encode(), 0o755)
    return gzip.compress(archive.close(), 9, mtime=0)


APPLETS = (
    "sh init mount insmod ip hostname sed ls udhcpc httpd poweroff reboot halt dd sleep cat echo printf"
    " timeout wget nslookup ping nc ps dmesg free uptime"
)


class Archive:
    """An initramfs: the "newc" form of cpio, as the kernel's documentation describes it."""

    def __init__(self) -> None:
        self.out = io.BytesIO()
        self.count = 0

    def _entry(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self.count += 1
        path = name.encode() + b"\0"
        fields = [self.count, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0]
        self._pad(b"070701" + b"".join(b"%08X" % value for value in fields) + path)
        self._pad(data)

    def _pad(self, data: bytes) -> None:
        self.out.write(data)
        self.out.write(bytes(-self.out.tell() % 4))

    def directory(self, name: str) -> None:
        self._entry(name, 0o040755)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self._entry(name, 0o100000 | mode, data)

    def link(self, name: str, target: str) -> None:
        self._entry(name, 0o120777, target.encode())

    def device(self, name: str, major: int, minor: int) -> None:
        self._entry(name, 0o020600, device=(major, minor))

    def close(self) -> bytes:
        self._entry("TRAILER!!!", 0)
        return self.out.getvalue()
