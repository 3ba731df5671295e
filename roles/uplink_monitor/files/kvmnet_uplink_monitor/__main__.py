# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program: the service itself, and what a person asks it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import _kernel, _service
from ._config import InvalidError, read_config
from ._control import ask
from ._providers import RefusedError, read_providers
from ._routes import attach, plan, withdraw
from ._state import Paths, read_text, table


def _check(path: Path) -> int:
    try:
        read_config(path.read_text(encoding="utf-8"))
    except (InvalidError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _status(paths: Paths) -> int:
    text = read_text(paths.state)
    if not text:
        sys.stderr.write(f"{paths.state} is not there: the service does not run\n")
        return 1
    sys.stdout.write(table(json.loads(text)) + "\n")
    return 0


def _drill(paths: Paths, name: str, to: str, seconds: float) -> int:
    try:
        refused = ask(paths.socket, {"name": name, "to": to, "seconds": seconds})
    except OSError as error:
        refused = f"the service does not answer: {error}"
    if refused:
        sys.stderr.write(f"{refused}\n")
    return 1 if refused else 0


def _clear(paths: Paths) -> int:
    """Put traffic back where Shorewall had it, and take away everything of ours."""
    try:
        snapshot = _kernel.look()
        try:
            providers = read_providers(read_text(paths.providers), read_text(paths.script))
        except RefusedError:
            providers = ()
        gateways = {
            provider.name: snapshot.learned[provider.interface]
            for provider in providers
            if provider.interface in snapshot.learned
        }
        if len(providers) > 1:
            problems = _kernel.Batch().apply(plan(providers, attach(providers, snapshot.links, gateways), (), snapshot))
        else:
            problems = []
        problems += _kernel.Batch().apply(withdraw(_kernel.look()))
    except _kernel.FailedError as error:
        problems = [str(error)]
    for path in (paths.verdicts, paths.fragment, paths.state):
        path.unlink(missing_ok=True)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; without any, serve."""
    parser = argparse.ArgumentParser(prog="kvmnet_uplink_monitor", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("/"), help="a file system that begins elsewhere")
    parser.add_argument("--config", type=Path, help="the configuration (default: /etc/kvmnet/uplink_monitor.json)")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("status", help="show the uplinks")
    commands.add_parser("check", help="check a configuration").add_argument("file", type=Path)
    drill = commands.add_parser("drill", help="hold an uplink up or down for a while")
    drill.add_argument("name")
    drill.add_argument("to", choices=("up", "down", "auto"))
    drill.add_argument("--seconds", type=float, default=120, help="how long (default: 120, at most 3600)")
    commands.add_parser("clear", help="take away every rule and table of this program")
    given = parser.parse_args(arguments)
    paths = Paths.below(given.root, given.config)
    if given.command == "check":
        return _check(given.file)
    if given.command == "status":
        return _status(paths)
    if given.command == "drill":
        return _drill(paths, given.name, given.to, given.seconds)
    if given.command == "clear":
        return _clear(paths)
    return _service.main(paths)


if __name__ == "__main__":
    sys.exit(main())
