# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A managed host of the lab: what it is installed from, how it boots, and what the lab tells Ansible about it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._lab._hosts import Host, Port

IMAGES_DIR = "/srv/kvmnet/images"
# What a fresh installation has beside what was asked for
SUITES = {"bookworm": [], "trixie": ["linux-sysctl-defaults"]}
# By what a host's network is set up at its installation, and the packages of that
NETWORKS = {"networkd": [], "ifupdown": ["ifupdown", "isc-dhcp-client"]}
# What makes systemd-networkd start at boot, which Debian's installer does not
_NETWORKD_ENABLED = (
    "dbus-org.freedesktop.network1.service",
    "multi-user.target.wants/systemd-networkd.service",
    "network-online.target.wants/systemd-networkd-wait-online.service",
    "sockets.target.wants/systemd-networkd.socket",
    "sysinit.target.wants/systemd-network-generator.service",
)
# Debian with cloud-init takes a minute without hardware virtualisation, and several on a busy machine
EMULATED_WAIT = 600
# Guest images that the lab can make, and how a host names them
GUEST_IMAGES: dict[str, dict[str, str]] = {
    "tiny": {
        "kernel": f"{IMAGES_DIR}/tiny-vmlinuz",
        "initrd": f"{IMAGES_DIR}/tiny-initrd.img",
        # An emulated timer that comes late on a busy machine must not look like a broken one, which is a panic
        "cmdline": "console=ttyS0 quiet no_timer_check",
    },
    "debian-12": {"path": f"{IMAGES_DIR}/debian-12.qcow2"},
    "debian-13": {"path": f"{IMAGES_DIR}/debian-13.qcow2"},
}


def machine(host: Host, dns: IPv4Address, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One booted host."""
    suite = str(host.vars.get("lab_suite") or "bookworm")
    bare = bool(host.vars.get("lab_bare"))
    packages = list(settings["packages_base"]) + ([] if bare else list(settings["packages"]))
    packages += SUITES.get(suite, [])
    network = str(host.vars.get("lab_network") or "networkd")
    packages += NETWORKS.get(network, []) + list(host.vars.get("lab_packages_extra") or [])
    images = guest_images(host)
    ifupdown = network == "ifupdown"
    files = (_interfaces_file if ifupdown else _network_files)(list(host.ports.values()), dns)
    return {
        "name": host.name,
        "suite": suite,
        "image": {"name": f"host-{suite}", "suite": suite, "packages": sorted(set(map(str, packages)))},
        "machine_id": uuid.uuid5(uuid.NAMESPACE_DNS, f"{host.name}.kvmnet").hex,
        "address": str(host.management),
        "nics": [
            {"name": p.interface, "wire": p.wire, "mac": p.mac, "addresses": [], "plugged": p.plugged}
            for p in sorted(host.ports.values(), key=lambda p: p.interface)
        ],
        "files": files,
        "removed": [f"/etc/systemd/system/{name}" for name in _NETWORKD_ENABLED] if ifupdown else [],
        "guest_images": sorted(set(images.values())),
        "host_vars": _host_vars(host, images, settings),
        "users": _users(host),
    }


def wrong_choices(host: Host) -> list[str]:
    """Values of the lab's own variables that it does not know."""
    suite = str(host.vars.get("lab_suite") or "bookworm")
    found = [] if suite in SUITES else [f"{host.name}: lab_suite: {suite!r} is wrong; allowed: {', '.join(SUITES)}"]
    network = str(host.vars.get("lab_network") or "networkd")
    if network not in NETWORKS:
        found.append(f"{host.name}: lab_network: {network!r} is wrong; allowed: {', '.join(NETWORKS)}")
    for name, image in (host.vars.get("lab_images") or {}).items():
        if image not in GUEST_IMAGES:
            found.append(f"{host.name}: lab_images.{name}: {image!r} is wrong; allowed: {', '.join(GUEST_IMAGES)}")
    return found


def guest_images(host: Host) -> dict[str, str]:
    """The lab's image for each image name that the host's guests use; a stand-in for one that the lab cannot make."""
    given = host.vars.get("lab_images") or {}
    found: dict[str, str] = {}
    for _index, guest in host.records("kvmnet_guests"):
        if guest.get("image"):
            name = str(guest["image"])
            close = next((i for i in GUEST_IMAGES if name == i or name.startswith(i + "-")), "tiny")
            found[name] = str(given.get(name) or close)
    return found


def _host_vars(host: Host, images: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is different in the lab from the inventory."""
    found: dict[str, Any] = {}
    if images:
        found["kvm_guests_virt_type"] = str(settings.get("virt_type") or "qemu")
        found["kvm_guests_wait_timeout"] = EMULATED_WAIT
        found["kvmnet_images"] = {name: dict(GUEST_IMAGES[image]) for name, image in sorted(images.items())}
    return found


def _users(host: Host) -> list[dict[str, Any]]:
    """The inventory's users, to each of whom the lab gives its own key."""
    users = [{"name": str(u.get("name"))} for _i, u in host.records("kvmnet_users")]
    return users or [{"name": "admin"}]


def _first_way(ports: Sequence[Port]) -> Port | None:
    """The card with the default route."""
    ways = [p for p in ports if p.gateways or p.dhcp]
    return next((p for p in ways if p.primary), ways[0] if ways else None)


def _interfaces_file(ports: Sequence[Port], dns: IPv4Address) -> dict[str, str]:
    """ifupdown's file as Debian's installer writes it."""
    first = _first_way(ports)
    lines = ["# Written at installation", "source /etc/network/interfaces.d/*", "", "auto lo", "iface lo inet loopback"]
    for port in ports:
        if not port.boot and not port.dhcp:
            continue
        method = "dhcp" if port.dhcp else "static"
        lines += ["", f"auto {port.interface}", f"iface {port.interface} inet {method}"]
        lines += [] if port.dhcp else [f"\taddress {address}" for address in port.boot[:1]]
        if port is first and not port.dhcp:
            lines += [f"\tgateway {min(port.gateways, key=lambda g: not g.primary).address}"]
    resolved = f"[Resolve]\nDNS={dns}\n"
    return {"/etc/network/interfaces": "\n".join([*lines, ""]), "/etc/systemd/resolved.conf.d/lab.conf": resolved}


def _network_files(ports: Sequence[Port], dns: IPv4Address) -> dict[str, str]:
    """systemd-networkd files as a fresh installation would have them: one default route, in the main table."""
    first = _first_way(ports)
    ways6 = [p for p in ports if p.addresses6 and any(g.address6 for g in p.gateways)]
    first6 = next((p for p in ways6 if p.primary), ways6[0] if ways6 else None)
    files = {}
    for port in ports:
        if not port.boot and not port.dhcp and not port.addresses6:
            continue
        lines = ["# Written at installation", "[Match]", f"Name={port.interface}", ""]
        lines += [] if port.plugged else ["[Link]", "RequiredForOnline=no", ""]
        lines.append("[Network]")
        lines += ["DHCP=ipv4"] if port.dhcp else [f"Address={a}" for a in port.boot]
        if port is first and not port.dhcp:
            best = sorted(port.gateways, key=lambda g: not g.primary)[0]
            lines += [f"Gateway={best.address}", f"DNS={dns}"]
        if port.addresses6:
            lines += [f"Address={a}" for a in port.addresses6] + ["IPv6AcceptRA=no"]
        if port is first6:
            lines += [f"Gateway={next(g.address6 for g in port.gateways if g.address6)}"]
        files[f"/etc/systemd/network/80-wire-{port.interface}.network"] = "\n".join([*lines, ""])
    return files
