#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: shorewall_config
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: Converge Shorewall's policies, rules, providers and settings, compiled before they are used
description:
  - Writes every file of Shorewall's but those of M(ursa.kvmnet.shorewall_zone). A file whose option is not given is
    left as it is. In a file that is given, rows that stay are left as they are, comments too.
  - Everything is checked before the first write, and all errors are reported at once. Then Shorewall's own compiler
    compiles the complete configuration once, in an empty network namespace, where it can touch nothing. What it says
    against it names the inventory key of the row. Nothing is compiled when nothing changed.
  - The compiled script is what is loaded. It is reloaded, never restarted.
  - A firewall that is not started, or holds other rules than its files say, is put right too.
extends_documentation_fragment:
  - ursa.kvmnet.attributes
  - ursa.kvmnet.attributes.actiongroup
  - ursa.kvmnet.shorewall_filter.policy
  - ursa.kvmnet.shorewall_filter.rules
  - ursa.kvmnet.shorewall_filter.stoppedrules
  - ursa.kvmnet.shorewall_filter.conntrack
  - ursa.kvmnet.shorewall_filter.tunnels
  - ursa.kvmnet.shorewall_filter.accounting
  - ursa.kvmnet.shorewall_routing.providers
  - ursa.kvmnet.shorewall_routing.rtrules
  - ursa.kvmnet.shorewall_routing.routes
  - ursa.kvmnet.shorewall_routing.mangle
  - ursa.kvmnet.shorewall_routing.snat
  - ursa.kvmnet.staging
attributes:
  check_mode:
    support: full
    details: It compiles in check mode too. Without Shorewall on the host RV(compiled) is V(false).
  diff_mode:
    support: full
  idempotent:
    support: full
requirements:
  - Shorewall 5.2 on the host, for IPv6 its package C(shorewall6). In check mode it may be missing.
options:
  family:
    description:
      - Which firewall of the host this is about. Shorewall is two programs, V(ipv4) with C(/etc/shorewall) and V(ipv6)
        with C(/etc/shorewall6), which know nothing of each other.
    type: str
    choices: [ipv4, ipv6]
    default: ipv4
  exclusive:
    description:
      - Whether the rows that are given are all that a file holds. Its comments, its directives and its conditional
        blocks with the rows in them stay in any case. An empty list takes every other row out.
      - With V(false) the rows of others stay too, byte for byte. A row that is there already, by its name or by all
        that it says, stays where it is. A new one stands where its C(before) or C(after) says, else next to the rows
        listed beside it, else at the end of its section; a policy stands before the first one that would hide it.
    type: bool
    default: true
  params:
    description: Shell variables for C(params), set beside those that stand there.
    type: dict
  settings:
    description:
      - Settings for C(shorewall.conf). All others keep their values, and the file its comments.
      - YAML's booleans are written as C(Yes) and C(No).
    type: dict
  scripts:
    description: Extension scripts as text. An empty text removes one.
    type: dict
    suboptions:
      init:
        description: Runs before anything else.
        type: str
      initdone:
        description: Runs once the tables are empty.
        type: str
      start:
        description: Runs before the rules are loaded.
        type: str
      started:
        description: Runs once the firewall is started.
        type: str
      stop:
        description: Runs before it is stopped.
        type: str
      stopped:
        description: Runs once it is stopped.
        type: str
      clear:
        description: Runs once it is cleared.
        type: str
      restored:
        description: Runs once a saved state is restored.
        type: str
      save:
        description: Runs when the state is saved.
        type: str
      tcclear:
        description: Runs when traffic shaping is cleared.
        type: str
      isusable:
        description: Says whether an interface can be used.
        type: str
      findgw:
        description: Finds a DHCP interface's gateway.
        type: str
      enabled:
        description: Runs once a provider is enabled.
        type: str
      disabled:
        description: Runs once a provider is disabled.
        type: str
      lib_private:
        description: Functions for the other scripts.
        type: str
      scfilter:
        description: Filters what show connections prints.
        type: str
  files:
    description:
      - Files below C(/etc/shorewall) as text, by name, such as C(blrules), C(macro.Backup) or C(action.Knock). An empty
        text removes one.
      - Also for a file of rows that says more than rows can, such as one with C(?if). It cannot be given as rows too.
    type: dict
  pin_gateways:
    description:
      - Whether the MAC addresses of gateways on shared interfaces are also set in the C(init) script. Without them
        Shorewall's own C(restore), C(try) and C(safe-reload) end with the firewall stopped.
    type: bool
    default: true
  repin_gateways:
    description:
      - What becomes of a pinned MAC address (O(providers[].gateway_mac=learn)) when the gateway answers with another
        one. V(false) keeps it and warns, naming both; V(true) pins the one that answers. A gateway that is silent keeps
        its own in any case.
      - Meant for one run, after a gateway was replaced.
    type: bool
    default: false
  follow_monitor:
    description:
      - Whether providers that the uplink monitor found dead stay out while the firewall is loaded, reloaded or started
        at boot. The C(init) script then reads C(/var/lib/kvmnet/uplinks/init), where there is one.
    type: bool
    default: false
  ipsets:
    description:
      - Named lists of addresses, kept as sets of the kernel. A rule names one with a plus sign, as in V(net:+blocked).
        Looking an address up in it takes the same time for ten addresses and for ten thousand.
      - Another list is loaded at once and whole, and neither compiles nor reloads anything. All are loaded again at
        boot, before the rules.
      - Lists that were given here before and no longer are, are dropped. The host needs the package C(ipset).
    type: list
    elements: dict
    suboptions:
      name:
        description: What rules call it. Required.
        type: str
      entries:
        description: Addresses and networks of the version of IP that O(family) says.
        type: list
        elements: str
  service_defaults:
    description: Settings for C(/etc/default/shorewall), such as C(SAFESTOP).
    type: dict
  closed_boot:
    description:
      - Whether the host is closed at boot from before its network comes up until the firewall starts, and whether the
        firewall is then started as it was committed, without compiling it once more. While it is closed, only what
        O(stoppedrules) say is admitted.
      - Not set, what there is stays as it is.
    type: bool
  management:
    description: From where the host is managed. O(stoppedrules) that would not admit it are refused.
    type: dict
    suboptions:
      sources:
        description: Addresses or networks.
        type: list
        elements: str
        required: true
      port:
        description: The SSH port.
        type: int
        default: 22
