# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Pieces of XML that an entry adds to its domain, for what no option says.

Our mark keeps a copy of each, so that one that is no longer listed can be told from what others put there.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt import _mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import add, holds, parse, remove_all

PATCH_SPEC: dict[str, Any] = {
    "path": {"type": "str", "default": "devices"},
    "xml": {"type": "str", "required": True},
}
_TAG = "patch"
_ON_USB = ("hostdev[@type='usb']", "redirdev[@bus='usb']", "input[@bus='usb']")
Patch = Mapping[str, str]


def normalise_patch(patch: Mapping[str, Any]) -> dict[str, str]:
    """Return an entry of C(xml_patch) in one spelling."""
    return {"path": patch.get("path") or "devices", "xml": ET.canonicalize(patch["xml"].strip(), strip_text=True)}


def problem_of(patch: Mapping[str, Any]) -> str | None:
    """Return what an entry should be; None when it is right."""
    try:
        parse(str(patch.get("xml") or ""))
        Element("domain").find(str(patch.get("path") or "devices"))
    except (ET.ParseError, SyntaxError, KeyError) as exc:
        return f"one XML element at a path such as devices; {exc}"
    return None


def marked(root: Element) -> list[Patch]:
    """Return the pieces that our mark says are in a domain."""
    mark = _mark.find(root)
    found = [] if mark is None else mark.findall(_TAG)
    return [{"path": entry.get("path") or "", "xml": (entry.text or "")} for entry in found]


def _there(root: Element, patch: Patch) -> Iterator[tuple[Element, Element]]:
    wanted = parse(patch["xml"])
    parent = root.find(patch["path"])
    for child in [] if parent is None else parent.findall(str(wanted.tag)):
        if parent is not None and holds(child, wanted):
            yield parent, child


def _is_there(root: Element, patch: Patch) -> bool:
    return next(_there(root, patch), None) is not None


def read_patches(root: Element) -> list[Patch]:
    """Return our pieces that are still there, whatever libvirt added to them."""
    return [patch for patch in marked(root) if _is_there(root, patch)]


def write_patches(root: Element, patches: Sequence[Patch]) -> None:
    """Take out the pieces that are not listed any more, and put in those that are missing."""
    for patch in marked(root):
        found = next(_there(root, patch), None)
        if patch not in patches and found is not None:
            found[0].remove(found[1])
    for patch in patches:
        if not _is_there(root, patch):
            parent = root
            for tag in patch["path"].split("/"):
                here = parent.find(tag)
                parent = add(parent, tag) if here is None else here
            parent.append(parse(patch["xml"]))
    _open_usb(root)
    mark_patches(root, patches)


def _open_usb(root: Element) -> None:
    """Give a domain of ours, which is made without USB, a controller as soon as something is plugged into it."""
    devices = root.find("devices")
    none = None if devices is None else devices.find("controller[@type='usb'][@model='none']")
    if devices is None or none is None:
        return
    if len(devices.findall("controller[@type='usb']")) > 1:
        devices.remove(none)
    elif any(devices.find(device) is not None for device in _ON_USB):
        none.set("model", "qemu-xhci")


def mark_patches(root: Element, patches: Iterable[Patch]) -> None:
    """Let the mark say which pieces are ours."""
    patches = list(patches)
    mark = _mark.find(root)
    if mark is None:
        if not patches:
            return
        mark = _mark.make(root)
    remove_all(mark, mark.findall(_TAG))
    for patch in patches:
        add(mark, _TAG, patch["xml"], path=patch["path"])


def pending_patches(live: Element, then: Element) -> bool:
    """Return whether only another boot gives the guest its pieces, or takes them away."""
    wanted = marked(then)
    return any(not _is_there(live, patch) for patch in wanted) or any(
        patch not in wanted and _is_there(live, patch) for patch in marked(live)
    )
