# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""What the host needs for bridges beside Shorewall: bridge-nf-call-* decided, foreign routes left alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge import _networkd as networkd
from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.ursa.kvmnet.plugins.module_utils._bridge._state import Host, Outcome

FOREIGN_PATH = "/etc/systemd/networkd.conf.d/50-kvmnet.conf"
SYSCTL_PATH = "/etc/sysctl.d/50-kvmnet-bridge.conf"
MODULES_PATH = "/etc/modules-load.d/50-kvmnet-bridge.conf"
NF_CALLS = ("bridge-nf-call-arptables", "bridge-nf-call-ip6tables", "bridge-nf-call-iptables")

_MARK = "# ursa.kvmnet: written by Ansible, changes made here are lost"
_ORDER_MODULE = 15
_ORDER_SYSCTL = 20


@dataclass(frozen=True)
class Netfilter:
    """Whether frames between ports of a bridge pass the firewall, as the kernel has it now.

    Args:
        values: name -> value of the sysctls; empty while br_netfilter is not there.
        module: whether br_netfilter is a module of this kernel.
        files: path -> text of our two files, where they are.
    """

    values: Mapping[str, int]
    module: bool
    files: Mapping[str, str]


def plan_netfilter(wanted: bool, have: Netfilter, out: Outcome) -> str:
    """Plan the sysctls and return how the kernel stands to them: C(available), C(loadable) or C(absent).

    Shorewall's probing loads the module, and its own default is 1, so a value set while it is not there would not last:
    the module is loaded at every boot before the sysctls are set.
    """
    number = int(wanted)
    # A leading minus keeps the boot from failing where the kernel has no such key.
    lines = [f"-net.bridge.{name} = {number}" for name in NF_CALLS]
    files = {SYSCTL_PATH: "\n".join([_MARK, *lines]) + "\n"}
    if have.module:
        files[MODULES_PATH] = f"{_MARK}\nbr_netfilter\n"
    missing = [path for path, text in files.items() if have.files.get(path) != text]
    for path, text in files.items():
        out.files[path] = text
    options: dict[str, tuple[object, object]] = {
        name: (value, number) for name, value in have.values.items() if name in NF_CALLS and value != number
    }
    if not have.values and have.module:
        options["br_netfilter"] = ("not loaded", "loaded")
        out.step("command", "load br_netfilter", _ORDER_MODULE, argv=["modprobe", "br_netfilter"])
    if options:
        out.step("sysctl", SYSCTL_PATH, _ORDER_SYSCTL)
    elif missing:
        options["persistent"] = (False, True)
    if options:
        out.plan.add(Change("change", "sysctl", "net.bridge.bridge-nf-call-*", options))
    if have.values:
        return "available"
    return "loadable" if have.module else "absent"


def plan_foreign(have: str | None, host: Host, out: Outcome) -> None:
    """Plan the drop-in by which networkd keeps Shorewall's rules; it is read only when networkd starts."""
    text = networkd.render_foreign(host.version)
    out.files[FOREIGN_PATH] = text
    if have == text:
        return
    options = networkd.differences(have or "", text)
    out.plan.add(Change("create" if have is None else "change", "setting", "networkd.conf", options))
    out.networkd(restart=True)
