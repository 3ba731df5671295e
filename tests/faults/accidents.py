# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a host, or to the controller, in the middle of a change."""

from __future__ import annotations

import base64
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from machine import Machine, kill_controller

# These directories get a room of their own that is soon full: what is written to them is written there.
_SMALL = """\
mkdir /run/small /run/filler
mount -t tmpfs -o size={size} none /run/small
for name in run/filler {names}; do
    mkdir -p "/run/small/$name/upper" "/run/small/$name/work"
    mount -t overlay -o "lowerdir=/$name,upperdir=/run/small/$name/upper,workdir=/run/small/$name/work" none "/$name"
done
umount --lazy /run/small
rmdir /run/small
"""
_LARGE = """\
for name in run/filler {names}; do
    umount "/$name"
done
rmdir /run/filler
"""
_FILL = "head -c 64M /dev/zero > /run/filler/zeros || true"
_NETWORK = "etc/systemd/network"
_BREAK = """\
cat > /usr/local/sbin/networkctl <<'END'
#!/bin/sh
[ "$1" != reload ] && exec /usr/bin/networkctl "$@"
{instead}
END
chmod +x /usr/local/sbin/networkctl
"""
_REPAIR = "rm -f /usr/local/sbin/networkctl"
# The clock on the wall as the guard and all that it runs see it; that of the machine is everybody's.
_CLOCK = """\
base64 -d > /usr/local/lib/kvmnet-clock.so <<'END'
{library}
END
echo 0 > /run/kvmnet-clock
mkdir -p /run/systemd/system/kvmnet-.service.d
printf '[Service]\nEnvironment=LD_PRELOAD=/usr/local/lib/kvmnet-clock.so\n' \
    > /run/systemd/system/kvmnet-.service.d/clock.conf
systemctl daemon-reload
"""
_NO_CLOCK = """\
rm -rf /run/systemd/system/kvmnet-.service.d /run/kvmnet-clock /usr/local/lib/kvmnet-clock.so
systemctl daemon-reload
"""
_TIME = "systemd-run --quiet --wait --pipe --unit=kvmnet-time python3 -c 'import time; print(time.time())'"
_HOUR = 3600

# The guard's programs, and Ansible's module, which Python reads from its standard input.
MODULE = r"^\S*/python3(\.\d+)? $"
APPLIER = r"guard\.pyz apply"
WATCHER = r"guard\.pyz watch"
OURS = rf"guard\.pyz|{MODULE}"


def _nothing(machine: Machine) -> None:
    pass


@dataclass(frozen=True)
class Accident:
    """Something that happens besides a change.

    Args:
        happen: what happens.
        prepare: what is arranged before the change begins.
        mend: what is taken away afterwards, once the host has been looked at.
        leaves_controller: somebody is there to be told how the change ended.
        power: for a while nothing can heal, and the host boots.
    """

    happen: Callable[[Machine], None] = _nothing
    prepare: Callable[[Machine], None] = _nothing
    mend: Callable[[Machine], None] = _nothing
    leaves_controller: bool = True
    power: bool = False


def _killed(pattern: str, times: int = 1) -> Accident:
    def happen(machine: Machine) -> None:
        for turn in range(times):
            if turn:
                time.sleep(0.25)
            machine.kill(pattern)

    return Accident(happen)


def _broken(instead: str, at_once: bool) -> Accident:
    def break_it(machine: Machine) -> None:
        machine.inside(_BREAK.format(instead=instead))

    def repair(machine: Machine) -> None:
        machine.inside(_REPAIR)

    return Accident(_nothing if at_once else break_it, break_it if at_once else _nothing, repair)


def _full(size: str, names: str, at_once: bool) -> Accident:
    def prepare(machine: Machine) -> None:
        machine.inside(_SMALL.format(size=size, names=names) + (_FILL if at_once else ""))

    def happen(machine: Machine) -> None:
        machine.inside(_FILL)

    def mend(machine: Machine) -> None:
        machine.inside(_LARGE.format(names=names))

    return Accident(_nothing if at_once else happen, prepare, mend)


def _library() -> str:
    source = Path(__file__).parent / "clock.c"
    with tempfile.NamedTemporaryFile(suffix=".so") as built:
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built.name, str(source)], check=True)
        return base64.encodebytes(Path(built.name).read_bytes()).decode("ascii")


def _jumped(hours: int) -> Accident:
    def prepare(machine: Machine) -> None:
        machine.inside(_CLOCK.format(library=_library()))

    def happen(machine: Machine) -> None:
        machine.inside(f"echo {hours * _HOUR} > /run/kvmnet-clock")
        shown = float(machine.inside(_TIME)) - time.time()
        if abs(shown - hours * _HOUR) > _HOUR / 10:
            raise RuntimeError(f"the clock did not jump: it is {shown:.0f} s off")
        if not any(machine.maps(number, "kvmnet-clock") for number in machine.processes(WATCHER)):
            raise RuntimeError("the watcher does not see the clock that jumped")

    def mend(machine: Machine) -> None:
        machine.inside(_NO_CLOCK)

    return Accident(happen, prepare, mend)


def _stopped(machine: Machine) -> None:
    machine.inside("systemctl stop kvmnet-guard")


ACCIDENTS = {
    "": Accident(),
    "applier killed": _killed(APPLIER),
    "watcher killed": _killed(WATCHER),
    "module killed": _killed(MODULE),
    "all of ours killed": _killed(OURS),
    "killed three times": _killed(OURS, 3),
    "controller killed": Accident(lambda machine: kill_controller(machine.controller), leaves_controller=False),
    "power cut": Accident(Machine.power_cycle, power=True),
    "watcher stopped": Accident(_stopped),
    "networkctl fails from the beginning": _broken("exit 1", at_once=True),
    "networkctl fails": _broken("exit 1", at_once=False),
    "networkctl hangs": _broken("sleep 600", at_once=False),
    "disk full from the beginning": _full("64k", _NETWORK, at_once=True),
    "disk full": _full("24M", f"var/lib/kvmnet/guard {_NETWORK}", at_once=False),
    "clock jumps forward": _jumped(7),
    "clock jumps back": _jumped(-7),
}
