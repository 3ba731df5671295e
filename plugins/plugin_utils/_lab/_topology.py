# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""From an inventory to the whole lab as data: pure, so that it can be tested without building anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from ipaddress import IPv4Address, IPv6Network, ip_network
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._hosts import (
    Gateway,
    Host,
    Port,
    management_sources,
    read_host,
)
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._machines import machine, wrong_choices
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._stations import (
    OUTSIDE,
    TRANSIT,
    Router,
    Station,
    client,
    internet,
)
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._wires import Wire, lay_wires, wire_name

RESERVED = ("internet", "client", "controller", "wires")


class LabError(ValueError):
    """An inventory that the lab cannot be a twin of; one line per problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("the lab cannot be built from this inventory:\n- " + "\n- ".join(self.problems))


def build(hostvars: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The topology of the lab for these hosts."""
    hosts = [read_host(name, hostvars[name]) for name in sorted(hostvars)]
    wires = lay_wires(hosts)
    problems = [p for host in hosts for p in host.problems]
    problems += [f"{h.name}: this name is the lab's own" for h in hosts if h.name in RESERVED]
    problems += [p for h in hosts for p in wrong_choices(h)]
    outside = next(n for n in OUTSIDE if not any(n.overlaps(s) for w in wires for s in w.subnets))
    dns, clients = outside[53], [outside[10], outside[11], outside[12]]
    names = {*RESERVED, *(h.name for h in hosts)}
    routers = find_routers(hosts, wires, names)
    stations = [internet(routers, dns, clients, _zone(hosts)), client(clients)]
    stations += [r.station(dns, "{state}/" + r.name + ".leases") for r in routers]
    servers, wrong = _servers(hosts, wires, names)
    stations += servers
    problems += wrong
    controller, wrong = _controller(hosts, wires)
    stations.append(controller)
    problems += wrong
    problems += [
        f"{w.label} is a wire of the inventory; allowed: anything outside {TRANSIT}, which the lab uses for its lines"
        for w in wires
        if any(s.overlaps(TRANSIT) for s in w.subnets)
    ]
    if not hosts:
        problems.append("no host is in the groups kvm_hosts and firewalls")
    if problems:
        raise LabError(problems)
    lines = [{"name": wire_name(r.label), "label": r.label, "subnets": [str(r.transit)]} for r in routers]
    lines.append({"name": wire_name("line of client"), "label": "line of client", "subnets": []})
    machines = [machine(h, dns, settings) for h in hosts]
    return {
        "wires": [{"name": w.name, "label": w.label, "subnets": [str(s) for s in w.subnets]} for w in wires] + lines,
        "stations": [asdict(s) for s in stations],
        "machines": machines,
        "host_images": _unique(m["image"] for m in machines),
        "guest_images": sorted({i for m in machines for i in m["guest_images"]}),
        "client": str(clients[0]),
        "dns": str(dns),
    }


