# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The formats of the guests' images, read back by what a kernel or a BIOS would look for."""

from __future__ import annotations

import gzip
import struct
import subprocess
from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab import _debian, _tiny

MODULES_DEP = """\
kernel/net/core/failover.ko:
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko \
kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
"""


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Name -> (mode, content) of a "newc" archive."""
    found, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_at = at + 110
        name = archive[name_at : name_at + fields[11] - 1].decode()
        data_at = (name_at + fields[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], archive[data_at : data_at + fields[6]])
        at = (data_at + fields[6] + 3) & ~3


def test_drivers_come_after_what_they_need() -> None:
    order = [path.rpartition("/")[2] for path in _tiny.drivers(MODULES_DEP, ["virtio_net", "built_in"])]
    assert sorted(order) == sorted(
        ["failover.ko", "net_failover.ko", "virtio.ko", "virtio_ring.ko", "virtio_net.ko.xz"]
    )
    assert order.index("failover.ko") < order.index("net_failover.ko") < order.index("virtio_net.ko.xz")
    assert order.index("virtio.ko") < order.index("virtio_ring.ko") < order.index("virtio_net.ko.xz")


def test_the_initrd_has_all_that_it_calls(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/busybox").write_bytes(b"ELF")
    modules = tmp_path / "lib/modules/6.1"
    for name in ("failover", "net_failover", "virtio", "virtio_ring"):
        path = modules / next(p for p in MODULES_DEP.replace(":", " ").split() if p.endswith(f"/{name}.ko"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (modules / "modules.dep").write_text(MODULES_DEP.replace("virtio_net.ko.xz", "virtio_net.ko"), encoding="utf-8")
    (modules / "kernel/drivers/net/virtio_net.ko").write_bytes(b"net")
    files = entries(gzip.decompress(_tiny.initrd(tmp_path, "6.1")))
    assert files["init"] == (0o120777, b"/bin/busybox")
    assert files["drivers/order"][1].split()[-1] == b"virtio_net.ko"
    assert files["dev/console"][0] == 0o020600
    scripts = {name: data for name, (mode, data) in files.items() if mode == 0o100755 and name != "bin/busybox"}
    assert {"etc/rc", "etc/dhcp", "etc/power", "www/cgi-bin/fetch", "www/cgi-bin/index.cgi"} <= set(scripts)
    for name, data in scripts.items():
        subprocess.run(["sh", "-n"], input=data, check=True, timeout=10)
        for word in ("udhcpc", "insmod", "wget", "nslookup", "dd", "poweroff", "nc"):
            assert word.encode() not in data or f"bin/{word}" in files, f"{name} calls {word}"


def test_the_first_sector_boots_and_has_one_partition() -> None:
    disk = _debian.boot_sectors(b"\x90" * 512, b"CORE" * 200, 4096 * 1024)
    assert disk[510:512] == b"\x55\xaa"
    assert disk[512:516] == b"CORE"
    active, kind, first, count = struct.unpack("<B3xB3xII", disk[446:462])
    assert (active, kind, first, count) == (0x80, 0x83, 2048, 4096 * 1024 - 2048)
    assert disk[462:510] == bytes(48)


def test_a_loader_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        _debian.boot_sectors(b"", bytes(2048 * 512), 4096 * 1024)
