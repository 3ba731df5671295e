#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: Keep the files of one service, checked together and with the least that must happen to its units
description:
  - Converges a set of files as one unit. They are checked together before any of them is used, put in place together,
    and then each unit does the least that the changed files call for.
  - Compares units, kernel settings and DHCP leases with the files too, so that a host whose files are right and whose
    services are not is put right, and the plan says so.
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
  files:
    description:
      - The files. Settings in C(/etc/sysctl.d) are also loaded when they change, or when the kernel holds other values.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the file is, an absolute path.
        type: str
        required: true
      content:
        description: The file's text. Required unless O(files[].state=absent).
        type: str
      mode:
        description: The file's mode in octal, as a quoted string such as V("0644").
        type: raw
        default: "0644"
      force:
        description: With V(false), a file that is there is left as it is.
        type: bool
        default: true
      state:
        description: Whether the file is there.
        type: str
        choices: [present, absent]
        default: present
  exclusive:
    description:
      - Directories in which files of ours that are not in O(files) are removed. Other people's files in them are never
        touched.
    type: list
    elements: dict
    default: []
    suboptions:
      directory:
        description: The directory.
        type: str
        required: true
      prefix:
        description: How the names of our files begin.
        type: str
        default: 50-kvmnet-
  validate:
    description:
      - Programs with their arguments, run when a file changes and before it is used. One that returns other than 0
        refuses the change.
      - C(%s) stands for a directory that holds the files as they will be, below their full paths, together with the
        other files of the directories of O(exclusive).
      - In check mode a program that is not installed is passed over and RV(validated) is V(false).
    type: list
    elements: list
    default: []
  units:
    description:
      - Units of systemd that use the files. A unit may stand here several times, with a rule each.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The unit's full name.
        type: str
        required: true
      enabled:
        description: Whether it starts at boot. Not managed by default.
        type: bool
      state:
        description: Whether it runs. Not managed by default.
        type: str
        choices: [started, stopped]
      masked:
        description: Whether it is kept from ever being started. V(true) stops it as well. Not managed by default.
        type: bool
      paths:
        description:
          - Paths of O(files), or directories of O(exclusive), that the unit must notice changes of.
        type: list
        elements: str
        default: []
      action:
        description:
          - What the unit does then. Of several rules that apply, the strongest is carried out, once.
          - A unit that does not run is left alone.
        type: str
        choices: [signal-HUP, reload, reload-or-restart, restart]
      order:
        description: Where it stands among the steps of the change. The firewall is loaded at 60.
        type: int
        default: 50
  commands:
    description:
      - Programs to run, once the files are in place, when one of the files they depend on changes. One that fails puts
        everything back.
    type: list
    elements: dict
    default: []
    suboptions:
      argv:
        description: The program and its arguments. With O(commands[].undo) it may be empty.
        type: list
        elements: str
        required: true
      undo:
        description:
          - The program and its arguments that undo it, run with the old files in place when the change is put back.
          - Without it, nothing is run then.
        type: list
        elements: str
      before:
        description:
          - Whether both are run while the files are still as they were, as a program must be that goes itself.
        type: bool
        default: false
      paths:
        description: Paths of O(files), or directories of O(exclusive).
        type: list
        elements: str
        required: true
      order:
        description: Where it stands among the steps of the change.
        type: int
        default: 55
  release:
    description:
      - Give back DHCP leases of dnsmasq that contradict its reservations, with C(dhcp_release) of the package
        dnsmasq-utils. Otherwise a guest waits for its reserved address until the last holder's lease ends.
    type: dict
    suboptions:
      leases:
        description: The lease file.
        type: str
        required: true
      reservations:
        description: The file of reservations, lines of MAC address, address and name.
        type: str
        required: true
      interfaces:
        description: The interfaces that are served, each with its IPv4 address and prefix.
        type: dict
        required: true
seealso:
  - module: ursa.kvmnet.network_guard
