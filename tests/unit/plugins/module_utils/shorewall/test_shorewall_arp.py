# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking a wire who has an address."""

from __future__ import annotations

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._arp import answer, neighbour, request

OWN, GATEWAY = bytes.fromhex("020000000030"), bytes.fromhex("020000000001")
OWN_ADDRESS, ADDRESS = bytes([172, 20, 1, 130]), bytes([172, 20, 1, 1])
REPLY = bytes.fromhex("02000000003002000000000108060001080006040002")


def test_asks_everyone() -> None:
    frame = request(OWN, OWN_ADDRESS, ADDRESS)
    assert frame.hex() == ("ffffffffffff02000000003008060001080006040001020000000030ac140182000000000000ac140101")


def test_takes_the_answer_that_was_asked_for() -> None:
    frame = REPLY + GATEWAY + ADDRESS + OWN + OWN_ADDRESS
    assert answer(frame + b"\0" * 18, ADDRESS) == "02:00:00:00:00:01"
    assert answer(frame, bytes([172, 20, 1, 254])) is None
    assert answer(frame[:30], ADDRESS) is None


def test_a_request_of_others_is_no_answer() -> None:
    assert answer(request(GATEWAY, ADDRESS, OWN_ADDRESS), ADDRESS) is None


def test_an_interface_that_is_not_there_answers_nothing() -> None:
    assert neighbour("no-such-link", "192.0.2.1") is None
