# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""libvirt's domains, in short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._entry import entry_of, problems_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import size_mib

if TYPE_CHECKING:
    from collections.abc import Iterable
    from xml.etree.ElementTree import Element

    from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._backend import Domain


def _interface(element: Element) -> dict[str, Any]:
    target, mac, source = (element.find(tag) for tag in ("target", "mac", "source"))
    return {
        "tap": None if target is None else target.get("dev"),
        "mac": None if mac is None else str(mac.get("address")).lower(),
        "type": element.get("type"),
        "bridge": None if source is None else source.get("bridge"),
    }


def describe(domains: Iterable[Domain]) -> list[dict[str, Any]]:
    """Return the domains by name."""
    found = []
    for domain in sorted(domains, key=lambda domain: domain.name):
        root = domain.root if domain.live is None else domain.live
        found.append(
            {
                "name": domain.name,
                "state": domain.power,
                "autostart": domain.autostart,
                "memory_mib": size_mib(root.find("memory")),
                "vcpus": int(root.findtext("vcpu") or 1),
                "interfaces": [_interface(element) for element in root.findall("devices/interface")],
                "ours": _mark.find(domain.root) is not None,
                "options": (entry := entry_of(domain)),
                "not_described": problems_of(entry, domain.root),
            }
        )
    return found
