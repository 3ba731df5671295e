# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Shorewall is two programs, one for each version of IP: what differs between them but what their files may say."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._firewall import FIREWALLS, firewall_script


@dataclass(frozen=True)
class Family:
    """One of the two firewalls of a host.

    Args:
        name: what the modules call it.
        version: the version of IP.
        product: what the program, its package, its directories and its unit are called.
    """

    name: str
    version: int
    product: str

    @property
    def config(self) -> str:
        """The directory of the configuration."""
        return f"/etc/{self.product}"

    @property
    def conf(self) -> str:
        """The file of the settings."""
        return f"{self.config}/{self.product}.conf"

    @property
    def conf_template(self) -> str:
        """Where Debian keeps that file as it is delivered."""
        return f"/usr/share/{self.product}/configfiles/{self.product}.conf"

    @property
    def service_defaults(self) -> str:
        """What the unit reads."""
        return f"/etc/default/{self.product}"

    @property
    def firewall(self) -> str:
        """The compiled script."""
        return str(firewall_script(self.product))

    @property
    def program(self) -> str:
        """The program that compiles."""
        return f"/sbin/{self.product}"

    @property
    def iptables(self) -> str:
        """The program that knows what the kernel holds."""
        return FIREWALLS[self.product]

    @property
    def enabled(self) -> str:
        """Where systemd notes that the unit starts at boot; relative to the host's root."""
        return f"etc/systemd/system/basic.target.wants/{self.product}.service"

    @property
    def step(self) -> tuple[str, str, int]:
        """The candidate's step: kind, key and order."""
        # IPv6 first: IPv4's script may close IPv6 as a whole, and must have the last word when IPv6's is undone.
        return "shorewall", self.product, 60 if self.version == 4 else 59


IPV4 = Family("ipv4", 4, "shorewall")
IPV6 = Family("ipv6", 6, "shorewall6")
FAMILIES = {family.name: family for family in (IPV4, IPV6)}