def _unique(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def _zone(hosts: Sequence[Host]) -> dict[str, Any]:
    """What the internet's name server must not invent: names that only the site's own servers know."""
    return {"unknown": sorted({d for h in hosts for d in h.domains})}


def find_routers(hosts: Sequence[Host], wires: Sequence[Wire], names: set[str]) -> list[Router]:
    """A router for each gateway that is not an address of a managed host, and for each line without one."""
    settings: dict[str, Mapping[str, Any]] = {}
    for host in hosts:
        settings.update(host.vars.get("lab_routers") or {})
    found: dict[tuple[str, IPv4Address], Router] = {}
    for wire in wires:
        used = wire.used()
        for host in (h for h in hosts for p in h.ports.values() if p in wire.ports):
            for port in (p for p in host.ports.values() if p in wire.ports):
                for gateway in port.gateways or _unnamed_gateway(port, wire, used):
                    if any(h.find_address(gateway.address) in wire.ports for h in hosts):
                        continue
                    key = (wire.name, gateway.address)
                    if key not in found:
                        wanted = str(settings.get(str(gateway.address), {}).get("name") or gateway.uplink)
                        name = _free_name(wanted, names)
                        number = len(found) + 1
                        alone = not port.gateways and not port.dhcp
                        found[key] = Router(name, wire, gateway.address, gateway.mac, alone, [], number)
                    if (host, port, gateway) not in found[key].users:
                        found[key].users.append((host, port, gateway))
    return list(found.values())


def _unnamed_gateway(port: Port, wire: Wire, used: set[IPv4Address]) -> list[Gateway]:
    """The next hop of an uplink that names none: the gateway that others name, or the far end of a line."""
    asks = port.dhcp or None in port.macvlans.values()
    if not (asks or port.point_to_point) or not wire.subnets:
        return []
    named = [
        g for p in wire.ports for g in p.gateways if all(g.address != a.ip for q in wire.ports for a in q.addresses)
    ]
    if asks and named:
        return named[:1]
    # A line may have an address at either end and no network
    near = wire.subnets[0].supernet() if wire.subnets[0].prefixlen == 32 else wire.subnets[0]
    free = next((a for a in near.hosts() if a not in used), None)
    return [] if free is None else [Gateway(free, f"{port.host}-{port.interface}", True, None)]


def _free_name(wanted: str, names: set[str]) -> str:
    candidates = [wanted, f"{wanted}-router", *(f"{wanted}-router{n}" for n in range(2, 100))]
    name = next(c for c in candidates if c not in names)
    names.add(name)
    return name


def _servers(hosts: Sequence[Host], wires: Sequence[Wire], names: set[str]) -> tuple[list[Station], list[str]]:
    found, problems = [], []
    for host in hosts:
        networks = {str(n.get("bridge") or n.get("interface")): n for _i, n in host.records("kvmnet_networks")}
        for index, server in host.records("lab_servers"):
            link = str(server.get("bridge") or server.get("interface"))
            network = networks.get(link)
            port = host.ports.get(str((network.get("ports") or [link])[0])) if network else None
            if network is None or port is None or not network.get("address") or not {"name", "address"} <= set(server):
                problems.append(
                    f"{host.name}: lab_servers[{index}]: {link!r} is wrong; allowed: name, address, and a bridge with"
                    " ports or an interface of kvmnet_networks that has an address"
                )
                continue
            near, length = str(network["address"]).split("/")
            station = Station(_free_name(str(server["name"]), names), "server")
            station.plug("eth0", port.wire, [f"{server['address']}/{length}"])
            station.routes.append(f"default via {near} dev eth0")
            if server.get("address6") and network.get("address6"):
                near6, _slash, length6 = str(network["address6"]).partition("/")
                station.nics[0]["addresses"].append(f"{server['address6']}/{length6}")
                station.routes.append(f"::/0 via {near6} dev eth0")
            argv = ["{python}", "{programs}/services.py", "--http", "80", "--name", station.name]
            argv += ["--echo", ",".join(map(str, server["ports"]))] if server.get("ports") else []
            station.programs.append({"name": "services", "argv": argv})
            found.append(station)
    return found, problems


def _controller(hosts: Sequence[Host], wires: Sequence[Wire]) -> tuple[Station, list[str]]:
    """Where Ansible stands: on the wire of each host's management address, at an address that may manage it."""
    station = Station("controller", "controller")
    problems: list[str] = []
    wishes = [h.vars["lab_controller_address"] for h in hosts if h.vars.get("lab_controller_address")]
    given = IPv4Address(str(wishes[0])) if wishes else None
    legs: list[Wire] = []
    for host in hosts:
        target = host.management
        wire = next((w for w in wires if target is not None and w.prefix(target)), None)
        if target is None or wire is None:
            problems.append(
                f"{host.name}: ansible_host: {host.vars.get('ansible_host')!r} is wrong; allowed: an IPv4 address on"
                " one of its uplinks or networks"
            )
            continue
        if wire in legs:
            continue
        subnet = wire.prefix(target)
        wanted = given if given is not None and subnet is not None and given in subnet else None
        address = wanted or _free_address(host, wire, target)
        if address is None or subnet is None:
            problems.append(f"{host.name}: kvmnet_management.sources: no free address on {wire.label} may manage it")
            continue
        six = _addresses6(host, wire)
        station.plug(f"eth{len(legs)}", wire.name, [f"{address}/{subnet.prefixlen}", *six])
        legs.append(wire)
        gateway = next((g for p in wire.ports for g in p.gateways if g.address in subnet), None)
        if gateway is not None and not station.routes:
            station.routes.append(f"default via {gateway.address} dev eth{len(legs) - 1}")
    return station, problems


def _addresses6(host: Host, wire: Wire) -> list[str]:
    """Where on a wire the host may be managed from by IPv6."""
    sources = [ip_network(str(s)) for s in (host.vars.get("kvmnet_management") or {}).get("sources") or []]
    found = []
    for prefix in wire.prefixes6:
        for source in (s for s in sources if isinstance(s, IPv6Network) and s.overlaps(prefix)):
            place = source if source.prefixlen > prefix.prefixlen else prefix
            used = {a.ip for p in wire.ports for a in p.addresses6}
            free = next(a for a in (place[-1 - n] for n in range(len(used) + 1)) if a not in used)
            found.append(f"{free}/{prefix.prefixlen}")
    return found[:1]


def _free_address(host: Host, wire: Wire, target: IPv4Address) -> IPv4Address | None:
    """From the top, where address plans are emptiest."""
    subnet = wire.prefix(target)
    sources = management_sources([host])
    used = wire.used() | {target}
    if subnet is None:
        return None
    for place in [subnet, *sources]:
        last = min(int(subnet.broadcast_address) - 1, int(place.broadcast_address))
        for number in range(last, max(int(subnet.network_address), last - 1000), -1):
            address = IPv4Address(number)
            if address not in used and (not sources or any(address in s for s in sources)):
                return address
    return None
