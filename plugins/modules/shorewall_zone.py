#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: shorewall_zone
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: Converge Shorewall's zones with the interfaces and hosts that make them up
description:
  - Writes Shorewall's files C(zones), C(interfaces) and C(hosts). Rows that stay are left as they are, comments too.
  - Everything is checked before the first write, and all errors are reported at once.
  - On its own it has the result compiled by Shorewall's compiler, in an empty network namespace, and loaded. With
    O(stage=true) that is left to M(ursa.kvmnet.shorewall_config) and M(ursa.kvmnet.network_guard), because zones and
    the rules that use them are only right together.
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
requirements:
  - Shorewall 5.2 on the host, for IPv6 its package C(shorewall6). In check mode it may be missing.
options:
  zones:
    description:
      - The zones. Their order is the order in which Shorewall matches them; parents stand before their children.
      - Exactly one zone is of the type V(firewall).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The zone's name, letters, digits and underscores. It can be as long as the host's C(LOGFORMAT) leaves room
            for, 10 characters with Debian's. Required.
        type: str
      state:
        description: Whether the zone is there.
        type: str
        choices: [present, absent]
        default: present
      type:
        description:
          - The zone's type. That of O(family) by default; V(ipv4), V(ipsec4) and V(bport4), and V(ipv6), V(ipsec6) and
            V(bport6), are for their own family only.
        type: str
        choices: [ipv4, ip, ipsec, ipsec4, firewall, bport, bport4, vserver, loopback, local, ipv6, ipsec6, bport6]
      parents:
        description: Zones that contain it.
        type: list
        elements: str
      options:
        description: Options of the zone, such as V(mss=1400).
        type: list
        elements: str
      in_options:
        description: Options for packets that come in.
        type: list
        elements: str
      out_options:
        description: Options for packets that go out.
        type: list
        elements: str
      interfaces:
        description:
          - The interfaces that belong to the zone as a whole. Without it, and with O(exclusive=false), the zone's
            interfaces are left as they are.
        type: list
        elements: dict
        suboptions:
          name:
            description:
              - The interface, C(bridge:port) in a zone of the type V(bport), or a name ending in C(+). Required.
            type: str
          options:
            description: Options such as V(dhcp), V(routeback), V(tcpflags), V(arp_ignore=1) or V(optional).
            type: list
            elements: str
      hosts:
        description: Parts of interfaces that belong to the zone.
        type: list
        elements: dict
        suboptions:
          interface:
            description: The interface, listed in O(interfaces) or in a zone. Required.
            type: str
          addresses:
            description: Addresses, networks or ipsets behind it. Required.
            type: list
            elements: str
          options:
            description: Options such as V(routeback).
            type: list
            elements: str
      origin:
        description: The inventory key that the zone comes from, such as V(kvmnet_networks[0]). Errors name it.
        type: str
  interfaces:
    description: Interfaces that belong to no single zone, because O(zones[].hosts) divides them.
    type: list
    elements: dict
    suboptions:
      name:
        description: The interface. Required.
        type: str
      options:
        description: Options such as V(dhcp), V(routeback), V(tcpflags), V(arp_ignore=1) or V(optional).
        type: list
        elements: str
  family:
    description:
      - Which firewall of the host this is about. Shorewall is two programs, V(ipv4) with C(/etc/shorewall) and V(ipv6)
        with C(/etc/shorewall6), which know nothing of each other.
    type: str
    choices: [ipv4, ipv6]
    default: ipv4
  exclusive:
    description: Whether zones, interfaces and hosts that are not listed are removed.
    type: bool
    default: false
seealso:
  - module: ursa.kvmnet.shorewall_config
  - module: ursa.kvmnet.network_guard
"""

EXAMPLES = r"""
- name: Two interfaces
  ursa.kvmnet.shorewall_zone:
    exclusive: true
    zones:
      - name: fw
        type: firewall
      - name: net
        interfaces:
          - name: eth0
            options: [tcpflags, logmartians, routefilter]
      - name: kvm
        interfaces:
          - name: br0
            options: [dhcp, routeback]
    stage: true
    run_id: "{{ lookup('ursa.kvmnet.run_id') }}"
"""

RETURN = r"""
changes:
  description: What changed or would change, compared with the live system.
  returned: success
  type: list
  elements: dict
  sample:
    - action: create
      kind: zone
      name: kvm
      note: ""
      options: {}
problems:
  description: Everything that is wrong with the input.
  returned: when the input is refused
  type: list
  elements: dict
  sample:
    - variable: kvmnet_networks
      index: 2
      key: name
      value: 9zone
      allowed: "a letter, then letters, digits and underscores"
      host: null
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import report
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._arguments import zone_arguments
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._compile import CompileError
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import (
    InvalidError,
    compile_and_plan,
    stage_zones,
)


def main() -> None:
    module = AnsibleModule(zone_arguments(), required_if=[("stage", True, ("run_id",))], supports_check_mode=True)
    stage = module.params["stage"]
    candidate = Candidate.begin(module.params["run_id"], stage)
    try:
        staging = stage_zones(candidate, module.params, module.check_mode)
        # Staged zones are compiled together with the rules that use them.
        if not stage:
            compile_and_plan(staging, module.check_mode)
        candidate.finish(module.check_mode)
    except InvalidError as error:
        module.fail_json(**report(error.problems))
    except (ApplyError, CompileError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**staging.plan.to_result())


if __name__ == "__main__":
    main()
