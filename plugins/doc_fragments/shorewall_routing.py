# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The rows of Shorewall's files that decide which way packets take."""

    DOCUMENTATION = r"""
options: {}
"""

    PROVIDERS = r"""
options:
  providers:
    description:
      - The uplinks, each with a routing table of its own. One uplink needs none.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      name:
        description: The provider's name and its routing table's. Required.
        type: str
      number:
        description:
          - The routing table's number, 1 to 252. By default the provider keeps the number that it has on the host,
            and a new one gets the first that is free.
        type: int
      mark:
        description: The mark of its connections. The number by default.
        type: str
      duplicate:
        description: A table whose routes are copied. Only with USE_DEFAULT_RT=No.
        type: str
      interface:
        description: The interface. Required.
        type: str
      address:
        description: The interface's own address. Needed where several providers share the interface, and only there.
        type: str
      gateway:
        description:
          - The gateway's address; V(detect) asks the DHCP client, V(none) makes no default route. Leave it out on a
            point-to-point link.
        type: str
      gateway_mac:
        description:
          - >-
            The gateway's MAC addresses. Where several providers share the interface, the first is needed: what comes
            in is told apart by it. Packets from the others get the same mark.
          - V(learn) takes the address that is already pinned for this gateway on the host, else the one that answers
            on the interface.
        type: list
        elements: str
      options:
        description:
          - V(track), V(balance), V(balance=N), V(primary), V(loose), V(fallback), V(fallback=N), V(src=address) and
            so on.
        type: list
        elements: str
      copy:
        description: Interfaces whose routes are copied. Only with USE_DEFAULT_RT=No.
        type: list
        elements: str
      network:
        description: The network of the interface. The gateway must be in it. It is not written, only checked.
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

    RTRULES = r"""
options:
  rtrules:
    description:
      - Which provider's table is asked for which packets.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      source:
        description:
          - Source addresses, networks or interfaces. One of O(rtrules[].source) and O(rtrules[].dest) is required.
        type: list
        elements: str
      dest:
        description: Destination addresses or networks.
        type: list
        elements: str
      provider:
        description: A provider's name or V(main). Required.
        type: str
      priority:
        description:
          - The rule's priority, in one of the bands 1 to 998, 1000 to 1999 (before the marks of connections), 11000
            to 11999 (after them) and 26000 to 26999. Required.
        type: str
      mark:
        description: A mark that the packet must have.
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

    ROUTES = r"""
options:
  routes:
    description:
      - Further routes in the providers' tables.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      provider:
        description: A provider's name or V(main). Required.
        type: str
      dest:
        description: The destination network. Required.
        type: str
      gateway:
        description: The next hop, or V(blackhole), V(unreachable), V(prohibit).
        type: str
      device:
        description: The interface.
        type: str
      options:
        description: V(persistent) keeps the route while the provider is disabled.
        type: list
        elements: str
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

    MANGLE = r"""
options:
  mangle:
    description:
      - Marks and other changes of packets.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      action:
        description:
          - V(MARK(n\)), V(CONNMARK(n\)), V(SAVE), V(RESTORE), V(TTL(n\)), V(DSCP(name\)) and so on, with V(:P), V(:F)
            or V(:T) for the chain. Required unless O(mangle[].provider) is given.
        type: str
      source:
        description: An interface, addresses or V($FW). Zones are not possible here.
        type: str
      dest:
        description: An interface or addresses.
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
      test:
        description: A mark that the packet must have already.
        type: str
      length:
        description: The packet's length.
        type: str
      tos:
        description: Its type of service.
        type: str
      connbytes:
        description: How much the connection has carried.
        type: str
      helper:
        description: A connection tracking helper that must belong to the connection.
        type: str
      headers:
        description: IPv6 header types. Only with O(family=ipv6).
        type: str
      probability:
        description: A probability between 0 and 1 with which the row applies.
        type: str
      dscp:
        description: Its DSCP class.
        type: str
      states:
        description: The connection's states, such as V(NEW).
        type: list
        elements: str
      time:
        description: Times of day and week, in Shorewall's notation.
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
      provider:
        description: Mark for this provider, whatever its number.
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

    SNAT = r"""
options:
  snat:
    description:
      - Source address translation, in the place of the C(masq) file of older versions. The first row that fits
        counts.
      - Without it the file is left as it is.
    type: list
    elements: dict
    suboptions:
      action:
        description: V(MASQUERADE), V(SNAT(address\)), V(CONTINUE) or V(LOG). Required.
        type: str
      source:
        description: Networks that are translated.
        type: list
        elements: str
      dest:
        description: The interfaces by which the packets leave, optionally as V(eth0(provider\)). Required.
        type: list
        elements: str
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
      ipsec:
        description: Whether IPsec encrypts the packet, and how.
        type: str
      mark:
        description: A mark that the packet or, with C(:C), the connection must have.
        type: str
      user:
        description: The local user or group that sends, where the source is the firewall itself.
        type: str
      switch:
        description: A condition that switches the row on and off, a file below C(/proc/net/nf_condition).
        type: str
      origdest:
        description: The original destination addresses.
        type: list
        elements: str
      probability:
        description: A probability between 0 and 1 with which the row applies.
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
