# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the whole site's inventory on the controller; no connection is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import Templar

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Problem, report
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._check import check_site
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._guests import FIREWALL_GROUP, KVM_GROUP
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._read import Host, Unresolved, read_host
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._schema import VARIABLES

_NAMES = [variable.name for variable in VARIABLES]


def resolve(value: object, template: Callable[[object], object]) -> object:
    """Resolve the templates inside a value one by one, so that one that fails does not hide the rest."""
    if isinstance(value, Mapping):
        return {str(key): resolve(item, template) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item, template) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    try:
        return template(value)
    except AnsibleError as error:
        # To show an encrypted value is to decrypt it
        return Unresolved(value if isinstance(value, str) else "(encrypted)", " ".join(str(error.message).split()))


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        _validated, options = self.validate_argument_spec(
            argument_spec={"groups": {"type": "list", "elements": "str", "default": [KVM_GROUP, FIREWALL_GROUP]}}
        )
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        members = {group: list(variables["groups"].get(group, [])) for group in options["groups"]}
        hosts = list(self._hosts(members, variables["hostvars"]))
        problems = check_site(hosts)
        if not hosts:
            groups = " or ".join(options["groups"])
            problems.append(Problem("groups", None, None, None, f"at least one host in the group {groups}"))
        result |= {"changed": False, "hosts": len(hosts), "problems": []}
        if problems:
            result |= {**report(problems), "failed": True}
        return result

    def _hosts(self, members: Mapping[str, list[str]], hostvars: Any) -> Iterator[Host]:
        for name in dict.fromkeys(host for hosts in members.values() for host in hosts):
            raw = hostvars.raw_get(name)
            # A variable of one host may be made from those of another
            templar = Templar(loader=self._loader, variables={**raw, "hostvars": hostvars})
            values = {key: resolve(raw[key], templar.template) for key in _NAMES if key in raw}
            yield read_host(name, values, raw, [group for group, hosts in members.items() if name in hosts])
