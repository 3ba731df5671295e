#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network_guard
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: Commit what was staged on a host, whole, or put everything back
description:
  - Commits the candidate that this run's staging modules left on the host, in one task, the only one that can cut
    the controller off.
  - The change is applied by a unit of its own, outside Ansible's process tree, while no connection of Ansible is
    open. The task then succeeds only if a B(new) connection reaches the host, which confirms the change.
  - Unless it is confirmed in time, the host undoes it by itself. It does so as well when a step fails, when what
    applies or watches over the change is killed, and at the next boot when the host went down in between. Files,
    links, addresses, routes, firewall, kernel settings and units are put back as they were and compared, and the task
    fails with the host's report.
  - When nothing is staged, the task is one call that changes nothing.
  - A change that could not be undone on this host, or that no new connection could confirm, is refused before anything
    is touched, in check mode too; see the collection's C(docs/guard.md).
  - The report of a commit that was undone while its controller was gone is a warning of the next run, once. It is in
    the result of M(ursa.kvmnet.kvmnet_info) as well.
extends_documentation_fragment:
  - ursa.kvmnet.attributes
  - ursa.kvmnet.attributes.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  run_id:
    description:
      - The run whose candidate is committed. A candidate of another run is never committed.
    type: str
    required: true
  timeout:
    description:
      - Seconds in which a new connection has to confirm the change. They count from the end of the apply, so it does
        not matter how long that takes; after two minutes it counts as hanging and is undone.
      - At least 5, and at least what two new connections take, which is tried before anything is touched.
    type: int
    default: 30
  admit:
    description:
      - Networks that the new firewall admits to SSH. The commit is refused when the address that you are connected
        from is in none of them.
      - Empty means that this is not checked.
    type: list
    elements: str
    default: []
  precheck:
    description:
      - Refuse a change that plainly cuts off the connection that it is made over, naming the rule of the firewall or
        the file that does it, before anything is touched.
      - V(false) leaves it to the host to undo such a change.
    type: bool
    default: true
  connect:
    description:
      - The address, not a name, at which the host is reached once the change is made, where that is another one than
        now. It has to show the same host key.
      - The rest of the play goes on at the old address unless told otherwise; see the examples.
    type: str
  rollback:
    description:
      - Put the last commit back instead. Doing so twice brings it back again.
      - It is refused, naming them, when files of that commit were changed since, since those changes would go as well.
    type: bool
    default: false
  files:
    description:
      - Files of your own, put in place in the same window and put back with everything else.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - Where the file is, an absolute path. It may not be a directory, a link, the kernel's own such as below
            C(/proc), on a file system that is read-only, or the guard's own.
        type: path
        required: true
      content:
        description: The file's text. Required unless O(files[].state=absent).
        type: str
      mode:
        description: The file's mode in octal, as a quoted string such as V("0644").
        type: raw
        default: "0644"
      state:
        description: Whether the file is there.
        type: str
        choices: [present, absent]
        default: present
  commands:
    description:
      - Programs of your own, run in this order after everything else when there is anything to commit. One that fails
        puts everything back.
    type: list
    elements: dict
    default: []
    suboptions:
      argv:
        description:
          - The program and its arguments. It is looked for where systemd's units find programs, not in the C(PATH) of
            the login; it may be one of O(files).
        type: list
        elements: str
        required: true
      undo:
        description:
          - The program and its arguments that undo it, run with the old files in place when the commit is put back and
            the program was begun, the last one first. After a power cut it is not run, and the report says so.
          - Without it, nothing is run then.
        type: list
        elements: str
  phase:
    description:
      - Set by the action plugin; not for playbooks.
    type: str
    choices: [check, apply, result, confirm]
    default: check
  login:
    description:
      - Set by the action plugin, the connection that the controller uses; not for playbooks.
    type: str
  token:
    description:
      - Set by the action plugin, the name of the commit; not for playbooks.
    type: str
seealso:
  - module: ursa.kvmnet.bridge
  - module: ursa.kvmnet.config_files
  - module: ursa.kvmnet.shorewall_config
"""

EXAMPLES = r"""
- name: Commit what the roles staged
  ursa.kvmnet.network_guard:
    run_id: "{{ lookup('ursa.kvmnet.run_id') }}"
    admit: "{{ kvmnet_management.sources }}"

- name: Add a file and a command of your own to the same window
  ursa.kvmnet.network_guard:
    run_id: "{{ lookup('ursa.kvmnet.run_id') }}"
    files:
      - path: /etc/sysctl.d/60-mine.conf
        content: |
          net.ipv4.tcp_mtu_probing = 1
    commands:
      - argv: [sysctl, -p, /etc/sysctl.d/60-mine.conf]
        undo: [sysctl, net.ipv4.tcp_mtu_probing=0]

- name: Change the address that the host is managed at
  ursa.kvmnet.network_guard:
    run_id: "{{ lookup('ursa.kvmnet.run_id') }}"
    connect: 192.0.2.77
  register: committed

- name: Go on there
  ansible.builtin.set_fact:
    ansible_host: "{{ committed.host }}"
  when: committed.host is defined

