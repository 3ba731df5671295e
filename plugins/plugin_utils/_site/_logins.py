# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""The kinds of values that say who may log in."""

from __future__ import annotations

import re

from ._types import Kind, WrongError, pattern

_PUBLIC_KEY = re.compile(
    r"(ssh-(rsa|ed25519|dss)|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9-]+@openssh\.com) [A-Za-z0-9+/]{20,}={0,3}( .*)?"
)


def _ssh_key(value: object) -> str:
    allowed = "a public key on one line, as in ~/.ssh/id_ed25519.pub"
    text = value.strip() if isinstance(value, str) else ""
    if not _PUBLIC_KEY.fullmatch(text):
        raise WrongError(f"{allowed}; this is a private key" if "PRIVATE KEY" in text else allowed)
    return text


SSH_KEY = Kind("public SSH key", _ssh_key)
USER = pattern(
    "user name",
    r"[a-z_][a-z0-9_-]{0,31}",
    "a user name: lower-case letters, digits, hyphens and underscores, not beginning with a digit",
)
