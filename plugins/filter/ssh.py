# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH through a host, as that host is reached itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def ssh_jump(variables: Mapping[str, Any]) -> str:
    """Return arguments of ssh that make it go through a host.

    Args:
        variables: the host's, as C(hostvars) has them.
    """
    host = str(variables.get("ansible_host") or variables["inventory_hostname"])
    user, port = variables.get("ansible_user"), variables.get("ansible_port")
    key = variables.get("ansible_ssh_private_key_file") or variables.get("ansible_private_key_file")
    named = (variables.get(f"ansible_ssh_{which}_args") for which in ("common", "extra"))
    more = " ".join(str(args) for args in named if args)
    if not more and not key:
        target = f"[{host}]" if ":" in host else host
        jump = f"{f'{user}@' if user else ''}{target}{f':{port}' if port else ''}"
        return f"-o ProxyJump={shlex.quote(jump)}"
    words = ["ssh", "-q"]
    words += ["-p", str(port)] if port else []
    words += ["-l", str(user)] if user else []
    words += ["-i", str(key)] if key else []
    # The first ssh replaces what begins with a per cent sign; all but its own target is for the second
    rest = " ".join(part for part in (shlex.join(words[1:]), more) if part).replace("%", "%%")
    command = f"ssh {rest} -W [%h]:%p {shlex.quote(host)}"
    return " ".join(part for part in ("-o " + shlex.quote(f"ProxyCommand={command}"), more) if part)


class FilterModule:
    """Filters on hosts' variables."""

    def filters(self) -> dict[str, Any]:
        return {"ssh_jump": ssh_jump}
