# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
"""Our mark in a domain's metadata: whose it is, and what its XML has no place for."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from xml.etree.ElementTree import Element

from ansible_collections.ursa.kvmnet.plugins.module_utils._libvirt._xml import ensure

URI = "https://github.com/ursa-kvmnet/ursa.kvmnet/guest/1"
PREFIX = "kvmnet"
_TAG = f"{{{URI}}}guest"
_PATH = f"metadata/{_TAG}"

ET.register_namespace(PREFIX, URI)


def find(root: Element) -> Element | None:
    """Return the mark of a domain, or None when the domain is not ours."""
    return root.find(_PATH)


def get(root: Element, attribute: str) -> str | None:
    """Return an attribute of the mark."""
    mark = find(root)
    return None if mark is None else mark.get(attribute)


def make(root: Element) -> Element:
    """Return the mark, made where it is missing."""
    mark = find(root)
    return ET.SubElement(ensure(root, "metadata"), _TAG) if mark is None else mark


def put(root: Element, attribute: str, value: str | None) -> None:
    """Write an attribute of the mark, made where it is missing; None removes the attribute."""
    mark = make(root)
    if value is None:
        mark.attrib.pop(attribute, None)
    else:
        mark.set(attribute, value)


def text(root: Element) -> str:
    """Return the mark alone as libvirt takes it for a running domain: it adds the namespace itself."""
    mark = find(root)
    if mark is None:
        return ""
    bare = copy.copy(mark)
    bare.tag, bare.tail = "guest", None
    return ET.tostring(bare, encoding="unicode")


def same(one: Element, other: Element) -> bool:
    """Return whether two domains have the same mark, however libvirt indents it."""
    texts = [text(root) for root in (one, other)]
    return len({found and ET.canonicalize(found, strip_text=True) for found in texts}) == 1
