#!/usr/bin/python
# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: validate_site
author: ["ursa.kvmnet contributors (@ursa-kvmnet)"]
version_added: 0.1.0
short_description: Check the inventory of a whole site before any host is touched
description:
  - Checks the C(kvmnet_*) variables of all hosts of some groups, each host alone and all of them together, on the
    controller. No connection to any host is opened.
  - All problems are reported at once, each with the host, the variable, its list index, the key, the value found, and
    what is allowed.
  - Refused are, among others, unknown keys and misspelt variables, values of the wrong kind, guests that share a name,
    an address, a MAC address or a tap, addresses outside their network or inside its DHCP range, gateways that are
    off-link, networks that overlap, ports that are published twice, references to networks, uplinks, images and zones
    that do not exist, and templates that cannot be resolved.
  - Every host of the groups is checked, also those that the run is not limited to.
  - The vocabulary is described in C(docs/inventory.md) of the collection.
extends_documentation_fragment:
  - ursa.kvmnet.attributes
  - ursa.kvmnet.attributes.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: It changes nothing.
  idempotent:
    support: full
options:
  groups:
    description:
      - The groups whose hosts make up the site.
    type: list
    elements: str
    default: [kvm_hosts, firewalls]
notes:
  - Use it with C(run_once), since one call checks every host.
"""

EXAMPLES = r"""
- name: Check every host's inventory on the controller
  ursa.kvmnet.validate_site:
  run_once: true

- name: Check only the KVM hosts
  ursa.kvmnet.validate_site:
    groups: [kvm_hosts]
  run_once: true
"""

RETURN = r"""
hosts:
  description: How many hosts were checked.
  returned: always
  type: int
  sample: 4
problems:
  description: What is wrong, in the order of the hosts and of the vocabulary. Empty when nothing is.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: The host whose inventory it is.
      type: str
      sample: ursa
    variable:
      description: The variable.
      type: str
      sample: kvmnet_guests
    index:
      description: The list index, counted from 0, or V(null) where the variable is no list.
      type: int
      sample: 1
    key:
      description: The key inside the entry, or V(null) for the entry as a whole.
      type: str
      sample: address
    value:
      description: The value found, or V(null) where it is missing.
      type: raw
      sample: 192.168.7.9
    allowed:
      description: What would be allowed.
      type: str
      sample: an address in 192.168.0.0/24 (kvmnet_networks[0])
"""
