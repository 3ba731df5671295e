# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The simulated machines around the managed hosts: routers, the internet, servers, the controller, a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._hosts import Gateway, Host, Port, stable_mac
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._wires import Wire, wire_name

# The lines between the providers and the internet; nothing else in the lab may use this range (RFC 2544)
TRANSIT = IPv4Network("198.18.0.0/15")
CLIENT_TRANSIT = IPv4Network("198.19.255.0/30")
# Where a service or a client outside may stand: the first that no wire of the inventory uses
OUTSIDE = [IPv4Network(n) for n in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "192.88.99.0/24")]
ECHO_PORTS = "21,22,25,110,119,143,443,8443"

# The same for IPv6: the lines (RFC 5180), each with a network of its own, and a client
TRANSIT6 = IPv6Network("2001:2::/48")
CLIENT6 = IPv6Network("2001:db8:ffff::/64")
CLIENT_TRANSIT6 = IPv6Network("2001:2:0:ffff::/64")

FORWARDING = {"net.ipv4.ip_forward": "1"}
FORWARDING6 = {"net.ipv6.conf.all.forwarding": "1"}


@dataclass
class Station:
    """One simulated machine: a network namespace with cards, routes and small programs."""

    name: str
    kind: str
    nics: list[dict[str, Any]] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)
    nft: str = ""
    programs: list[dict[str, Any]] = field(default_factory=list)

    def plug(self, name: str, wire: str, addresses: Sequence[str], mac: str | None = None) -> None:
        """Give it a card."""
        mac = mac or stable_mac(self.name, self.kind, name)
        self.nics.append({"name": name, "wire": wire, "mac": mac, "addresses": list(addresses)})


@dataclass
class Router:
    """A gateway that nobody in the inventory is: a provider's box on a wire of ours, and the line behind it."""

    name: str
    wire: Wire
    address: IPv4Address
    mac: str | None
    point_to_point: bool
    users: list[tuple[Host, Port, Gateway]]
    number: int

    @property
    def transit(self) -> IPv4Network:
        """Its line to the internet; the internet's end is the first address, its own the second."""
        return IPv4Network((int(TRANSIT.network_address) + 4 * self.number, 30))

    @property
    def address6(self) -> IPv6Address | None:
        """Its address on the wire, if anybody there has it for a gateway."""
        return next((g.address6 for _h, _p, g in self.users if g.address6 is not None), None)

    @property
    def transit6(self) -> IPv6Network:
        """Its line for IPv6, the ends likewise."""
        return IPv6Network((int(TRANSIT6.network_address) + (self.number << 64), 64))

    def reachable6(self) -> dict[str, str | None]:
        """The same as reachable, for IPv6."""
        if self.address6 is None:
            return {}
        found: dict[str, str | None] = {}
        for host, port, gateway in self.users:
            if gateway.address6 is None or not port.addresses6:
                continue
            found |= {str(a.network): None for a in port.addresses6}
            found |= {str(network): str(port.addresses6[0].ip) for network in host.routed6}
        return found

    @property
    def label(self) -> str:
        """The line as a wire."""
        return f"line of {self.name}"

    @property
    def plain(self) -> bool:
        """Whether it routes public addresses instead of translating private ones."""
        return not self.wire.private

    def reachable(self) -> dict[str, str | None]:
        """Public destinations behind it with the host that routes on to them, None for who is on the wire."""
        found: dict[str, str | None] = {}
        for host, port, _gateway in self.users:
            addresses = [a.ip for a in port.addresses if self.wire.prefix(a.ip)]
            for address in addresses if self.plain else []:
                found[f"{address}/32"] = None
            hop = str(addresses[0]) if addresses else None
            for extra in host.extra_public if self.plain else []:
                if all(extra != a.ip for a in port.addresses):
                    found[f"{extra}/32"] = hop
            for network in host.routed if hop else []:
                if network not in self.wire.subnets:
                    found[str(network)] = hop
        return found

    def station(self, dns: IPv4Address, lease_file: str) -> Station:
        """The namespace that plays it."""
        near, far = list(self.transit.hosts())
        subnet = self.wire.prefix(self.address) or IPv4Network(f"{self.address}/24", strict=False)
        length = 32 if self.plain or self.point_to_point else subnet.prefixlen
        station = Station(self.name, "router", sysctls=dict(FORWARDING))
        station.plug("lan", self.wire.name, [f"{self.address}/{length}"], self.mac)
        station.plug("wan", wire_name(self.label), [f"{far}/30"])
        station.routes.append(f"default via {near} dev wan")
        for destination, hop in self.reachable().items():
            station.routes.append(f"{destination} via {hop} dev lan onlink" if hop else f"{destination} dev lan")
        if length == 32:
            # It answers for every address that nobody on the wire has, so the internet holds those too
            station.sysctls["net.ipv4.conf.lan.proxy_arp"] = "1"
            if not self.plain:
                station.routes += [f"{a}/32 dev lan" for a in sorted(self.wire.used() - {self.address})]
        if not self.plain:
            station.nft = self._translation()
        if self.address6 is not None:
            near6, far6 = self.transit6[1], self.transit6[2]
            station.sysctls |= FORWARDING6
            station.nics[0]["addresses"].append(f"{self.address6}/{64 if self.address6.is_link_local else 128}")
            station.nics[1]["addresses"].append(f"{far6}/64")
            station.routes.append(f"::/0 via {near6} dev wan")
            for destination, hop in self.reachable6().items():
                station.routes.append(f"{destination} via {hop} dev lan" if hop else f"{destination} dev lan")
        if any(port.serves(gateway) for _h, port, gateway in self.users):
            station.programs.append(self._dhcp(subnet, dns, lease_file))
        return station

    def _translation(self) -> str:
        forwards: dict[tuple[str, str], str] = {}
        for host, port, gateway in self.users:
            target = str(port.target(gateway.uplink) or "") or None
            target = target or next((str(a.ip) for a in port.addresses if self.wire.prefix(a.ip)), None)
            target = target or (str(host.management) if port.dhcp and host.management else None)
            for publication in host.publications if target else []:
                if publication.uplink in (None, gateway.uplink):
                    for number in publication.ports:
                        forwards.setdefault((publication.proto, number), str(target))
        rules = [f'    iifname "wan" {proto} dport {number} dnat to {to}' for (proto, number), to in forwards.items()]
        return "\n".join(
            [
                "table ip kvmnet {",
                "  chain incoming {",
                "    type nat hook prerouting priority dstnat;",
                *rules,
                "  }",
                "  chain outgoing {",
                "    type nat hook postrouting priority srcnat;",
                '    oifname "wan" masquerade',
                "  }",
                "}",
                "",
            ]
        )

    def _dhcp(self, subnet: IPv4Network, dns: IPv4Address, lease_file: str) -> dict[str, Any]:
        used = self.wire.used()
        # A lab has few hosts, a subnet may have millions of addresses
        free = [a for a in islice(subnet.hosts(), 1000) if a not in used]
        argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--log-facility=-"]
        argv += ["--interface=lan", "--bind-interfaces", f"--dhcp-leasefile={lease_file}", "--dhcp-authoritative"]
        argv += [f"--dhcp-range={free[len(free) // 2]},{free[-1]},{subnet.netmask},1h"]
        argv += [f"--dhcp-option=option:router,{self.address}", f"--dhcp-option=option:dns-server,{dns}"]
        for host, port, _gateway in self.users:
            if port.dhcp and host.management in subnet:
                argv.append(f"--dhcp-host={port.mac},{host.management}")
        return {"name": "dhcp", "argv": argv}


