#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kvmnet_lab
short_description: Build, power and remove the lab, a twin of an inventory on one machine
version_added: "0.1.0"
author:
  - ursa.kvmnet contributors (@ursa-kvmnet)
description:
  - Used by the role P(ursa.kvmnet.lab#role), on the machine that runs Ansible. It makes network namespaces,
    bridges that stand for cables, and boots each managed host with C(systemd-nspawn).
    It touches nothing in the machine's own network.
  - Compares each part with the topology and makes anew only what differs. A machine whose card, address,
    suite or packages differ is installed again from its image; one that is only off is booted.
  - For the lab only; no use on a host.
options:
  state:
    description:
      - V(checked) asks whether this machine can hold the lab and reports everything that is missing, at once.
      - V(present) builds what is missing or different and waits until the machines take a login.
      - V(absent) removes everything but the lab's SSH key and the cached images. A half-built lab is removed as well.
      - V(powered_off) pulls the plug of O(hosts). Their network namespaces are deleted, as memory is by a power cut.
      - V(powered_on) boots O(hosts) that are off, and waits.
      - V(power_cycled) does both.
    type: str
    choices: [checked, present, absent, powered_off, powered_on, power_cycled]
    default: present
  topology:
    description:
      - What P(ursa.kvmnet.lab_topology#filter) returns.
      - Required with O(state=present) and O(state=checked).
    type: dict
  hosts:
    description: The machines to power.
    type: list
    elements: str
    default: []
  lab_dir:
    description: Absolute path of the directory for the lab's state, its key, and the disks of its machines.
    type: path
    required: true
  cache_dir:
    description: Absolute path of the directory with the images.
    type: path
    required: true
  programs:
    description: Absolute path of the directory with the role's programs.
    type: path
    required: true
  mirror:
    description: The Debian mirror to check with O(state=checked), when an image has to be built.
    type: str
    default: http://deb.debian.org/debian
  timeout:
    description: Seconds for the machines to boot.
    type: int
    default: 180
extends_documentation_fragment:
  - ursa.kvmnet.attributes
  - ursa.kvmnet.attributes.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: O(state=power_cycled) always cycles.
seealso:
  - module: ursa.kvmnet.kvmnet_lab_image
"""

EXAMPLES = r"""
- name: Cut the power of one host and boot it again
  ursa.kvmnet.kvmnet_lab:
    state: power_cycled
    hosts: [ursa]
    lab_dir: /home/me/kvmnet/.lab
    cache_dir: /home/me/.cache/ursa.kvmnet
    programs: /home/me/kvmnet/roles/lab/files
"""

RETURN = r"""
changes:
  description: What was, or would be, made and removed.
  returned: success
  type: list
  elements: dict
boots:
  description: What systemd said of the boot of each machine that was booted, such as V(running) or V(degraded).
  returned: success
  type: dict
  sample: {"ursa": "running"}
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._checks import check
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._lab import Lab
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._power import Power
from ansible_collections.ursa.kvmnet.plugins.module_utils._lab._system import LabFailedError
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change, Plan


def bullets(text: str, problems: list[str]) -> str:
    return text + "\n- " + "\n- ".join(problems)


def checked(params: dict[str, Any], _lab: Lab, _check_mode: bool) -> dict[str, Any]:
    problems = check(params["topology"], Path(params["lab_dir"]), Path(params["cache_dir"]), params["mirror"])
    if problems:
        raise LabFailedError(bullets("this machine cannot hold the lab; nothing was built:", problems))
    return Plan().to_result()


def present(params: dict[str, Any], lab: Lab, check_mode: bool) -> dict[str, Any]:
    topology = params["topology"]
    with lab.claim(params["timeout"], check_mode):
        strangers = lab.strangers(topology)
        if strangers:
            reason = "network namespaces exist that this lab did not make; take down the other checkout's lab first:"
            raise LabFailedError(bullets(reason, strangers))
        plan = lab.plan(topology)
        booting: list[str] = [] if check_mode else lab.build(topology)
        if not check_mode or lab.installed(topology):
            for name in lab.files(topology, write=not check_mode):
                plan.add(Change("change", "file", name))
    return {**plan.to_result(), "boots": lab.wait(booting, params["timeout"])}


def absent(params: dict[str, Any], lab: Lab, check_mode: bool) -> dict[str, Any]:
    # Without a directory there is nothing to wait for, and none is made
    with lab.claim(params["timeout"], check_mode or not lab.dir.exists()):
        plan = Plan([Change("delete", "lab", str(lab.dir))] if lab.anything() else [])
        if plan.changed and not check_mode:
            lab.take_down()
    return plan.to_result()


def power(params: dict[str, Any], lab: Lab, check_mode: bool) -> dict[str, Any]:
    return Power(lab, params["hosts"], params["timeout"]).run(params["state"], check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["checked", "present", "absent", "powered_off", "powered_on", "power_cycled"],
                "default": "present",
            },
            "topology": {"type": "dict"},
            "hosts": {"type": "list", "elements": "str", "default": []},
            "lab_dir": {"type": "path", "required": True},
            "cache_dir": {"type": "path", "required": True},
            "programs": {"type": "path", "required": True},
            "mirror": {"type": "str", "default": "http://deb.debian.org/debian"},
            "timeout": {"type": "int", "default": 180},
        },
        required_if=[("state", "present", ("topology",)), ("state", "checked", ("topology",))],
        supports_check_mode=True,
    )
    actions = {"checked": checked, "present": present, "absent": absent}
    action = actions.get(module.params["state"], power)
    try:
        lab = Lab(Path(module.params["lab_dir"]), Path(module.params["cache_dir"]), Path(module.params["programs"]))
        module.exit_json(**action(module.params, lab, module.check_mode))
    except LabFailedError as failure:
        module.fail_json(msg=str(failure))


if __name__ == "__main__":
    main()
