# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""A new domain of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._options import ROWS
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import add, ensure, parse

# What no option changes. No USB controller and no video: a server's guest needs neither, and starts faster without.
_SKELETON = """<domain><name/><uuid/><metadata/><memory/><currentMemory/><vcpu placement="static"/>
<os><type>hvm</type></os><features><acpi/><apic/></features><clock offset="utc"/>
<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>restart</on_crash>
<devices><controller type="usb" model="none"/><serial type="pty"><target port="0"/></serial>
<console type="pty"><target type="serial" port="0"/></console></devices></domain>"""
# A q35 machine takes a card while it runs only where a port was left free; libvirt leaves none
_SPARE_PORTS = 8
_ON_PCI = ("interface", "disk", "rng", "channel", "watchdog", "video")


def new_domain(name: str, values: Mapping[str, Any]) -> Element:
    """Return the XML of a domain with the values of all options."""
    root = parse(_SKELETON)
    ensure(root, "name").text = name
    for row in ROWS:
        value = values.get(row.name)
        if row.write is not None and value is not None:
            row.write(root, value)
    if str(values.get("machine")).startswith(("q35", "pc-q35")):
        devices = ensure(root, "devices")
        # One for the balloon that libvirt adds
        ports = _SPARE_PORTS + 1 + sum(1 for device in devices if device.tag in _ON_PCI)
        add(devices, "controller", type="pci", index="0", model="pcie-root")
        for _unused in range(ports):
            add(devices, "controller", type="pci", model="pcie-root-port")
    return root