def internet(
    routers: Sequence[Router], dns: IPv4Address, clients: Sequence[IPv4Address], zone: Mapping[str, Any]
) -> Station:
    """One namespace that has every address there is, except those that a router of the lab leads to."""
    station = Station("internet", "internet", sysctls=dict(FORWARDING))
    taken: set[str] = set()
    # Private destinations are nobody's out there: a host that forgot to masquerade must not get an answer
    station.routes += [f"unreachable {n}" for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")]
    station.routes.append("local default dev lo")
    station.sysctls |= FORWARDING6
    station.routes += ["unreachable fc00::/7", "local ::/0 dev lo"]
    for router in sorted(routers, key=lambda r: not any(g.primary for _h, _p, g in r.users)):
        near, far = list(router.transit.hosts())
        card = f"isp{router.number}"
        station.plug(card, wire_name(router.label), [f"{near}/30"])
        if router.address6 is not None:
            station.nics[-1]["addresses"].append(f"{router.transit6[1]}/64")
            found6 = [d for d in router.reachable6() if d not in taken]
            station.routes += [f"{d} via {router.transit6[2]} dev {card}" for d in found6]
            taken.update(found6)
        if not router.plain:
            continue
        for destination in [f"{router.address}/32", *router.reachable()]:
            if destination not in taken:
                station.routes.append(f"{destination} via {far} dev {card}")
                taken.add(destination)
    near, far = list(CLIENT_TRANSIT.hosts())
    station.plug("client", wire_name("line of client"), [f"{near}/30", f"{CLIENT_TRANSIT6[1]}/64"])
    station.routes += [f"{c}/32 via {far} dev client" for c in clients]
    station.routes.append(f"{CLIENT6} via {CLIENT_TRANSIT6[2]} dev client")
    argv = ["{python}", "{programs}/services.py", "--http", "80", "--dns", "53", "--echo", ECHO_PORTS]
    argv += ["--zone", "{zone}"]
    station.programs.append({"name": "services", "argv": argv, "zone": {**zone, "dns": str(dns)}})
    return station


def client(addresses: Sequence[IPv4Address]) -> Station:
    """Somebody outside who asks for what the site publishes."""
    near, far = list(CLIENT_TRANSIT.hosts())
    station = Station("client", "client")
    six = [f"{CLIENT_TRANSIT6[2]}/64", *(f"{CLIENT6[0x10 + number]}/128" for number in range(len(addresses)))]
    station.plug("eth0", wire_name("line of client"), [f"{far}/30", *(f"{a}/32" for a in addresses), *six])
    station.routes.append(f"default via {near} dev eth0 src {addresses[0]}")
    station.routes.append(f"::/0 via {CLIENT_TRANSIT6[1]} dev eth0 src {CLIENT6[0x10]}")
    return station
