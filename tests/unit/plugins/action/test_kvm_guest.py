# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kvm_guest prints while an image is on its way; molecule sees it do so."""

from __future__ import annotations

import pytest

from ansible_collections.ursa.kvmnet.plugins.action import kvm_guest


@pytest.fixture
def said(monkeypatch):
    """Return what is printed, and a clock that stands still."""
    lines = []
    monkeypatch.setattr(kvm_guest.display, "display", lines.append)
    clock = [100.0]
    monkeypatch.setattr(kvm_guest.time, "monotonic", lambda: clock[0])
    return lines, clock


def test_only_news_is_printed(said):
    lines, clock = said
    teller = kvm_guest.Said("ursa")
    for percent in (0, 1, 12, 13, 19, 20):
        teller.tell(f"image deb: {percent} % (1 of 2 MiB)")
    teller.tell("image deb: converting vmdk to qcow2")
    assert [line.partition(" (")[0] for line in lines] == [
        "ursa: image deb: 0 %",
        "ursa: image deb: 12 %",
        "ursa: image deb: 20 %",
        "ursa: image deb: converting vmdk to qcow2",
    ]
    clock[0] += kvm_guest.SECONDS
    teller.tell("image deb: converting vmdk to qcow2")
    assert len(lines) == 5
