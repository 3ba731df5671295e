#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kvm_guest
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: Make KVM guests what an inventory says, and keep them so
description:
  - Makes libvirt domains with their disks, cloud-init seeds and network interfaces, starts them in their order, and
    waits until they are really up.
  - Converges guests that exist. What can change while a guest runs changes at once; the rest is written for its next
    boot and reported as RV(pending_restart), or applied by a restart if O(guests[].restart=if_needed).
  - In an existing domain only what the options name is changed; everything else in its XML stays. A domain that was
    made by hand is adopted by its name, and then only the options that its entry names are managed.
  - Disks are precious. They are made and grown, never shrunk, and removed only with O(guests[].remove_storage=true).
  - All guests of a host are one call. All problems are reported at once, before anything is changed.
  - A run that is interrupted at any point, by a killed process or by the end of the host's power, is finished by the
    next one. Two runs on one host wait for each other.
extends_documentation_fragment:
  - ursa.kvmnet.attributes
  - ursa.kvmnet.attributes.actiongroup
  - ursa.kvmnet.guests
attributes:
  check_mode:
    support: full
    details:
      - Works on a host where libvirt is not installed yet, and predicts the first run.
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - On the host, python3-libvirt, libvirt-daemon-system and qemu-utils; ovmf for guests with UEFI.
options:
  images:
    description:
      - Name -> image. An image is a disk image on the host (V(path)) or one to download (V(url), V(checksum) as
        V(sha256:HEX) or V(sha512:HEX)), or a V(kernel) with V(initrd) and V(cmdline), or both.
      - A download is verified, kept read-only and made once for each host. What is neither qcow2 nor raw (V(vmdk),
        V(vdi), V(vhdx), V(vpc)) is converted. An image that changed under the disks made from it is refused.
      - While an image is on its way, the task prints how far it is. A download goes on when the controller goes, and
        a task that wants the same one waits for it. Tasks with C(async) print nothing.
    type: dict
    default: {}
  users:
    description:
      - Who may log in to the guests that have a seed. With no users, the image's own rules hold.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The login name.
        type: str
        required: true
      ssh_keys:
        description:
          - Public SSH keys, each as a line of C(authorized_keys).
        type: list
        elements: str
        default: []
      sudo:
        description:
          - Whether the user may become root without a password.
        type: bool
        default: true
      groups:
        description:
          - More groups of the user.
        type: list
        elements: str
        default: []
      shell:
        description:
          - The login shell.
        type: str
        default: /bin/bash
  virt_type:
    description:
      - The type of guests that do not say. V(qemu) works without hardware virtualisation, slowly.
    type: str
    choices: [kvm, qemu]
    default: kvm
  storage:
    description:
      - The directory where disks, seeds and downloaded images are kept, an absolute path.
    type: path
    default: /var/lib/libvirt/images/kvmnet
  exclusive:
    description:
      - Also remove the guests that carry the mark of this module and are not listed. Their disks stay. Other domains
        are never touched.
    type: bool
    default: false
  prune_images:
    description:
      - Remove downloaded and converted images that O(images) does not name any more and no disk stands on. Disks of
        guests that do not exist are only known in O(storage).
    type: bool
    default: false
  restart:
    description:
      - Whether to restart guests for what cannot change while they run.
    type: str
    choices: [never, if_needed]
    default: never
  stop_timeout:
    description:
      - Seconds that a guest has to stop after it was asked to.
    type: int
    default: 60
  on_timeout:
    description:
      - Whether a guest that does not stop in time fails the task or is switched off.
    type: str
    choices: [fail, destroy]
    default: fail
  wait_timeout:
    description:
      - Seconds until a guest must be up.
    type: int
    default: 120
  parallel:
    description:
      - How many guests are handled at once, at least 1.
    type: int
    default: 8
  lease_files:
    description:
      - Patterns of dnsmasq's lease files.
    type: list
    elements: str
    default: [/var/lib/misc/dnsmasq*.leases, /var/lib/dnsmasq/*.leases, /var/lib/kvmnet/*.leases]
  uri:
    description:
      - libvirt's connection URI.
    type: str
    default: qemu:///system
  token:
    description:
      - Set by the action plugin, the name of the task while it waits for images; not for playbooks.
    type: str
seealso:
  - module: ursa.kvmnet.bridge_port
"""

EXAMPLES = r"""
- name: Two guests, one from a cloud image, one from a kernel and an initial RAM disk
  ursa.kvmnet.kvm_guest:
    images:
      debian-12:
        path: /var/lib/libvirt/images/debian-12-genericcloud-amd64.qcow2
      tiny:
        kernel: /srv/kvmnet/images/tiny-vmlinuz
        initrd: /srv/kvmnet/images/tiny-initrd.img
        cmdline: console=ttyS0 quiet
    users:
      - name: admin
        ssh_keys: ["ssh-ed25519 AAAA... admin@example"]
    guests:
      - name: db
        image: debian-12
        memory_mib: 2048
        disk_gib: 20
        nics:
          - {mac: "52:54:10:20:30:40", tap: tap-db}
        wait_for: [lease]
      - name: web
        image: tiny
        memory_mib: 128
        nics:
          - {mac: "52:54:10:20:30:41", tap: tap-web}
        depends: [db]

- name: Give a guest that runs another disk and another card, and more memory than it can take without a restart
  ursa.kvmnet.kvm_guest:
    restart: if_needed
    images:
      debian-12:
        path: /var/lib/libvirt/images/debian-12-genericcloud-amd64.qcow2
    guests:
      - name: db
        image: debian-12
        memory_mib: 4096
        disks:
          - {target: vdb, size_gib: 100}
        nics:
          - {mac: "52:54:10:20:30:40", tap: tap-db}
          - {mac: "52:54:10:20:30:42", tap: tap-db-backup, outbound_mbit: 100}
        wait_for: [lease, agent, {port: 5432}]
        # Needs the package swtpm-tools on the host
        xml_patch:
          - xml: <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>

- name: Adopt a guest that was made by hand, as kvmnet_info describes it
  ursa.kvmnet.kvm_guest:
    guests: "{{ info.guests.domains | selectattr('name', 'equalto', 'old') | map(attribute='options') | list }}"

- name: Remove a guest and its disk
  ursa.kvmnet.kvm_guest:
    guests:
      - name: web
        state: absent
        remove_storage: true
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  sample:
    - action: change
      kind: guest
      name: db
      options: {memory_mib: {before: 1024, after: 2048}}
      note: at next boot
pending_restart:
  description: Running guests that are not what they will be at their next boot, with the options that differ.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: db, options: [memory_mib]}
needs_recreate:
  description: Guests with options that cannot change on an existing guest, as they are and as they were asked for.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: db, options: {image: {have: debian-12, want: debian-13}}}
guests:
  description: The guests that are listed and not absent, with the address of their lease where they were waited for.
  returned: success
  type: list
  elements: dict
  sample:
    - name: db
      state: running
      address: 192.168.0.1
      nics: [{mac: "52:54:10:20:30:40", tap: tap-db, model: virtio, mtu: null}]
libvirt:
  description: Whether the host has libvirt; false only in check mode.
  returned: success
  type: bool
problems:
  description: What is wrong with the input, all of it.
  returned: failure
  type: list
  elements: dict
failed_guests:
  description: Guest -> where it hangs.
  returned: failure
  type: dict
"""

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._module import main

if __name__ == "__main__":
    main()
