#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bridge_port
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: Make the ports of a host's bridges
description:
  - Converges all ports of a host's bridges in one call. A port is a persistent tap for a virtual machine, which is
    made, or an interface that the host has.
  - All of it is written for C(systemd-networkd), as files C(50-kvmnet-*) in C(/etc/systemd/network), so that it is
    there after a reboot. The result is compared with the kernel, so what somebody changed by hand is seen and repaired.
  - An interface that ifupdown configures is taken over, as the module M(ursa.kvmnet.bridge) does with an uplink. One of
    NetworkManager is refused, naming the file and the line.
  - A tap can be used by libvirt as C(<interface type='ethernet'>) with C(<target managed='no'/>).
extends_documentation_fragment:
  - ursa.kvmnet.attributes
  - ursa.kvmnet.attributes.actiongroup
  - ursa.kvmnet.staging
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  ports:
    description:
      - The ports.
      - A bridge takes 1023 of them; the kernel refuses the next one, and so does this module, before anything is
        changed.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The interface's name, at most 15 characters.
        type: str
        required: true
      bridge:
        description:
          - The bridge. It is on the host, or this run stages it before. Required unless O(ports[].state=absent).
        type: str
      type:
        description: V(tap) makes a persistent tap, V(interface) takes an interface that the host has.
        type: str
        choices: [tap, interface]
        default: tap
      state:
        description: Whether it is a port. V(absent) deletes a tap and takes an interface out of its bridge.
        type: str
        choices: [present, absent]
        default: present
      user:
        description:
          - The user who may open the tap. V(root) when it is not given, which is what libvirt needs for
            C(managed='no').
          - A tap cannot be without one here, because every user of the host could open it then.
          - Only for O(ports[].type=tap).
        type: str
      group:
        description: The group whose members may open the tap as well. Only for O(ports[].type=tap).
        type: str
      queues:
        description:
          - The queues of the virtual machine's card. More than one makes a multi-queue tap; tap and machine must agree
            on that.
          - A tap that somebody uses is changed when it is free, which the change says.
          - Only for O(ports[].type=tap).
        type: int
      isolated:
        description: Whether the port talks only to the host and to ports that are not isolated.
        type: bool
        default: false
      hairpin:
        description: Whether a frame may leave by the port that it came in by.
        type: bool
        default: false
      learning:
        description: Whether the bridge learns MACs at this port.
        type: bool
        default: true
      guard:
        description: Whether STP messages that come in by this port are dropped.
        type: bool
        default: false
      root_block:
        description: Whether the port may not become the way to the STP root.
        type: bool
        default: false
      locked:
        description:
          - Whether only MACs that were entered for the port may send by it.
          - Needs C(systemd-networkd) 258 or newer, and is refused otherwise, because the port would stand open after a
            reboot.
        type: bool
      cost:
        description: The port's STP path cost, 1 to 65535. Left alone when it is not given.
        type: int
      priority:
        description: The port's STP priority, 0 to 63. Left alone when it is not given.
        type: int
      mtu:
        description: The interface's MTU in bytes, 576 to 65535. Left alone when it is not given.
        type: int
      source:
        description: Where the entry comes from, such as V(kvmnet_guests[0]); error messages name it.
        type: str
  exclusive:
    description:
      - Also remove ports of ours that are not listed.
      - Only what a file with this module's mark describes is removed, never anything else.
    type: bool
    default: false
  exclusive_types:
    description:
      - The types of port that O(exclusive) is about. A caller that knows all interfaces, but not all taps, names
        V(interface) only.
    type: list
    elements: str
    choices: [tap, interface]
    default: [tap, interface]
notes:
  - Needs C(systemd-networkd) 252 or newer and C(iproute2). networkd is enabled if it is not.
  - networkd makes taps without the right to override file permissions, so C(/dev/net/tun) must be writable for
    everybody, as it is wherever udev runs.
seealso:
  - module: ursa.kvmnet.bridge
  - module: ursa.kvmnet.kvm_guest
  - module: ursa.kvmnet.network_guard
"""

EXAMPLES = r"""
- name: Make the taps of two virtual machines
  ursa.kvmnet.bridge_port:
    ports:
      - name: tap-web
        bridge: br0
      - name: tap-db
        bridge: br0
        isolated: true

- name: Have eth2 and nothing else of ours in the bridge
  ursa.kvmnet.bridge_port:
    ports:
      - name: eth2
        type: interface
        bridge: br0
    exclusive: true
"""

RETURN = r"""
changes:
  description: What was done, or would be, in order.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: One of V(create), V(change) and V(delete).
      type: str
    kind:
      description: One of V(tap), V(port) and V(unit).
      type: str
    name:
      description: Its name.
      type: str
    options:
      description: Each option that differs, with its value C(before) and C(after).
      type: dict
    note:
      description: When or how it takes effect.
      type: str
  sample:
    - action: change
      kind: tap
      name: tap-web
      options: {isolated: {before: false, after: true}}
      note: ""
problems:
  description: Every wrong value, with its place in the inventory, when there are any.
  returned: failure
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _port_model, _ports, _state, _system
from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import STAGING_OPTIONS, Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import report

PORT = {
    "name": {"type": "str", "required": True},
    "bridge": {"type": "str"},
    "type": {"type": "str", "choices": ["tap", "interface"], "default": "tap"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "user": {"type": "str"},
    "group": {"type": "str"},
    "queues": {"type": "int"},
    "isolated": {"type": "bool", "default": False},
    "hairpin": {"type": "bool", "default": False},
    "learning": {"type": "bool", "default": True},
    "guard": {"type": "bool", "default": False},
    "root_block": {"type": "bool", "default": False},
    "locked": {"type": "bool"},
    "cost": {"type": "int"},
    "priority": {"type": "int"},
    "mtu": {"type": "int"},
    "source": {"type": "str"},
}


def converge(module: AnsibleModule) -> None:
    params = module.params
    host = _system.read_host()
    candidate = Candidate.begin(params["run_id"], params["stage"])
    out = _state.Outcome()
    ports = _port_model.normalise_ports(params["ports"], host.version, out.problems)
    _ports.plan_ports(
        ports,
        host,
        exclusive=params["exclusive_types"] if params["exclusive"] else (),
        known=_system.bridge_finder(candidate, host),
        staged=_system.text_reader(candidate),
        out=out,
    )
    if out.problems:
        module.fail_json(**report(out.problems))
    _system.stage(candidate, out, host.ifupdown)
    candidate.finish(module.check_mode)
    for warning in out.warnings:
        module.warn(warning)
    module.exit_json(**out.plan.to_result())


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "dict", "required": True, "options": PORT},
            "exclusive": {"type": "bool", "default": False},
            "exclusive_types": {
                "type": "list",
                "elements": "str",
                "choices": ["tap", "interface"],
                "default": ["tap", "interface"],
            },
            **STAGING_OPTIONS,
        },
        required_if=[("stage", True, ["run_id"])],
        supports_check_mode=True,
    )
    try:
        converge(module)
    except (ApplyError, _system.HostError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
