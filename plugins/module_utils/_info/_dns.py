# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Ask a name server: just enough of DNS to see which address a name has there, and which name an address."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

A, PTR = 1, 12
_TIMEOUT = 2.0
# More would overrun the server's socket.
_AT_ONCE = 50
_CODES = {1: "format error", 2: "server failure", 3: "no such name", 4: "not implemented", 5: "refused"}


@dataclass(frozen=True)
class Question:
    """A name and the type of record that is asked for."""

    name: str
    kind: int


@dataclass(frozen=True)
class Answer:
    """What the server said: values, or why there are none."""

    values: tuple[str, ...]
    error: str | None = None


def reverse_name(address: str) -> str:
    """Return the name under which the name of an address is found."""
    return ipaddress.ip_address(address).reverse_pointer


def encode(question: Question, number: int) -> bytes:
    """Return the packet that asks a question."""
    labels = question.name.rstrip(".").encode("idna").split(b".")
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + name + struct.pack("!HH", question.kind, 1)


def _read_name(packet: bytes, offset: int) -> tuple[str, int]:
    """Return a name and the offset after it."""
    labels = []
    after = None
    # A pointer may lead to another one; a loop of them must end.
    for _step in range(128):
        length = packet[offset]
        if length & 0xC0 == 0xC0:
            after = after or offset + 2
            offset = struct.unpack_from("!H", packet, offset)[0] & 0x3FFF
        elif length:
            labels.append(packet[offset + 1 : offset + 1 + length].decode("ascii", "replace"))
            offset += 1 + length
        else:
            return ".".join(labels), after or offset + 1
    raise ValueError("a name without an end")


def decode(packet: bytes) -> tuple[int, Answer]:
    """Return the number of the question that a packet answers, and the answer.

    Raises:
        ValueError: it is not an answer.
    """
    try:
        number, flags, questions, answers = struct.unpack_from("!HHHH", packet)
        if not flags & 0x8000:
            raise ValueError("not an answer")
        code = flags & 0xF
        if code:
            return number, Answer((), _CODES.get(code, f"error {code}"))
        offset = 12
        for _index in range(questions):
            offset = _read_name(packet, offset)[1] + 4
        values = []
        for _index in range(answers):
            offset = _read_name(packet, offset)[1]
            kind, _class, _ttl, length = struct.unpack_from("!HHIH", packet, offset)
            offset += 10
            if kind == A and length == 4:
                values.append(str(ipaddress.ip_address(packet[offset : offset + 4])))
            elif kind == PTR:
                values.append(_read_name(packet, offset)[0])
            offset += length
    except (IndexError, struct.error) as error:
        raise ValueError("a packet that is cut off") from error
    return number, Answer(tuple(values), None if values else "no such record")


def ask(
    server: str, questions: Iterable[Question], timeout: float = _TIMEOUT, port: int = 53
) -> dict[Question, Answer]:
    """Ask one server, with some questions under way at a time."""
    waiting = list(dict.fromkeys(questions))
    answers: dict[Question, Answer] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        try:
            channel.connect((server, port))
        except OSError as error:
            return dict.fromkeys(waiting, Answer((), str(error)))
        for start in range(0, len(waiting), _AT_ONCE):
            answers |= _ask_some(channel, waiting[start : start + _AT_ONCE], timeout)
    return answers


def _ask_some(channel: socket.socket, questions: list[Question], timeout: float) -> dict[Question, Answer]:
    answers: dict[Question, Answer] = {}
    why = f"no answer within {timeout:g} s"
    # The second time for what got lost.
    for _try in range(2):
        with contextlib.suppress(OSError):
            for number, question in enumerate(questions):
                if question not in answers:
                    channel.send(encode(question, number))
        deadline = time.monotonic() + timeout / 2
        while len(answers) < len(questions) and (left := deadline - time.monotonic()) > 0:
            channel.settimeout(left)
            try:
                number, answer = decode(channel.recv(4096))
            except TimeoutError:
                break
            except OSError as error:
                why = str(error)
                break
            except ValueError:
                continue
            if number < len(questions):
                answers[questions[number]] = answer
    return {question: answers.get(question, Answer((), why)) for question in questions}
