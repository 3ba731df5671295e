# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The rows of Shorewall's files that decide what passes."""

    DOCUMENTATION = r"""
options: {}
"""

    POLICY = r"""
options:
  policy:
    description:
      - What happens to new connections between zones that no rule decides. The first policy that fits counts.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      source:
        description: Zones, V(all) or V(any), separated by commas. Required.
        type: list
        elements: str
      dest:
        description: Zones, V(all) or V(any), separated by commas. Required.
        type: list
        elements: str
      policy:
        description:
          - V(ACCEPT), V(DROP), V(REJECT), V(CONTINUE), V(NONE), V(QUEUE), V(NFQUEUE(...\)) or V(BLACKLIST). Required.
        type: str
      loglevel:
        description: The syslog level at which it is logged, such as V(info).
        type: str
      rate:
        description: A limit of new connections, such as V(10/sec:20).
        type: str
      connlimit:
        description: A limit of connections for each client.
        type: str
      state:
        description: Whether the row is there.
        type: str
        choices: [present, absent]
        default: present
      before:
        description: What the row says that a new one stands before. Only with O(exclusive=false).
        type: dict
      after:
        description: What the row says that a new one stands behind. Only with O(exclusive=false).
        type: dict
      origin:
        description:
          - The inventory key that the row comes from, such as V(kvmnet_rules[2]). Errors, the compiler's too, name
            it.
        type: str
"""

    RULES = r"""
options:
  rules:
    description:
      - Exceptions to the policies, and port forwards. The first rule that fits counts.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      action:
        description:
          - A target such as V(ACCEPT) or V(DNAT), an action or a macro such as V(SSH(ACCEPT\)), with a log level as
            in V(DROP:info). Required.
        type: str
      source:
        description: A zone, V($FW), V(all) or V(any), optionally with addresses as in V(net:192.0.2.0/24).
        type: str
      dest:
        description:
          - A zone, V($FW), V(all) or V(any), optionally with an address, and for V(DNAT) a port, as in
            V(loc:192.168.0.2:80).
        type: str
      proto:
        description: Protocols, by name or number.
        type: list
        elements: str
      dport:
        description: Destination ports, ranges as C(first:last), service names, or ICMP types.
        type: list
        elements: str
      sport:
        description: Source ports.
        type: list
        elements: str
      origdest:
        description: The original destination addresses.
        type: list
        elements: str
      rate:
        description: A limit, such as V(s:ssh:3/min).
        type: str
      user:
        description: The local user or group that sends, where the source is the firewall itself.
        type: str
      mark:
        description: A mark that the packet or, with C(:C), the connection must have.
        type: str
      connlimit:
        description: A limit of connections for each client.
        type: str
      time:
        description: Times of day and week, in Shorewall's notation.
        type: str
      headers:
        description: IPv6 header types. Nothing in IPv4.
        type: str
      switch:
        description: A condition that switches the row on and off, a file below C(/proc/net/nf_condition).
        type: str
      helper:
        description: A connection tracking helper to attach.
        type: str
      section:
        description: The section that the row stands in. V(NEW) by default.
        type: str
        choices: [ALL, ESTABLISHED, RELATED, INVALID, UNTRACKED, NEW]
      comment:
        description: A comment that Shorewall writes into the generated rules.
        type: str
      matches:
        description: Raw iptables matches, what Shorewall takes after C(;;).
        type: str
      state:
        description: Whether the row is there.
        type: str
        choices: [present, absent]
        default: present
      before:
        description: What the row says that a new one stands before. Only with O(exclusive=false).
        type: dict
      after:
        description: What the row says that a new one stands behind. Only with O(exclusive=false).
        type: dict
      origin:
        description:
          - The inventory key that the row comes from, such as V(kvmnet_rules[2]). Errors, the compiler's too, name
            it.
        type: str
"""

    STOPPEDRULES = r"""
options:
  stoppedrules:
    description:
      - What is admitted while the firewall is stopped. Keep yourself a way in.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      action:
        description: What happens to the packets. Required.
        type: str
        choices: [ACCEPT, DROP, NOTRACK]
      source:
        description: An interface, optionally with addresses as in V(eth0:192.0.2.0/24), or V($FW).
        type: str
      dest:
        description: An interface, optionally with addresses, or V($FW).
        type: str
      proto:
        description: Protocols, by name or number.
        type: list
        elements: str
      dport:
        description: Destination ports, ranges as C(first:last), service names, or ICMP types.
        type: list
        elements: str
      sport:
        description: Source ports.
        type: list
        elements: str
      comment:
        description: A comment that Shorewall writes into the generated rules.
        type: str
      state:
        description: Whether the row is there.
        type: str
        choices: [present, absent]
        default: present
      before:
        description: What the row says that a new one stands before. Only with O(exclusive=false).
        type: dict
      after:
        description: What the row says that a new one stands behind. Only with O(exclusive=false).
        type: dict
      origin:
        description:
          - The inventory key that the row comes from, such as V(kvmnet_rules[2]). Errors, the compiler's too, name
            it.
        type: str
"""

    CONNTRACK = r"""
options:
  conntrack:
    description:
      - >-
        How connections are tracked: helpers, and what is not tracked at all.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      action:
        description: V(NOTRACK), V(CT:helper:name:chains), V(DROP) and the like. Required.
        type: str
      source:
        description: A zone, an interface or addresses.
        type: str
      dest:
        description: Addresses.
        type: str
      proto:
        description: Protocols, by name or number.
        type: list
        elements: str
      dport:
        description: Destination ports, ranges as C(first:last), service names, or ICMP types.
        type: list
        elements: str
      sport:
        description: Source ports.
        type: list
        elements: str
      user:
        description: The local user or group that sends, where the source is the firewall itself.
        type: str
      switch:
        description: A condition that switches the row on and off, a file below C(/proc/net/nf_condition).
        type: str
      comment:
        description: A comment that Shorewall writes into the generated rules.
        type: str
      matches:
        description: Raw iptables matches, what Shorewall takes after C(;;).
        type: str
      state:
        description: Whether the row is there.
        type: str
        choices: [present, absent]
        default: present
      before:
        description: What the row says that a new one stands before. Only with O(exclusive=false).
        type: dict
      after:
        description: What the row says that a new one stands behind. Only with O(exclusive=false).
        type: dict
      origin:
        description:
          - The inventory key that the row comes from, such as V(kvmnet_rules[2]). Errors, the compiler's too, name
            it.
        type: str
"""

    TUNNELS = r"""
options:
  tunnels:
    description:
      - Tunnels whose packets are admitted.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      type:
        description: V(ipsec), V(openvpn:1194), V(gre) and the like. Required.
        type: str
      zone:
        description: The zone that the tunnel comes from. Required.
        type: str
      gateway:
        description: The other ends' addresses.
        type: list
        elements: str
      gateway_zone:
        description: Zones of hosts that reach the other end directly.
        type: list
        elements: str
      comment:
        description: A comment that Shorewall writes into the generated rules.
        type: str
      state:
        description: Whether the row is there.
        type: str
        choices: [present, absent]
        default: present
      before:
        description: What the row says that a new one stands before. Only with O(exclusive=false).
        type: dict
      after:
        description: What the row says that a new one stands behind. Only with O(exclusive=false).
        type: dict
      origin:
        description:
          - The inventory key that the row comes from, such as V(kvmnet_rules[2]). Errors, the compiler's too, name
            it.
        type: str
"""

    ACCOUNTING = r"""
options:
  accounting:
    description:
      - What is counted. Without a section the rows count whatever passes, and the first ones make the chains.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      action:
        description: V(COUNT), V(DONE), V(NFACCT(name\)), a chain, V(chain:COUNT) and the like. Required.
        type: str
      chain:
        description: The chain that the row is added to.
        type: str
      source:
        description: An interface, optionally with addresses as in V(eth0:192.0.2.0/24), or addresses.
        type: str
      dest:
        description: An interface, optionally with addresses, or addresses.
        type: str
      proto:
        description: Protocols, by name or number.
        type: list
        elements: str
      dport:
        description: Destination ports, ranges as C(first:last), service names, or ICMP types.
        type: list
        elements: str
      sport:
        description: Source ports.
        type: list
        elements: str
      user:
        description: The local user or group that sends, where the source is the firewall itself.
        type: str
      mark:
        description: A mark that the packet or, with C(:C), the connection must have.
        type: str
      ipsec:
        description: Whether IPsec encrypts the packet, and how.
        type: str
      headers:
        description: IPv6 header types. Nothing in IPv4.
        type: str
      section:
        description: The section that the row stands in. None by default; either all rows have one or none has.
        type: str
        choices: [PREROUTING, INPUT, OUTPUT, FORWARD, POSTROUTING]
      comment:
        description: A comment that Shorewall writes into the generated rules.
        type: str
      matches:
        description: Raw iptables matches, what Shorewall takes after C(;;).
        type: str
      state:
        description: Whether the row is there.
        type: str
        choices: [present, absent]
        default: present
      before:
        description: What the row says that a new one stands before. Only with O(exclusive=false).
        type: dict
      after:
        description: What the row says that a new one stands behind. Only with O(exclusive=false).
        type: dict
      origin:
        description:
          - The inventory key that the row comes from, such as V(kvmnet_rules[2]). Errors, the compiler's too, name
            it.
        type: str
"""