notes:
  - A list of 32 or more plain addresses in the source or the destination of O(rules), O(mangle), O(conntrack) and
    O(accounting), or in the source of O(snat), is kept as a set of the kernel if the host has C(ipset). The file names
    the set; everything that this collection says of the row has the addresses. Other addresses then neither compile
    nor reload anything. A row that already stands in the file with its addresses stays until they change. Ranges,
    exclusions, MAC addresses and variables stay in their row, and so do the addresses of O(stoppedrules).
  - How hard the compiler works follows from the size of the configuration, unless O(settings) has C(OPTIMIZE). With
    more than 20 zones the file C(actions) gets a block that makes C(Broadcast) and C(Multicast), with which policies
    begin, a chain each instead of rules in every chain, unless O(files) has C(actions). Neither changes a verdict.
  - Files of older versions that Shorewall ignores or rewrites, such as C(masq) or C(routestopped), are refused. Options
    that are no more are warned about. Both say what took their place.
seealso:
  - module: ursa.kvmnet.shorewall_zone
  - module: ursa.kvmnet.network_guard
"""

EXAMPLES = r"""
- name: Two uplinks on one wire
  ursa.kvmnet.shorewall_config:
    policy:
      - {source: fw, dest: net, policy: ACCEPT}
      - {source: kvm, dest: all, policy: ACCEPT}
      - {source: net, dest: all, policy: DROP, loglevel: info}
      - {source: all, dest: all, policy: REJECT, loglevel: info}
    rules:
      - {action: SSH(ACCEPT), source: "net:172.20.1.0/24", dest: $FW}
      - {action: DNAT, source: net, dest: "kvm:192.168.0.2:80", proto: tcp, dport: 8080, origin: "kvmnet_guests[1]"}
    snat:
      - {action: MASQUERADE, source: 192.168.0.0/24, dest: eth0}
    providers:
      - name: comcast
        interface: eth0
        address: 172.20.1.130
        gateway: 172.20.1.1
        gateway_mac: learn
        options: [track, loose, balance]
      - name: avvanta
        interface: eth0
        address: 172.20.1.130
        gateway: 172.20.1.254
        gateway_mac: learn
        options: [track, loose]
    mangle:
      - {provider: avvanta, source: $FW, dest: 0.0.0.0/0, proto: tcp, dport: 119}
    stoppedrules:
      - {action: ACCEPT, source: "eth0:172.20.1.0/24", dest: $FW, proto: tcp, dport: 22}
    settings:
      ROUTE_FILTER: false
      IP_FORWARDING: "On"
    management:
      sources: [172.20.1.0/24]
    stage: true
    run_id: "{{ lookup('ursa.kvmnet.run_id') }}"

- name: Let the office in before everything else is refused, and leave the other rules alone
  ursa.kvmnet.shorewall_config:
    exclusive: false
    rules:
      - {action: SSH(ACCEPT), source: "net:192.0.2.0/24", dest: $FW, before: {action: DROP, source: net}}
      - {action: ACCEPT, source: net, dest: $FW, proto: tcp, dport: 8080, state: absent}
"""

RETURN = r"""
compiled:
  description: Whether Shorewall's compiler accepted the configuration, now or before.
  returned: success
  type: bool
  sample: true
changes:
  description: What changed or would change, compared with the live system.
  returned: success
  type: list
  elements: dict
  sample:
    - action: create
      kind: rule
      name: "net->$FW ACCEPT tcp 22"
      note: ""
      options: {}
problems:
  description: Everything that is wrong with the input.
  returned: when the input is refused
  type: list
  elements: dict
  sample:
    - variable: kvmnet_rules
      index: 2
      key: to
      value: dmz
      allowed: "one of the zones fw, net, kvm"
      host: null
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import report
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._arguments import config_arguments
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._arp import glance, neighbour
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._compile import CompileError
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import (
    InvalidError,
    compile_and_plan,
    stage_config,
)


def main() -> None:
    module = AnsibleModule(config_arguments(), required_if=[("stage", True, ("run_id",))], supports_check_mode=True)
    candidate = Candidate.begin(module.params["run_id"], module.params["stage"])
    try:
        staging = stage_config(candidate, module.params, module.check_mode, neighbour, glance)
        result = compile_and_plan(staging, module.check_mode)
        candidate.finish(module.check_mode)
    except InvalidError as error:
        module.fail_json(**report(error.problems))
    except (ApplyError, CompileError) as error:
        module.fail_json(msg=str(error))
    for remark in staging.remarks:
        module.warn(remark)
    for leftover in staging.leftovers:
        module.warn(str(leftover))
    for warning in result.warnings:
        module.warn(f"Shorewall's compiler: {warning}")
    module.exit_json(**staging.plan.to_result(), compiled=result.compiled)


if __name__ == "__main__":
    main()
