# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewalls of a certain size, as the modules take them and as the templates of the existing roles do."""

from __future__ import annotations

from typing import Any

import jinja2

TEMPLATES = {
    "zones": "fw firewall\n{% for zone in zones %}{{ zone.name }} ipv4\n{% endfor %}",
    "interfaces": "?FORMAT 2\n{% for zone in zones %}{{ zone.name }} {{ zone.interface }} dhcp,routeback\n{% endfor %}",
    "policy": (
        "{% for row in policy %}{{ row.source }} {{ row.dest }} {{ row.policy }} "
        "{{ row.loglevel | default('-') }}\n{% endfor %}"
    ),
    "rules": (
        "?SECTION NEW\n{% for row in rules %}{{ row.action }} {{ row.source }} {{ row.dest }} "
        "{{ row.proto }} {{ row.dport }}\n{% endfor %}"
    ),
    "snat": "MASQUERADE 10.0.0.0/8 eth0\n",
    "stoppedrules": "ACCEPT eth0:198.18.0.0/15 $FW tcp 22\n",
}
SETTINGS = {"IP_FORWARDING": "On", "ROUTE_FILTER": "No", "AUTOMAKE": "No", "LOGFILE": "systemd"}


class Site:
    """A firewall between the Internet and some zones.

    Args:
        rules: how many rules it has.
        zones: how many zones, without the firewall itself.
        addresses: how many addresses one more rule drops.
    """

    def __init__(self, rules: int, zones: int, addresses: int = 0) -> None:
        names = ["net", *(f"z{index}" for index in range(1, zones))]
        self.zones = [
            {"name": name, "interface": "eth0" if name == "net" else f"br{index}"} for index, name in enumerate(names)
        ]
        self.policy = [
            {"source": "fw", "dest": "all", "policy": "ACCEPT"},
            *({"source": name, "dest": "net", "policy": "ACCEPT"} for name in names[1:]),
            {"source": "net", "dest": "all", "policy": "DROP", "loglevel": "info"},
            {"source": "all", "dest": "all", "policy": "REJECT", "loglevel": "info"},
        ]
        self.rules = [self._rule(index, zones) for index in range(rules)]
        self.addresses = [f"203.{high}.{low}.7" for high, low in (divmod(index, 250) for index in range(addresses))]
        if addresses:
            self.rules.append(self._drop(self.addresses))

    def _drop(self, addresses: list[str]) -> dict[str, str]:
        return {"action": "DROP", "source": f"net:{','.join(addresses)}", "dest": "z1", "proto": "tcp", "dport": "443"}

    def _rule(self, index: int, zones: int) -> dict[str, str]:
        high, low = divmod(index, 250)
        zone = 1 + index % (zones - 1)
        return {
            "action": "DROP" if index % 3 == 0 else "ACCEPT",
            "source": f"net:198.18.{high % 250}.{low + 1}",
            "dest": f"z{zone}:10.{zone}.{high % 250}.{low + 1}",
            "proto": "udp" if index % 3 == 0 else "tcp",
            "dport": str(1000 + index % 5000),
        }

    def changed(self) -> Site:
        """Return the same site with another address in the long list, or another port in one rule of the middle."""
        other = Site(0, len(self.zones))
        other.rules = [dict(rule) for rule in self.rules]
        if self.addresses:
            other.rules[-1] = self._drop(["203.0.113.9", *self.addresses[1:]])
        else:
            other.rules[len(other.rules) // 2]["dport"] = "7"
        return other

    def zone_parameters(self) -> dict[str, Any]:
        """Return the parameters of shorewall_zone."""
        interface = {"options": ["dhcp", "routeback"]}
        zones: list[dict[str, Any]] = [
            {"name": zone["name"], "interfaces": [{"name": zone["interface"], **interface}]} for zone in self.zones
        ]
        return {"zones": [{"name": "fw", "type": "firewall"}, *zones], "exclusive": True}

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of shorewall_config."""
        stopped = {"action": "ACCEPT", "source": "eth0:198.18.0.0/15", "dest": "$FW", "proto": "tcp", "dport": "22"}
        return {
            "policy": self.policy,
            "rules": self.rules,
            "snat": [{"action": "MASQUERADE", "source": "10.0.0.0/8", "dest": "eth0"}],
            "stoppedrules": [stopped],
            "settings": SETTINGS,
        }

    def files(self, delivered: str) -> dict[str, str]:
        """Render the templates, as an existing role does."""
        data = {"zones": self.zones, "policy": self.policy, "rules": self.rules}
        files = {
            name: jinja2.Template(text, keep_trailing_newline=True).render(data) for name, text in TEMPLATES.items()
        }
        lines = [
            next((f"{name}={value}" for name, value in SETTINGS.items() if line.startswith(f"{name}=")), line)
            for line in delivered.splitlines()
        ]
        return {**files, "shorewall.conf": "\n".join(lines) + "\n"}

    def tuples(self) -> list[tuple[str, str, str, int]]:
        """Return what the rules are about: source, destination, protocol and port."""
        return [
            (rule["source"].partition(":")[2], rule["dest"].partition(":")[2], rule["proto"], int(rule["dport"]))
            for rule in self.rules
        ]

    def networks(self) -> dict[str, str]:
        """Return the interface behind which each network is."""
        inner = {f"10.{index}.0.0/16": zone["interface"] for index, zone in enumerate(self.zones) if index}
        return {**inner, "198.18.0.0/15": "eth0"}
