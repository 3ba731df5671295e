# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._guest_docs import DEVICES


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
          - The guest's name, up to 63 letters, digits, V(-), V(_) and V(.), the first one a letter or digit. Its UUID
            is derived from it.
        type: str
        required: true
      source:
        description:
          - Where the entry comes from, such as V(kvmnet_guests[1]). Error messages name it.
        type: str
      renamed_from:
        description:
          - The name that the guest was made under. It keeps its disks and, in an inventory, its UUID, MAC address, tap
            and lease, which follow from that name for as long as it stands here, through every other name.
          - A guest that runs gets its new name when it is next stopped, or by a restart.
        type: str
      state:
        description:
          - V(running), V(stopped) and V(paused) say what the guest shall be, V(present) leaves that alone.
          - A guest is stopped by its agent or by ACPI; O(guests[].stop_timeout) and O(guests[].on_timeout) say what
            happens if it does not.
          - V(absent) stops the guest and removes its definition and seed. Its disk stays unless
            O(guests[].remove_storage=true), and a guest of that name made later gets it back.
        type: str
        choices: [running, stopped, paused, present, absent]
        default: running
      uuid:
        description:
          - The UUID, such as V(6b766d6e-6574-4572-8361-000000000001); by default derived from the name.
            Cannot change on an existing guest.
        type: str
      title:
        description:
          - A short title, shown by C(virsh list --title). Changes while the guest runs.
        type: str
      description:
        description:
          - What the guest is for. Changes while the guest runs.
        type: str
      virt_type:
        description:
          - V(kvm) needs hardware virtualisation, V(qemu) emulates. By default O(virt_type).
            Changes at the guest's next boot.
        type: str
        choices: [kvm, qemu]
      memory_mib:
        description:
          - The guest's memory in MiB. A new guest gets 1024 by default.
          - Changes while the guest runs, up to O(guests[].max_memory_mib), if it has a driver for its balloon.
        type: int
      max_memory_mib:
        description:
          - The memory in MiB up to which it can be given more while it runs; by default the same as
            O(guests[].memory_mib). Changes at the guest's next boot.
        type: int
      vcpus:
        description:
          - The number of virtual CPUs. A new guest gets 1 by default.
          - Changes while the guest runs, up to O(guests[].max_vcpus). A guest need not let go of one; one
            with O(guests[].virt_type=qemu) is not asked to, because its hypervisor does not survive that.
        type: int
      max_vcpus:
        description:
          - The number up to which it can be given more while it runs; by default the same as O(guests[].vcpus).
            Changes at the guest's next boot.
        type: int
      cpu:
        description:
          - V(host-passthrough), V(host-model), V(maximum) or the name of a CPU model.
          - By default V(host-passthrough) with V(kvm) and V(qemu64) with V(qemu). Changes at the guest's next boot.
        type: str
      cpu_topology:
        description:
          - How O(guests[].max_vcpus) virtual CPUs are arranged; by default each is a socket.
            Changes at the guest's next boot.
        type: dict
        suboptions:
          sockets:
            description:
              - The number of sockets.
            type: int
            default: 1
          dies:
            description:
              - Dies in each socket.
            type: int
            default: 1
          cores:
            description:
              - Cores in each die.
            type: int
            default: 1
          threads:
            description:
              - Threads of each core.
            type: int
            default: 1
      machine:
        description:
          - The machine type; by default V(q35) on x86. Cannot change on an existing guest.
        type: str
      firmware:
        description:
          - What boots the guest; by default V(bios) on x86. V(uefi) needs the package ovmf on the host.
          - The variables of V(uefi) are kept with the disks, and go with them. Cannot change on an existing guest.
        type: str
        choices: [bios, uefi]
      secure_boot:
        description:
          - Let V(uefi) start signed code only. Cannot change on an existing guest.
        type: bool
      image:
        description:
          - What the guest starts from, a key of O(images). Its disk is made on top of the image, which is never
            written.
          - A disk that exists is never made anew, so another image later is only reported, as RV(needs_recreate).
            Changes while the guest runs.
        type: str
      disk_path:
        description:
          - The file or block device of the root disk, an absolute path on the host; by default V(NAME.qcow2) in
            O(storage). Changes at the guest's next boot.
        type: str
      disk_format:
        description:
          - The format of the root disk; by default V(qcow2) for a new one, and what it is for one that exists.
            Cannot change on an existing guest.
        type: str
        choices: [qcow2, raw]
      disk_gib:
        description:
          - The size of the root disk in GiB; by default that of the image. It never shrinks.
            Changes while the guest runs.
        type: int
"""
    DOCUMENTATION += (
        DEVICES
        + r"""      autostart:
        description:
          - Start the guest with the host. On by default for guests made here, unless O(guests[].state=stopped).
            Changes while the guest runs.
        type: bool
      start_order:
        description:
          - Guests with a lower number are started, and waited for, before those with a higher one.
            Changes while the guest runs.
          - libvirt starts guests with the host in no order. As soon as a guest of a host has one
            (O(guests[].start_order), O(guests[].start_delay), O(guests[].depends)), C(kvmnet-guests.service) starts
            all of them in its place at the host's boot, one after the other, without waiting until they are up.
            It goes with the last guest that has an order.
        type: int
        default: 0
      start_delay:
        description:
          - Seconds to wait after this guest is up before those that come after it are started.
            Changes while the guest runs.
        type: int
        default: 0
      depends:
        description:
          - Guests that must be up before this one is started. Changes while the guest runs.
        type: list
        elements: str
        default: []
      network:
        description:
          - The name of the guest's network, kept in the domain's metadata for reports. Changes while the guest runs.
        type: str
      address:
        description:
          - The address of IPv4, such as V(192.0.2.5), that the guest's lease must be for. Without it any will do.
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
          - Users for this guest in place of O(users), with the same keys.
        type: list
        elements: dict
      user_data:
        description:
          - More cloud-init user-data. A key of it replaces the one derived here.
          - It is readable in logs of the module's invocation; give hashes of passwords, not passwords.
        type: dict
      meta_data:
        description:
          - More cloud-init meta-data. A key of it replaces the one derived here.
        type: dict
      network_config:
        description:
          - Network configuration, as cloud-init's C(network-config) has it. Without it, cloud-init asks for a lease on
            the first interface.
        type: dict
      wait_for:
        description:
          - What must be there before a guest that was started counts as up. V(lease) is a DHCP lease, one it asked for
            since. V(agent) is its QEMU guest agent. A dictionary with the key C(port) is an answer on that TCP port,
            tried from the host on O(guests[].address) or the lease's address.
          - The error says where it hangs, with what it printed last on its serial port.
        type: list
        elements: raw
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
    )
