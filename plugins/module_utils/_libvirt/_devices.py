# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""The small devices of a domain: serial port, agent, random generator, watchdog, graphics."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._live import LiveOp
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import (
    add,
    attribute,
    ensure,
    remove_all,
    serialise,
)

AGENT_CHANNEL = "org.qemu.guest_agent.0"
# From libvirt 9.1 on a q35 domain lists the watchdog of its chipset too, which cannot be taken out
_WATCHDOG = "i6300esb"
_RNG = "/dev/urandom"


def _devices(root: Element) -> Element:
    return ensure(root, "devices")


def read_serial(root: Element) -> bool:
    """Return whether there is a serial port."""
    return root.find("devices/serial") is not None


def _is_twin(console: Element) -> bool:
    return attribute(console, "target", "type") in (None, "serial")


def write_serial(root: Element, wanted: bool) -> None:
    """Make the first serial port, or remove all of them."""
    devices = _devices(root)
    if not wanted:
        remove_all(devices, devices.findall("serial"))
        # libvirt repeats the first serial port as the first console, and would make it anew from there
        remove_all(devices, [console for console in devices.findall("console") if _is_twin(console)])
    elif devices.find("serial") is None:
        add(add(devices, "serial", type="pty"), "target", port="0")


def read_console_log(root: Element) -> str | None:
    """Return the file that gets what the first serial port prints."""
    return attribute(root, "devices/serial/log", "file")


def write_console_log(root: Element, path: str | None) -> None:
    """Log the first serial port to a file that each boot begins anew."""
    if path is not None:
        write_serial(root, True)
    serial = root.find("devices/serial")
    if serial is None:
        return
    # libvirt takes the log of the first serial port from its twin
    for port in [serial, *[twin for twin in root.findall("devices/console")[:1] if _is_twin(twin)]]:
        if path is None:
            remove_all(port, port.findall("log"))
        else:
            log = ensure(port, "log")
            log.set("file", path)
            log.set("append", "off")


def _agents(root: Element) -> list[Element]:
    return [c for c in root.findall("devices/channel") if attribute(c, "target", "name") == AGENT_CHANNEL]


def read_agent(root: Element) -> bool:
    """Return whether there is a channel for the guest agent."""
    return bool(_agents(root))


def write_agent(root: Element, wanted: bool) -> None:
    """Make or remove the guest agent's channel."""
    remove_all(_devices(root), _agents(root))
    if wanted:
        add(add(_devices(root), "channel", type="unix"), "target", type="virtio", name=AGENT_CHANNEL)


def read_rng(root: Element) -> bool:
    """Return whether the guest has a random generator."""
    return root.find("devices/rng") is not None


def _new_rng() -> Element:
    rng = Element("rng", model="virtio")
    add(rng, "backend", _RNG, model="random")
    return rng


def write_rng(root: Element, wanted: bool) -> None:
    """Make or remove the random generator."""
    remove_all(_devices(root), root.findall("devices/rng"))
    if wanted:
        _devices(root).append(_new_rng())


def live_rng(root: Element, wanted: bool, heal: bool) -> list[LiveOp]:
    """Plug it in or out."""
    found = root.findall("devices/rng")
    if heal or bool(found) == wanted:
        return []
    write_rng(root, wanted)
    if wanted:
        return [LiveOp("rng", "attach", serialise(_new_rng()))]
    return [LiveOp("rng", "detach", serialise(rng)) for rng in found]


def _watchdogs(root: Element) -> list[Element]:
    return [dog for dog in root.findall("devices/watchdog") if dog.get("model") == _WATCHDOG]


def read_watchdog(root: Element) -> str:
    """Return what happens when the guest does not feed its watchdog."""
    found = _watchdogs(root)
    return found[0].get("action") or "reset" if found else "none"


def write_watchdog(root: Element, action: str) -> None:
    """Make, change or remove the watchdog."""
    found = _watchdogs(root)
    if action == "none":
        remove_all(_devices(root), found)
    elif found:
        found[0].set("action", action)
    else:
        add(_devices(root), "watchdog", model=_WATCHDOG, action=action)


def read_graphics(root: Element) -> str:
    """Return the kind of screen."""
    return attribute(root, "devices/graphics", "type") or "none"


def write_graphics(root: Element, kind: str) -> None:
    """Set it. Screens listen on the host's own address only: everything else goes through SSH."""
    devices = _devices(root)
    found = devices.find("graphics")
    if found is not None and found.get("type") == kind:
        return
    # A screen's card and sound go with it: libvirt made them for it, and sound for SPICE starts with nothing else
    for tag in ("graphics", "video", "audio"):
        remove_all(devices, devices.findall(tag))
    if kind != "none":
        add(devices, "graphics", type=kind, autoport="yes", listen="127.0.0.1")
        add(add(devices, "video"), "model", type="virtio")
