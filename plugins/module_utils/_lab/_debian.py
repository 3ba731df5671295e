# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A Debian disk image as a cloud would offer it: boots by itself from any disk bus, set up by cloud-init."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

SUITES = {"debian-12": "bookworm", "debian-13": "trixie"}
PACKAGES = [
    *("ca-certificates", "cloud-guest-utils", "cloud-init", "curl", "dbus", "e2fsprogs", "fdisk", "grub-pc-bin"),
    *("initramfs-tools", "iproute2", "iputils-ping", "linux-image-cloud-amd64", "openssh-server", "python3"),
    *("qemu-guest-agent", "sudo", "systemd-resolved", "systemd-sysv", "udev"),
]
# Enough to find a root file system on any bus that a virtual machine may have; a small initrd starts faster
INITRD_MODULES = "virtio_pci virtio_blk virtio_scsi virtio_net ahci ata_piix nvme sd_mod sr_mod isofs ext4"
GRUB_MODULES = "biosdisk part_msdos ext2 normal linux configfile serial terminal minicmd gzio"
# An emulated timer that comes late on a busy machine must not look like a broken one, which is a panic
KERNEL_LINE = "root=LABEL=root ro console=tty0 console=ttyS0,115200 quiet no_timer_check"
# What a user's seed may ask for, without what costs half a minute on an emulated processor and has nothing to do here:
# package sources, GRUB's answers, locales
CLOUD_CONFIG = """\
datasource_list: [NoCloud, None]
ssh_genkeytypes: [ed25519]
cloud_init_modules: [bootcmd, write-files, growpart, resizefs, disk-setup, mounts, set-hostname, update-hostname,
  update-etc-hosts, users-groups, ssh]
cloud_config_modules: [set-passwords, ntp, timezone, runcmd]
cloud_final_modules: [package-update-upgrade-install, scripts-per-once, scripts-per-boot, scripts-per-instance,
  scripts-user, final-message, power-state-change]
"""
MASKED = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
]
SECTOR = 512
FIRST_SECTOR = 2048
DISK_MIB = 2048


def build(name: str, mirror: str, target: Path, execute: Callable[[Sequence[str]], None]) -> None:
    """One file: NAME.qcow2."""
    root, raw = target / "root", target / "disk.raw"
    execute([*install_command(SUITES[name]), str(root), mirror])
    boot, core = bootloader(root, execute)
    offset = FIRST_SECTOR * SECTOR
    with raw.open("wb") as disk:
        disk.truncate(DISK_MIB * 1024 * 1024)
    # metadata_csum_seed and orphan_file are newer than the GRUB of Debian 12
    features = "^metadata_csum_seed,^orphan_file"
    kib = DISK_MIB * 1024 - offset // 1024
    mke2fs = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-O", features, "-E", f"offset={offset},discard=0"]
    execute([*mke2fs, "-d", str(root), str(raw), f"{kib}k"])
    with raw.open("r+b") as disk:
        disk.write(boot_sectors(boot, core, DISK_MIB * 2048))
    execute(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(target / f"{name}.qcow2")])
    raw.unlink()
    shutil.rmtree(root)


def recipe(suite: str) -> list[object]:
    """What an image is made of: another recipe is another image."""
    return [1, install_command(suite), GRUB_MODULES, KERNEL_LINE, DISK_MIB]


def install_command(suite: str) -> list[str]:
    """Everything but the place and the mirror, which stand last."""
    hooks = [
        'chroot "$1" systemctl enable systemd-networkd.service systemd-resolved.service ssh.service',
        f'chroot "$1" systemctl mask {" ".join(MASKED)}',
        f"printf %s '{CLOUD_CONFIG}' > \"$1/etc/cloud/cloud.cfg.d/90-lab.cfg\"",
        'echo "LABEL=root / ext4 errors=remount-ro 0 1" > "$1/etc/fstab"',
        'ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"',
        'rm -f "$1"/etc/ssh/ssh_host_*_key*; : > "$1/etc/machine-id"; echo localhost > "$1/etc/hostname"',
    ]
    before = (
        'mkdir -p "$1/etc/initramfs-tools/conf.d"; echo MODULES=list > "$1/etc/initramfs-tools/conf.d/lab";'
        f" printf '%s\\n' {INITRD_MODULES} > \"$1/etc/initramfs-tools/modules\""
    )
    return [
        *("unshare", "--mount", "--propagation", "private"),
        *("mmdebstrap", "--variant=apt", "--mode=root", "--format=directory", f"--include={','.join(PACKAGES)}"),
        *(f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("doc", "man", "locale", "info")),
        "--dpkgopt=force-confold",
        f"--essential-hook={before}",
        *(f"--customize-hook={hook}" for hook in hooks),
        suite,
    ]


def bootloader(root: Path, execute: Callable[[Sequence[str]], None]) -> tuple[bytes, bytes]:
    """GRUB for a BIOS, by its own tools from inside the image; no loop device is needed to install it."""
    kernel = next(p.name for p in (root / "boot").glob("vmlinuz-*"))
    initrd = kernel.replace("vmlinuz-", "initrd.img-")
    (root / "boot/grub").mkdir(exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(
        "serial --unit=0 --speed=115200\nterminal_output serial console\n"
        f"linux /boot/{kernel} {KERNEL_LINE}\ninitrd /boot/{initrd}\nboot\n",
        encoding="utf-8",
    )
    command = ["grub-mkimage", "-O", "i386-pc", "-o", "/boot/grub/core.img", "-p", "(hd0,msdos1)/boot/grub"]
    execute(["chroot", str(root), *command, *GRUB_MODULES.split()])
    core = root / "boot/grub/core.img"
    boot = (root / "usr/lib/grub/i386-pc/boot.img").read_bytes()
    return boot, core.read_bytes()


def boot_sectors(boot: bytes, core: bytes, sectors: int) -> bytes:
    """What stands before the first partition: the loader, with the partition table in its first sector."""
    if SECTOR + len(core) > FIRST_SECTOR * SECTOR:
        raise ValueError("the boot loader does not fit before the first partition")
    count = sectors - FIRST_SECTOR
    partition = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", FIRST_SECTOR, count)
    # boot.img as it comes loads what follows it on the disk, which is where core.img goes
    first = boot[:440].ljust(440, b"\0") + b"KVMN\0\0" + partition.ljust(64, b"\0") + b"\x55\xaa"
    return first + core
