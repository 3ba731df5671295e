# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of a guest."""

    DOCUMENTATION = r"""
options:
  guests:
    description:
      - The guests.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The guest's name. Its UUID is derived from it.
        type: str
        required: true
      source:
        description:
          - Where the entry comes from, such as V(kvmnet_guests[1]). Error messages name it.
        type: str
      state:
        description:
          - V(running) and V(stopped) say what the guest shall be, V(present) leaves that alone.
          - V(absent) stops the guest and removes its definition and seed. Its disk stays unless
            O(guests[].remove_storage=true), and a guest of that name made later gets it back.
        type: str
        choices: [running, stopped, present, absent]
        default: running
      uuid:
        description:
          - The UUID; by default derived from the name. It cannot change on an existing guest.
        type: str
      title:
        description:
          - A short title, shown by C(virsh list --title).
        type: str
      description:
        description:
          - What the guest is for.
        type: str
      virt_type:
        description:
          - V(kvm) needs hardware virtualisation, V(qemu) emulates. By default O(virt_type).
        type: str
        choices: [kvm, qemu]
      memory_mib:
        description:
          - The guest's memory in MiB, for its next boot. A new guest gets 1024 by default.
        type: int
      max_memory_mib:
        description:
          - The memory up to which C(virsh setmem) can raise it while the guest runs; by default the same as
            O(guests[].memory_mib).
        type: int
      vcpus:
        description:
          - The number of virtual CPUs, for the next boot. A new guest gets 1 by default.
        type: int
      cpu:
        description:
          - V(host-passthrough), V(host-model), V(maximum) or the name of a CPU model.
          - By default V(host-passthrough) with V(kvm) and V(qemu64) with V(qemu).
        type: str
      machine:
        description:
          - The machine type; by default V(q35) on x86. It cannot change on an existing guest.
        type: str
      image:
        description:
          - What the guest starts from, a key of O(images). Its disk is made on top of the image, which is never
            written.
          - A disk that exists is never made anew, so another image later is only reported, as RV(needs_recreate).
        type: str
      disk_path:
        description:
          - The file of the root disk; by default V(NAME.qcow2) in O(storage).
        type: str
      disk_gib:
        description:
          - The size of the root disk in GiB; by default that of the image. It grows at once, also while the guest
            runs, and never shrinks.
        type: int
      kernel:
        description:
          - A kernel on the host to boot directly; by default that of the image.
        type: str
      initrd:
        description:
          - The initial RAM disk that goes with the kernel.
        type: str
      cmdline:
        description:
          - The kernel's command line.
        type: str
      nics:
        description:
          - The network interfaces. Each is the other end of a tap that exists on the host, as
            M(ursa.kvmnet.bridge_port) makes it.
        type: list
        elements: dict
        suboptions:
          mac:
            description:
              - The MAC address.
            type: str
            required: true
          tap:
            description:
              - The tap on the host.
            type: str
            required: true
          model:
            description:
              - What the guest sees.
            type: str
            default: virtio
          mtu:
            description:
              - The MTU that the guest is told.
            type: int
      console_log:
        description:
          - Log the first serial port to V(/var/log/libvirt/qemu/NAME-console.log), begun anew at each boot. On by
            default for guests made here.
        type: bool
      agent:
        description:
          - A channel for the QEMU guest agent. On by default for guests made here.
        type: bool
      rng:
        description:
          - A random generator. On by default for guests made here.
        type: bool
      autostart:
        description:
          - Start the guest with the host. On by default for guests made here, unless O(guests[].state=stopped).
        type: bool
      start_order:
        description:
          - Guests with a lower number are started, and waited for, before those with a higher one.
        type: int
        default: 0
      depends:
        description:
          - Guests that must be up before this one is started.
        type: list
        elements: str
        default: []
      network:
        description:
          - The name of the guest's network, kept in the domain's metadata for reports.
        type: str
      address:
        description:
          - The address that the guest's lease must be for. Without it any address will do.
        type: str
      hostname:
        description:
          - The host name that cloud-init sets; by default the guest's name.
        type: str
      fqdn:
        description:
          - The full name that cloud-init sets.
        type: str
      seed:
        description:
          - Attach a cloud-init seed (NoCloud). By default a guest with a disk image has one.
          - cloud-init reads it at a guest's first boot; later changes do not reach a guest that is installed.
        type: bool
      users:
        description:
          - Users for this guest in place of O(users).
        type: list
        elements: dict
      user_data:
        description:
          - More cloud-init user-data. A key of it replaces the one derived here.
          - It is readable in logs of the module's invocation; give hashes of passwords, not passwords.
        type: dict
      network_config:
        description:
          - Network configuration for cloud-init. Without it, cloud-init asks for a lease on the first interface.
        type: dict
      wait_for:
        description:
          - What must be there before the guest counts as up. V(lease) is a DHCP lease, for a guest that was just
            started one it asked for since.
        type: list
        elements: str
        choices: [lease]
      wait_timeout:
        description:
          - Seconds until it must be up; by default O(wait_timeout).
        type: int
      restart:
        description:
          - Whether to restart it for what cannot change while it runs; by default O(restart).
        type: str
        choices: [never, if_needed]
      stop_timeout:
        description:
          - Seconds that it has to stop; by default O(stop_timeout).
        type: int
      on_timeout:
        description:
          - What happens if it does not; by default O(on_timeout).
        type: str
        choices: [fail, destroy]
      remove_storage:
        description:
          - With O(guests[].state=absent), remove the disk too.
        type: bool
        default: false
"""
