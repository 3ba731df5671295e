# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: run_id
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: A name for this run of Ansible
description:
  - Returns one string that is the same in every task and on every worker of one C(ansible-playbook) process, and
    different in the next.
  - The staging modules use it to tell a candidate of this run from one that an aborted run left behind.
options: {}
"""

EXAMPLES = r"""
- name: Show the name of this run
  ansible.builtin.debug:
    msg: "{{ lookup('ursa.kvmnet.run_id') }}"
"""

RETURN = r"""
_raw:
  description: The name, made of the controller's host name, the process number and its start time.
  type: list
  elements: str
"""

import multiprocessing
import os
import socket
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase


def run_id() -> str:
    """Name the main process: a worker is its direct child, so both sides agree."""
    parent = multiprocessing.parent_process()
    pid = os.getpid() if parent is None or parent.pid is None else parent.pid
    try:
        # Field 22 counts the clock ticks from boot to the start of the process; the name in field 2 may hold spaces.
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        started = "0"
    return f"{socket.gethostname()}-{pid}-{started}"


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        return [run_id()]