"""

EXAMPLES = r"""
- name: Keep a service's configuration
  ursa.kvmnet.config_files:
    files:
      - path: /etc/example/10-main.conf
        content: |
          listen = 192.168.0.254
      - path: /etc/example/hosts
        content: |
          192.168.0.1 web
    validate:
      - [example, --check, "%s/etc/example/10-main.conf"]
    units:
      - name: example.service
        enabled: true
        state: started
        paths: [/etc/example/10-main.conf]
        action: restart
      - name: example.service
        paths: [/etc/example/hosts]
        action: reload

- name: Stage kernel settings, and load a module when the file that names it changes
  ursa.kvmnet.config_files:
    stage: true
    run_id: "{{ lookup('ursa.kvmnet.run_id') }}"
    files:
      - path: /etc/sysctl.d/50-kvmnet-bridge.conf
        content: |
          net.bridge.bridge-nf-call-iptables = 0
      - path: /etc/modules-load.d/50-kvmnet-bridge.conf
        content: |
          br_netfilter
    commands:
      - argv: [modprobe, br_netfilter]
        paths: [/etc/modules-load.d/50-kvmnet-bridge.conf]
        order: 10
"""

RETURN = r"""
changes:
  description: What differs from the live system, and what happens because of it.
  returned: success
  type: list
  elements: dict
  sample:
    - action: change
      kind: unit
      name: example.service
      options: {}
      note: reload, because /etc/example/hosts changes
validated:
  description: Whether every command of O(validate) ran and accepted the files. They are not run when no file changes.
  returned: when a file changes
  type: bool
  sample: true
problems:
  description: Everything that is wrong with the options, or that a validation command objected to.
  returned: failure
  type: list
  elements: dict
  sample:
    - variable: files
      index: 0
      key: mode
      value: rw
      allowed: an octal mode as a quoted string, such as '0644'
      host: null
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import STAGING_OPTIONS, Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._files import _converge, _units, _validate
from ansible_collections.ursa.kvmnet.plugins.module_utils._files._request import ACTIONS, PREFIX, read_request
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import report

_PATHS = {"type": "list", "elements": "str"}

ARGUMENTS: dict[str, Any] = {
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "content": {"type": "str"},
            "mode": {"type": "raw", "default": "0644"},
            "force": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
    },
    "exclusive": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"directory": {"type": "str", "required": True}, "prefix": {"type": "str", "default": PREFIX}},
    },
    "validate": {"type": "list", "elements": "list", "default": []},
    "units": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "enabled": {"type": "bool"},
            "state": {"type": "str", "choices": ["started", "stopped"]},
            "masked": {"type": "bool"},
            "paths": {**_PATHS, "default": []},
            "action": {"type": "str", "choices": list(ACTIONS)},
            "order": {"type": "int", "default": 50},
        },
    },
    "commands": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "argv": {"type": "list", "elements": "str", "required": True},
            "undo": {"type": "list", "elements": "str"},
            "before": {"type": "bool", "default": False},
            "paths": {**_PATHS, "required": True},
            "order": {"type": "int", "default": 55},
        },
    },
    "release": {
        "type": "dict",
        "options": {
            "leases": {"type": "str", "required": True},
            "reservations": {"type": "str", "required": True},
            "interfaces": {"type": "dict", "required": True},
        },
    },
    **STAGING_OPTIONS,
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    request, problems = read_request(module.params)
    if problems:
        module.fail_json(**report(problems))
    try:
        states = _units.read_states([unit.name for unit in request.units])
        candidate = Candidate.begin(module.params["run_id"], module.params["stage"])
        plan = _converge.stage(request, candidate, states)
        result = plan.to_result()
        if not module.check_mode:
            problems += _converge.missing_units(request, candidate, states)
        if any(change.kind == "file" for change in plan.changes):
            result["validated"], objections = _validate.validate(request, candidate, missing_allowed=module.check_mode)
            problems += objections
        if problems:
            module.fail_json(**report(problems))
        candidate.finish(module.check_mode)
    except ApplyError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
