# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The part of a guest's documentation that is about its devices."""

from __future__ import annotations

DEVICES = r"""      disks:
        description:
          - More disks, and CD-ROM drives. One that is not listed any more is taken out of the guest; its file stays.
          - Disks on V(virtio) and V(scsi) come and go, and CD-ROM drives get another medium, while the guest runs.
            Anything else about them changes at its next boot.
        type: list
        elements: dict
        suboptions:
          target:
            description:
              - What tells it from the others, V(vdb) and on for V(virtio), V(sda) and on for V(scsi) and V(sata). The
                root disk is V(vda), the cloud-init seed V(vdz). A Linux guest need not call it so.
            type: str
            required: true
          device:
            description:
              - What it is.
            type: str
            choices: [disk, cdrom]
            default: disk
          path:
            description:
              - Its file or block device, an absolute path on the host; by default V(NAME-TARGET.FORMAT) in O(storage),
                none for a CD-ROM drive.
            type: str
          size_gib:
            description:
              - Its size in GiB, required for one that does not exist yet. It grows at once and never shrinks.
            type: int
          format:
            description:
              - Its format; by default V(qcow2) for a new one, and what it is for one that exists.
            type: str
            choices: [qcow2, raw]
          bus:
            description:
              - How it is attached; by default V(virtio) for V(vd*), else V(scsi), a CD-ROM drive V(sata).
            type: str
            choices: [virtio, scsi, sata]
          cache:
            description:
              - How the host caches it; by default QEMU's own way.
            type: str
            choices: [none, writeback, writethrough, directsync, unsafe]
          discard:
            description:
              - Whether what the guest frees is free on the host; by default V(unmap) for a new one.
            type: str
            choices: [unmap, ignore]
          readonly:
            description:
              - Keep the guest from writing to it.
            type: bool
            default: false
      kernel:
        description:
          - The absolute path of a kernel on the host to boot directly; by default that of the image.
            Changes at the guest's next boot.
        type: str
      initrd:
        description:
          - The absolute path of the initial RAM disk that goes with the kernel. Changes at the guest's next boot.
        type: str
      cmdline:
        description:
          - The kernel's command line. Changes at the guest's next boot.
        type: str
      boot_order:
        description:
          - What the firmware tries, in this order. A new guest gets V(disk) by default.
            Changes at the guest's next boot.
        type: list
        elements: str
        choices: [disk, cdrom, network]
      nics:
        description:
          - The network interfaces. Each is the other end of a tap that exists on the host, as
            M(ursa.kvmnet.bridge_port) makes it; whether it is kept from other guests is an option there. Or libvirt
            makes a tap for it at each start, on a O(guests[].nics[].bridge) or a O(guests[].nics[].libvirt_network).
          - An interface that somebody else gave to the guest stays as it is unless its MAC address is listed.
          - They come and go, and O(guests[].nics[].link), bandwidths and O(guests[].nics[].anti_spoofing) change, while
            the guest runs. Anything else about them changes at its next boot.
        type: list
        elements: dict
        suboptions:
          mac:
            description:
              - The MAC address, a unicast one such as V(52:54:00:12:34:56).
            type: str
            required: true
          tap:
            description:
              - The tap on the host, by a name of 1 to 15 characters. Required unless libvirt makes one.
            type: str
          bridge:
            description:
              - A bridge on the host, whoever made it, on which libvirt makes the tap.
            type: str
          libvirt_network:
            description:
              - A network of libvirt's own, such as V(default), on which libvirt makes the tap.
            type: str
          model:
            description:
              - What the guest sees, a model that QEMU has, such as V(virtio) or V(e1000).
            type: str
            default: virtio
          mtu:
            description:
              - The MTU in bytes that the guest is told, 68 to 65535.
            type: int
          queues:
            description:
              - The number of queues, 1 to 256; more than one needs a tap with as many and
                O(guests[].nics[].model=virtio).
            type: int
            default: 1
          link:
            description:
              - Whether the cable is plugged in.
            type: str
            choices: [up, down]
            default: up
          inbound_mbit:
            description:
              - At most so many Mbit/s to the guest, 1 to 400000.
            type: int
          outbound_mbit:
            description:
              - At most so many Mbit/s from the guest, 1 to 400000.
            type: int
          anti_spoofing:
            description:
              - Let the guest send with its own MAC address only, in ARP too, and, with O(guests[].nics[].address), with
                that address of IPv4.
            type: bool
            default: false
          address:
            description:
              - The address of IPv4, such as V(192.0.2.5), for O(guests[].nics[].anti_spoofing) and
                O(guests[].nics[].lease).
            type: str
          lease:
            description:
              - Whether V(lease) in O(guests[].wait_for) means this one too. The first one's is always waited for.
            type: bool
            default: false
      serial:
        description:
          - A serial port, for C(virsh console). On by default for guests made here. Changes at the guest's next boot.
        type: bool
      console_log:
        description:
          - Log the first serial port to V(/var/log/libvirt/qemu/NAME-console.log), begun anew at each boot. On by
            default for guests made here. Changes at the guest's next boot.
        type: bool
      agent:
        description:
          - A channel for the QEMU guest agent. On by default for guests made here. Changes at the guest's next boot.
        type: bool
      rng:
        description:
          - A random generator. On by default for guests made here. Changes while the guest runs.
        type: bool
      graphics:
        description:
          - A screen, with a card that goes with it. It listens on the host's own address 127.0.0.1 only. V(none) by
            default for guests made here. Changes at the guest's next boot.
        type: str
        choices: [none, vnc, spice]
      watchdog:
        description:
          - What happens to a guest that does not feed its watchdog; with V(none) it has none, the default for guests
            made here. Changes at the guest's next boot.
        type: str
        choices: [none, reset, shutdown, poweroff, pause, dump, inject-nmi]
      xml_patch:
        description:
          - What no option says, such as host devices or a TPM, as pieces of libvirt's XML. One that is not listed any
            more is taken out.
          - A piece counts as there when the domain has an element that says all that it says, whatever else libvirt
            added to it. Changes at the guest's next boot.
        type: list
        elements: dict
        suboptions:
          path:
            description:
              - The element that it goes into, V(.) for the domain itself.
            type: str
            default: devices
          xml:
            description:
              - One element.
            type: str
            required: true
"""
