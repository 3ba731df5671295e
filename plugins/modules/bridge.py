#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bridge
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: Make a host's bridges and configure its uplinks
description:
  - Converges the bridges of a host, and the addresses and default routes of its uplinks, in one call.
  - All of it is written for C(systemd-networkd), as files C(50-kvmnet-*) in C(/etc/systemd/network), so that it is
    there after a reboot. The result is compared with the kernel, so what somebody changed by hand is seen and repaired.
  - A file that does not change is never rewritten, because networkd drops an interface's addresses, and the kernel with
    them the routes of all providers, when it reads such a file again.
  - A managed uplink that ifupdown configures is taken over. Its stanzas in C(/etc/network/interfaces) are commented
    out, all else there stays as it was, a DHCP client that runs for it ends without giving its lease back, and undoing
    the commit undoes this too. Its C(up) and C(down) commands run no more, which is said in a warning. A stanza that
    does what C(systemd-networkd) would not do in its place, such as C(wpa-ssid), is refused, naming the file and the
    line.
  - Any other interface that ifupdown, NetworkManager or another file of networkd configures is refused in the same way.
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
  bridges:
    description:
      - The bridges. A list that is not given is not managed.
    type: list
    elements: dict
    suboptions:
      name:
        description: The bridge's name, at most 15 characters.
        type: str
        required: true
      state:
        description: Whether it is there. V(absent) also removes a bridge that was not made by this module.
        type: str
        choices: [present, absent]
        default: present
      addresses:
        description: The host's own addresses on the bridge, each with its prefix, such as V(192.168.0.254/24).
        type: list
        elements: str
        default: []
      mac:
        description:
          - The bridge's MAC, such as V(52:54:00:12:34:56). It is always pinned, or it would follow that of a port.
          - When it is not given, that of the card that the bridge takes its address over from, else one that is derived
            from the host's machine ID and the bridge's name.
        type: str
      mtu:
        description:
          - The bridge's MTU in bytes, 576 to 65535. Left to the kernel, which takes the lowest of the ports', when it
            is not given.
        type: int
      stp:
        description: Whether the bridge speaks the spanning tree protocol.
        type: bool
        default: false
      forward_delay:
        description:
          - Seconds until a new port forwards.
          - V(0) without O(bridges[].stp) and V(15) with it when it is not given.
        type: int
      hello_time:
        description: Seconds between two STP messages, 1 to 10. Left alone when it is not given.
        type: int
      max_age:
        description: Seconds that an STP message counts, 6 to 40. Left alone when it is not given.
        type: int
      ageing_time:
        description: Seconds that the bridge remembers a MAC. Left alone when it is not given.
        type: int
      priority:
        description: The bridge's STP priority, 0 to 65535. Left alone when it is not given.
        type: int
      multicast_snooping:
        description: Whether multicast goes only where it was asked for. Left alone when it is not given.
        type: bool
      source:
        description: Where the entry comes from, such as V(kvmnet_networks[0]); error messages name it.
        type: str
  uplinks:
    description:
      - The interfaces towards the Internet, one entry for each. A list that is not given is not managed.
      - An uplink with O(uplinks[].manage=false) is only compared with the host. Another address than the one given is
        an error, an interface or a route that is not there now a warning.
      - When an entry has an O(uplinks[].table) other than 254, there are several providers, and no default route may
        stand in the table C(main), where it would be looked up before theirs. One of ifupdown, of NetworkManager, of
        another file of networkd or of nobody is refused, naming the file and the line.
    type: list
    elements: dict
    suboptions:
      interface:
        description: The interface. It may be one of O(bridges), as on a host with a single network card.
        type: str
        required: true
      state:
        description:
          - Whether this module configures it. V(absent) removes the file, so that another one of networkd takes over.
        type: str
        choices: [present, absent]
        default: present
      manage:
        description: Whether to configure the interface, rather than to compare it.
        type: bool
        default: false
      optional:
        description:
          - Whether the host does without the interface while it is not there, as with a USB stick. It is configured
            once it is. Otherwise an interface that is not there is an error when it is managed.
        type: bool
        default: false
      parent:
        description:
          - Makes the interface a macvlan on this network card or bridge, which may be an uplink as well; then it is
            managed too. A macvlan is always managed.
          - Refused on a card of a wireless network, on a port of a bridge, and where another interface has the name.
            As a macvlan and its parent do not see each other, a gateway that is the host itself is refused too.
        type: str
      mac:
        description:
          - The MAC of a macvlan, such as V(52:54:00:12:34:56). Derived from the host's machine ID and the interface's
            name when it is not given.
        type: str
      addresses:
        description:
          - Its addresses with their prefixes, V(dhcp), or both. Empty when the addresses are not to be compared.
        type: list
        elements: str
        default: []
      gateway:
        description:
          - The next hop of the default route.
          - V(dhcp) takes the router of the lease, which is also what happens with an address by DHCP when it is not
            given.
          - Not given with a fixed address, the interface itself is the way out (point-to-point).
        type: str
      table:
        description:
          - The routing table for the default route. V(254) is C(main).
          - Give V(253), which is looked up last, to every uplink when there is more than one.
        type: int
        default: 254
      gateway6:
        description: The next hop of the default route of IPv6. It may be a link-local address.
        type: str
      table6:
        description: The routing table for the default route of IPv6, likewise.
        type: int
        default: 254
      dns:
        description:
          - Name servers for systemd-resolved. When none are given, those of the lease are used, and without DHCP those
            of the file of systemd-networkd, or the stanza of ifupdown, that ours takes the place of.
        type: list
        elements: str
        default: []
      mtu:
        description: The interface's MTU in bytes, 576 to 65535. Left alone when it is not given.
        type: int
      source:
        description: Where the entry comes from, such as V(kvmnet_uplinks[0]); error messages name it.
        type: str
  netfilter:
    description:
      - Whether frames between two ports of a bridge pass the firewall (C(net.bridge.bridge-nf-call-*)).
      - The kernel's default is on as soon as C(br_netfilter) is loaded, which Shorewall's probing does, so it should be
        decided. Where it is a module, it is loaded at every boot, before the sysctls are set.
      - Not managed when it is not given.
    type: bool
  foreign:
    description:
      - V(keep) tells networkd to leave routes and routing rules of others alone. Without it, networkd deletes those of
        Shorewall whenever it reads its files, and the host has no routing at all.
      - Not managed when it is not given.
    type: str
    choices: [keep]
  exclusive:
    description:
      - Also remove bridges and uplinks of ours that are not listed, from each list that is given.
      - Only what a file with this module's mark describes is removed, never anything else.
    type: bool
    default: false