- name: Put the last commit back
  ursa.kvmnet.network_guard:
    run_id: "{{ lookup('ursa.kvmnet.run_id') }}"
    rollback: true
"""

RETURN = r"""
changes:
  description: What was committed, file by file and step by step.
  returned: success
  type: list
  elements: dict
  sample: [{"action": "create", "kind": "file", "name": "/etc/systemd/network/50-kvmnet-br0.network", "options": {},
  "note": ""}]
host:
  description: The address at which the host is reached from now on.
  returned: when something was committed with O(connect)
  type: str
  sample: 192.0.2.77
report:
  description:
    - What the host says of a commit that it undid. C(error) is why, C(found) what was not as before and was put right,
      C(restored) the files that were put back, and C(left) what is not as it was before in spite of that.
  returned: when the commit was undone
  type: dict
  sample:
    token: 5b0a9c1e
    state: restored
    error: no new connection confirmed the change within 30 s
    found: ["eth0: the address 192.0.2.20/24 was gone", "eth0: the address 192.0.2.77/24 was new"]
    restored: ["/etc/systemd/network/50-kvmnet-eth0.network"]
    left: []
    seconds: 1.9
    ended: 1764000000.5
    peer: 192.0.2.100
seconds:
  description: How long the apply took on the host.
  returned: when something was committed
  type: float
  sample: 1.7
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _ability, _commit, _input, _login, _previous
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem, report
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._compile import ensure_compiled


def open_candidate(module: AnsibleModule) -> Candidate:
    """Return what is to be committed, checked; ends the module with all problems at once."""
    params = module.params
    rollback = params["rollback"]
    problems = _input.check_options(params) + _input.check_files(params["files"])
    if rollback:
        previous = _previous.open_previous()
        if previous is None:
            problems.append(Problem("rollback", None, None, True, "only after a commit: there is none to put back"))
        candidate = previous or Candidate(None, None)
        problems += _previous.check_unchanged() + _previous.check_ports(candidate)
    else:
        candidate = Candidate.begin(params["run_id"], stage=True)
        _commit.resume(candidate)
    staged = {**candidate.entries, **_input.staged_files(params["files"])}
    problems += _input.check_commands(params["commands"], staged)
    if not problems and not rollback:
        _commit.add_own(candidate, params["files"], params["commands"])
    if problems or not candidate.empty:
        problems += _ability.check_host(candidate)
    if problems:
        module.fail_json(**report(problems))
    return candidate


def check_connection(module: AnsibleModule, candidate: Candidate) -> None:
    """Refuse what would cut the controller off, before anything is touched."""
    params = module.params
    login = _login.read_login(params["login"] or "")
    if candidate.empty or login is None:
        return
    refused = _commit.check_admitted(login.client, params["admit"]) if params["admit"] else None
    problems = [refused] if refused else []
    if params["precheck"]:
        problems += _login.check_login(candidate, login, params["connect"])
    if problems:
        module.fail_json(**report(problems))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 30},
            "admit": {"type": "list", "elements": "str", "default": []},
            "precheck": {"type": "bool", "default": True},
            "connect": {"type": "str"},
            "rollback": {"type": "bool", "default": False},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "mode": {"type": "raw", "default": "0644"},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
            },
            "commands": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "argv": {"type": "list", "elements": "str", "required": True},
                    "undo": {"type": "list", "elements": "str"},
                },
            },
            "phase": {"type": "str", "choices": ["check", "apply", "result", "confirm"], "default": "check"},
            "login": {"type": "str"},
            "token": {"type": "str", "no_log": False},
        },
        supports_check_mode=True,
    )
    problems = _input.check_user(os.geteuid())
    if problems:
        module.fail_json(**report(problems))
    if module.params["phase"] in ("result", "confirm"):
        try:
            confirm = module.params["phase"] == "confirm"
            module.exit_json(changed=False, report=_commit.result(module.params["token"], confirm))
        except (ApplyError, OSError) as error:
            module.fail_json(msg=f"The commit could not be confirmed: {error}")
    undone = _commit.untold(module.check_mode)
    if undone:
        module.warn(f"What this host has to say of an earlier run: {undone}")
    try:
        candidate = open_candidate(module)
        _commit.check_free(candidate, module.check_mode)
        if not module.params["rollback"]:
            # What is put back brings the compiled scripts that it had.
            ensure_compiled(candidate, module.check_mode)
        check_connection(module, candidate)
        plan = _commit.describe(candidate)
        if module.params["phase"] == "apply" and not module.check_mode:
            peer = (module.params["login"] or "").partition(" ")[0] or None
            _commit.start(candidate, module.params["token"], peer, module.params["timeout"])
    except (ApplyError, OSError) as error:
        module.fail_json(msg=f"Nothing was changed: {error}")
    if module.params["phase"] == "apply" and not module.params["rollback"]:
        # Saved where the applier reads it, or only a prediction.
        candidate.discard()
    module.exit_json(**plan.to_result())


if __name__ == "__main__":
    main()
