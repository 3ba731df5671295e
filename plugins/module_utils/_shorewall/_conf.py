# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Files of assignments (shorewall.conf, params, /etc/default/shorewall) and marked blocks in scripts.

What is wanted is set, everything else is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ASSIGNMENT = re.compile(r"(?m)^(?P<name>[A-Za-z_]\w*)=(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s#]*)(?P<rest>[^\n]*)$")
_PLAIN = re.compile(r"[\w./:,+@%^-]*")

BLOCK_BEGIN = "# BEGIN ursa.kvmnet: {name}"
BLOCK_END = "# END ursa.kvmnet: {name}"


def to_text(value: Any) -> str:
    """Return a setting's value as Shorewall writes it; YAML reads Yes and No as booleans, so they are turned back."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value)


def is_right(value: str) -> bool:
    """Whether a value can be written between double quotes and read back as it is."""
    return value.isascii() and value.isprintable() and not re.search(r"[\"\\`]", value)


def read(text: str) -> dict[str, str]:
    """Return the assignments of a file; the last one of a name counts."""
    return {found["name"]: _unquote(found["value"]) for found in _ASSIGNMENT.finditer(text)}


def _unquote(value: str) -> str:
    return value[1:-1] if value[:1] in ("'", '"') else value


def _quote(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else f'"{value}"'


def edit(text: str, wanted: Mapping[str, str]) -> str:
    """Set assignments; a name that is not there yet is added at the end, everything else is kept byte for byte."""
    have = read(text)
    last = {found["name"]: found.start() for found in _ASSIGNMENT.finditer(text)}

    def replace(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in wanted or have[name] == wanted[name] or last[name] != found.start():
            return found[0]
        return f"{name}={_quote(wanted[name])}{found['rest']}"

    text = _ASSIGNMENT.sub(replace, text)
    added = [f"{name}={_quote(value)}\n" for name, value in wanted.items() if name not in have]
    if added and text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(added)


def set_block(text: str, name: str, body: str) -> str:
    """Put a marked block into a script in place of the one that is there, or take it out when the body is empty."""
    begin, end = BLOCK_BEGIN.format(name=name), BLOCK_END.format(name=name)
    block = f"{begin}\n{body}{end}\n" if body else ""
    found = re.search(rf"(?ms)^{re.escape(begin)}\n.*?^{re.escape(end)}\n?", text)
    if found:
        return text[: found.start()] + block + text[found.end() :]
    if block and text and not text.endswith("\n"):
        text += "\n"
    return text + block
