#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kvmnet_info
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: Read the network of a KVM host in one call
description:
  - Reads bridges, leases, firewall, guests and uplinks as they are, and changes nothing.
  - What is not installed is not an error; its C(state) says so.
extends_documentation_fragment:
  - ursa.kvmnet.attributes
  - ursa.kvmnet.attributes.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details:
      - It changes nothing.
  idempotent:
    support: full
options:
  gather:
    description:
      - What to read.
    type: list
    elements: str
    choices: [links, dnsmasq, shorewall, guests, uplinks, guard, packages]
    default: [links, dnsmasq, shorewall, guests, uplinks, guard]
  packages:
    description:
      - Names of Debian packages to look for.
    type: list
    elements: str
    default: []
  resolve:
    description:
      - Names to ask name servers for, from the host.
    type: list
    elements: dict
    default: []
    suboptions:
      server:
        description: The name server's IPv4 address.
        type: str
        required: true
      name:
        description: The name to look up.
        type: str
        required: true
      address:
        description: The IPv4 address whose name is to be looked up as well.
        type: str
  libvirt_uri:
    description:
      - Where libvirt is.
    type: str
    default: qemu:///system
seealso:
  - module: ursa.kvmnet.bridge
  - module: ursa.kvmnet.bridge_port
  - module: ursa.kvmnet.shorewall_zone
"""

EXAMPLES = r"""
- name: Read everything
  ursa.kvmnet.kvmnet_info:
  register: network

- name: Look for missing packages
  ursa.kvmnet.kvmnet_info:
    gather: [packages]
    packages: [dnsmasq, dnsmasq-utils]
  register: found

- name: Ask the bridge for a guest's name and address
  ursa.kvmnet.kvmnet_info:
    gather: [dnsmasq]
    resolve:
      - server: 192.168.0.254
        name: web.kvm.example
        address: 192.168.0.2
"""

RETURN = r"""
links:
  description:
    - Bridges and ports in the words of M(ursa.kvmnet.bridge) and M(ursa.kvmnet.bridge_port), and the other interfaces.
  returned: when gathered
  type: dict
  sample:
    bridges: [{"name": "br0", "addresses": ["192.168.0.254/24"], "mac": "52:54:00:00:00:01", "mtu": 1500, "up": true}]
    ports: [{"name": "tap-web", "bridge": "br0", "type": "tap", "carrier": true, "mtu": 1500, "isolated": false}]
    interfaces: [{"name": "eth0", "kind": "network card", "up": true, "addresses": ["172.20.1.130/24"]}]
dnsmasq:
  description: The instance of the role dnsmasq, its leases and its reservations.
  returned: when gathered
  type: dict
  sample:
    state: running
    enabled: true
    leases:
      - mac: 52:54:56:9c:a6:c3
        address: 192.168.0.2
        name: web
        client_id: null
        expires: 1764000000
    reservations: [{"mac": "52:54:56:9c:a6:c3", "address": "192.168.0.2", "name": "web"}]
