# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.
#
# Part of the program that is installed on the host, so it imports the standard library only.
"""systemd-networkd told to follow its files, or to stay out of it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError, run

LINK_TIMEOUT = 10.0
# Set by it for every card that it takes, and left so.
_SETTINGS = "*/promote_secondaries"
_CONF = Path("/proc/sys/net/ipv4/conf")


def networkd_is_active() -> bool:
    """Whether systemd-networkd is at work."""
    return subprocess.run(["systemctl", "is-active", "--quiet", "systemd-networkd"], check=False).returncode == 0


def networkd_inverse(args: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the step that undoes another one: with the files of then, or not at work as then."""
    if networkd_is_active():
        return args | {"idle": False}
    settings = {str(path): path.read_text(encoding="ascii").strip() for path in _CONF.glob(_SETTINGS)}
    return args | {"idle": True, "settings": settings}


def stop_networkd() -> None:
    """Stop it, which leaves what it configured; any news from the kernel would start it again by its socket.

    Raises:
        ApplyError: it goes on.
    """
    run(["systemctl", "stop", "systemd-networkd.socket", "systemd-networkd.service"])


def step_networkd(_key: str, args: dict[str, Any]) -> None:
    """Let it do what its files say.

    Raises:
        ApplyError: it does not.
    """
    if args.get("idle"):
        stop_networkd()
        for path, value in args.get("settings", {}).items():
            if Path(path).exists():
                Path(path).write_text(f"{value}\n", encoding="ascii")
        return
    if not networkd_is_active():
        run(["systemctl", "enable", "--now", "systemd-networkd"])
    elif args.get("restart"):
        run(["systemctl", "restart", "systemd-networkd"])
    else:
        run(["networkctl", "reload"])
    links = [Path("/sys/class/net", name) for name in args.get("links", ())]
    deadline = time.monotonic() + LINK_TIMEOUT
    while missing := [link.name for link in links if not link.exists()]:
        if time.monotonic() > deadline:
            raise ApplyError(f"systemd-networkd did not make {', '.join(missing)} within {LINK_TIMEOUT:.0f} s")
        time.sleep(0.02)