notes:
  - Needs C(systemd-networkd) 252 or newer and C(iproute2). networkd is enabled if it is not.
seealso:
  - module: ursa.kvmnet.bridge_port
  - module: ursa.kvmnet.network_guard
"""

EXAMPLES = r"""
- name: Make the bridge of the virtual machines
  ursa.kvmnet.bridge:
    bridges:
      - name: br0
        addresses: [192.168.0.254/24]
    netfilter: false
    foreign: keep

- name: Two providers on one network card, each with an interface of its own
  ursa.kvmnet.bridge:
    uplinks:
      - interface: eth0
        manage: true
        addresses: [172.20.1.130/24]
        gateway: 172.20.1.1
        table: 253
      - interface: avvanta
        parent: eth0
        addresses: [172.20.1.131/24]
        gateway: 172.20.1.254
        table: 253

- name: Stage a bridge, and an uplink beside others, for network_guard to commit
  ursa.kvmnet.bridge:
    bridges:
      - name: br0
        addresses: [192.168.0.254/24]
    uplinks:
      - interface: eth0
        manage: true
        addresses: [172.20.1.130/24]
        gateway: 172.20.1.1
        table: 253
    exclusive: true
    stage: true
    run_id: "{{ lookup('ursa.kvmnet.run_id') }}"
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
      description: One of V(bridge), V(uplink), V(macvlan), V(sysctl), V(setting) and V(unit).
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
      kind: bridge
      name: br0
      options: {addresses: {before: [], after: [192.168.0.254/24]}}
      note: ""
bridge_netfilter:
  description:
    - How the kernel stands to O(netfilter). V(available), its sysctls are there; V(loadable), they are once the module
      is loaded; V(absent), this kernel has none, so frames between ports never pass the firewall.
  returned: when O(netfilter) is given
  type: str
  sample: available
problems:
  description: Every wrong value, with its place in the inventory, when there are any.
  returned: failure
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _links, _macvlans, _model, _settings, _system
from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import STAGING_OPTIONS, Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import report

STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}
STRINGS = {"type": "list", "elements": "str", "default": []}
BRIDGE = {
    "name": {"type": "str", "required": True},
    "state": STATE,
    "addresses": STRINGS,
    "mac": {"type": "str"},
    "mtu": {"type": "int"},
    "stp": {"type": "bool", "default": False},
    "forward_delay": {"type": "int"},
    "hello_time": {"type": "int"},
    "max_age": {"type": "int"},
    "ageing_time": {"type": "int"},
    "priority": {"type": "int"},
    "multicast_snooping": {"type": "bool"},
    "source": {"type": "str"},
}
UPLINK = {
    "interface": {"type": "str", "required": True},
    "state": STATE,
    "manage": {"type": "bool", "default": False},
    "optional": {"type": "bool", "default": False},
    "parent": {"type": "str"},
    "mac": {"type": "str"},
    "addresses": STRINGS,
    "gateway": {"type": "str"},
    "table": {"type": "int", "default": 254},
    "gateway6": {"type": "str"},
    "table6": {"type": "int", "default": 254},
    "dns": STRINGS,
    "mtu": {"type": "int"},
    "source": {"type": "str"},
}


def converge(module: AnsibleModule) -> None:
    params = module.params
    host = _system.read_host()
    wanted = _model.normalise_links(params["bridges"], params["uplinks"], _system.machine())
    out = _links.plan_links(wanted, host, params["exclusive"])
    if out.problems:
        module.fail_json(**report(out.problems))
    extra = {}
    if params["netfilter"] is not None:
        extra["bridge_netfilter"] = _settings.plan_netfilter(params["netfilter"], _system.read_netfilter(), out)
    _macvlans.plan_arp(wanted.uplinks, _system.read_arp(wanted.uplinks or ()), out)
    if params["foreign"]:
        _settings.plan_foreign(_system.read_foreign(), host, out)
    candidate = Candidate.begin(params["run_id"], params["stage"])
    _system.stage(candidate, out, host.ifupdown)
    candidate.finish(module.check_mode)
    for warning in out.warnings:
        module.warn(warning)
    module.exit_json(**out.plan.to_result(), **extra)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "bridges": {"type": "list", "elements": "dict", "options": BRIDGE},
            "uplinks": {"type": "list", "elements": "dict", "options": UPLINK},
            "netfilter": {"type": "bool"},
            "foreign": {"type": "str", "choices": ["keep"]},
            "exclusive": {"type": "bool", "default": False},
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