shorewall:
  description:
    - The firewall's state, its zones in the words of M(ursa.kvmnet.shorewall_zone), its providers and the routing.
    - C(configuration) is everything below C(/etc/shorewall), as the options of M(ursa.kvmnet.shorewall_zone) and
      M(ursa.kvmnet.shorewall_config). Given back to them it changes nothing. C(zones_exclusive) is the former's
      C(exclusive). C(files) holds the text of what rows cannot say, and C(notes) says why. C(settings) holds what is
      not as the package delivers it.
    - C(problems) is what keeps the modules from taking it, and C(leftovers) what is of older versions, such as C(masq),
      with its replacement.
  returned: when gathered
  type: dict
  sample:
    state: started
    zones:
      - name: kvm
        type: ipv4
        interfaces: [{"name": "br0", "options": ["dhcp", "routeback"]}]
        hosts: []
    interfaces: []
    providers: [{"name": "comcast", "number": "1", "interface": "eth0", "gateway": "172.20.1.1"}]
    rules: [{"priority": 999, "src": "all", "table": "254"}]
    default_routes: {"250": [{"interface": "eth0", "gateway": "172.20.1.1"}]}
    configuration:
      zones: [{"name": "kvm", "type": "ipv4", "interfaces": [{"name": "br0", "options": ["routeback"]}], "hosts": []}]
      interfaces: []
      zones_exclusive: true
      policy: [{"source": ["net"], "dest": ["all"], "policy": "DROP", "loglevel": "info"}]
      rules: [{"action": "SSH(ACCEPT)", "source": "net", "dest": "$FW"}]
      snat: []
      providers: []
      params: {}
      settings: {"IP_FORWARDING": "On"}
      scripts: {}
      files: {"blrules": "DROP net:192.0.2.0/24 all\n"}
      pin_gateways: true
      service_defaults: {"startup": "1"}
    notes: []
    problems: []
    leftovers:
      - {"path": /etc/shorewall/tcrules, "line": null, "name": tcrules, "replacement": mangle}
shorewall6:
  description:
    - The same of the firewall of IPv6 and C(/etc/shorewall6), for the modules with C(family=ipv6).
    - C(configuration) is null where there is none.
  returned: when C(shorewall) is gathered
  type: dict
  sample:
    state: not installed
    zones: []
    interfaces: []
    providers: []
    rules: []
    default_routes: {}
    configuration: null
    notes: []
    problems: []
    leftovers: []
guests:
  description:
    - libvirt's domains, those of others too. C(options) is each as an entry of M(ursa.kvmnet.kvm_guest) describes it,
      which takes it back and changes nothing; of a guest that others made it is where its inventory begins.
      C(not_described) names what an entry has no words for, which M(ursa.kvmnet.kvm_guest) leaves alone.
    - C(user_data) in C(options) may hold hashes of passwords.
  returned: when gathered
  type: dict
  sample:
    state: running
    message: ""
    domains:
      - name: web
        state: running
        autostart: true
        memory_mib: 512
        vcpus: 1
        interfaces: [{"tap": "tap-web", "mac": "52:54:56:9c:a6:c3", "type": "ethernet", "bridge": null}]
        ours: true
        options: {"name": "web", "state": "running", "memory_mib": 512, "vcpus": 1, "image": "debian-12"}
        not_described: []
uplinks:
  description:
    - Shorewall's providers, or where there are none, where the default route leads.
    - C(state) is what the uplink monitor says, V(up), V(down), V(absent) for an interface without carrier or address,
      or V(forced) during a drill. Where it says nothing C(state) is what the routing tables say, V(up), V(down) when
      its table has no default route, or V(moved) when that leads elsewhere.
    - C(since), C(seconds), C(reason), C(loss_percent), C(rtt_ms) and C(targets) are the monitor's, and null where it
      does not run. C(carries_traffic) and C(route) are the kernel's.
    - C(connections) and C(share_percent) count the connections that are marked for it, pings left out, where there are
      several uplinks and the package conntrack.
    - C(gateway_mac) is the one that is pinned for its gateway, or null; C(gateway_mac_now) is another one that the
      gateway has now, and null as long as it is the same. The module warns of it too.
  returned: when gathered
  type: list
  elements: dict
  sample:
    - name: comcast
      number: 1
      interface: eth0
      gateway: 172.20.1.1
      route: {"interface": "eth0", "gateway": "172.20.1.1"}
      state: up
      carries_traffic: true
      since: 1764000000
      seconds: 7200
      reason: answers came for 2 s
      loss_percent: 0.0
      rtt_ms: 9.3
      targets: [{"address": 203.0.113.5, "answers": true}]
      connections: 118
      share_percent: 71.5
      gateway_mac: 00:0c:41:aa:bb:01
      gateway_mac_now: null
monitor:
  description:
    - Whether the uplink monitor is V(running), V(stopped), V(not installed), or V(silent), when its unit runs and it
      has said nothing for ten seconds; and when it last said something.
    - C(program) is V(kvmnet), or V(foolsm), which measures for itself only.
  returned: when uplinks are gathered
  type: dict
  sample: {"state": "running", "program": "kvmnet", "updated": 1764007200}
guard:
  description:
    - Whether a commit of M(ursa.kvmnet.network_guard) is V(unconfirmed), and who began it; or V(idle).
    - C(last) is the last commit that came to an end, null where there is none. Its C(outcome) is V(confirmed), or
      V(undone) with the reason, what was C(found) and put right, the C(files) that were put back, and what is C(left),
      which is not as it was before.
  returned: when gathered
  type: dict
  sample:
    state: idle
    commit: null
    by: null
    last:
      commit: 5b0a9c1e
      outcome: undone
      by: 192.0.2.100
      ended: 1764000000
      seconds: 7200
      reason: no new connection confirmed the change within 30 s
      found: ["eth0: the address 192.0.2.20/24 was gone", "eth0: the address 192.0.2.77/24 was new"]
      files: ["/etc/systemd/network/50-kvmnet-eth0.network"]
      left: []
packages:
  description: Which of the packages are installed, with their versions, and which are missing.
  returned: when gathered
  type: dict
  sample: {"installed": {"dnsmasq": "2.90-4~deb12u2"}, "missing": ["dnsmasq-utils"]}
resolved:
  description: What the name servers answered.
  returned: when O(resolve) is not empty
  type: list
  elements: dict
  sample:
    - server: 192.168.0.254
      name: web.kvm.example
      address: 192.168.0.2
      addresses: [192.168.0.2]
      error: null
      names: [web.kvm.example]
      reverse_error: null
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._info import _packages

SUBJECTS = ["links", "dnsmasq", "shorewall", "guests", "uplinks", "guard"]


def gather(params: dict[str, Any]) -> dict[str, Any]:
    """Read what is asked for."""
    wanted = set(params["gather"])
    found: dict[str, Any] = {}
    if "packages" in wanted:
        found["packages"] = _packages.read(params["packages"])
        if wanted == {"packages"} and not params["resolve"]:
            return found
    # Every role asks for packages, and Python would compile all of this first.
    from ansible_collections.ursa.kvmnet.plugins.module_utils._info import _read

    if "links" in wanted:
        found["links"] = _read.links()
    if "guard" in wanted:
        found["guard"] = _read.guard()
    if "dnsmasq" in wanted:
        found["dnsmasq"] = _read.dnsmasq()
    if wanted & {"shorewall", "uplinks"}:
        rules, routes = _read.rules_and_routes()
        if "shorewall" in wanted:
            found["shorewall"] = _read.shorewall(rules, routes)
            found["shorewall6"] = _read.shorewall6()
        if "uplinks" in wanted:
            found |= _read.uplinks(rules, routes)
    if "guests" in wanted:
        found["guests"] = _read.guests(params["libvirt_uri"])
    if params["resolve"]:
        found["resolved"] = _read.resolve(params["resolve"])
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "gather": {"type": "list", "elements": "str", "choices": [*SUBJECTS, "packages"], "default": SUBJECTS},
            "packages": {"type": "list", "elements": "str", "default": []},
            "resolve": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "server": {"type": "str", "required": True},
                    "name": {"type": "str", "required": True},
                    "address": {"type": "str"},
                },
            },
            "libvirt_uri": {"type": "str", "default": "qemu:///system"},
        },
        supports_check_mode=True,
    )
    try:
        found = gather(module.params)
    except (ApplyError, FileNotFoundError) as error:
        module.fail_json(msg=f"The host could not be read: {error}")
    if "uplinks" in found:
        from ansible_collections.ursa.kvmnet.plugins.module_utils._info import _gateways

        for warning in _gateways.warnings(found["uplinks"]):
            module.warn(warning)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
