# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Files that keep a host closed from before its network is up until its firewall starts, which takes no compiler then.

Debian's shorewall-init is ordered before network.target only, so that systemd-networkd is there before it, and when it
is stopped it opens the firewall.
"""

from __future__ import annotations

from ansible_collections.ursa.kvmnet.plugins.module_utils._plan import Change
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._files import Staging, decode

PROGRAM = "/usr/local/lib/kvmnet/firewall"
UNIT = "kvmnet-closed.service"
_MARK = "# Written by ursa.kvmnet; changes are overwritten.\n"

_PROGRAM = r"""#!/bin/sh
@MARK@#
# firewall close            at boot: nothing comes in but what is admitted while Shorewall is stopped
# firewall start PRODUCT    at boot: start the firewall that was committed; one that was edited since is compiled first

is_started() {
    "$1" -w 10 -n -L shorewall >/dev/null 2>&1
}

# What takes longest, Shorewall's own stopped state, comes after what cannot fail.
close() {
    is_started "$1" && return 0
    printf '*filter\n:INPUT DROP\n:FORWARD DROP\nCOMMIT\n' | "$1-restore" --noflush --wait 10 || return 1
    # Nothing of the last boot is there to be undone: undoing it would add what the kernel has already.
    rm -f "${2%/*}"/undo_*routing
    [ ! -x "$2" ] || "$2" -V0 -n stop
}

start() {
    script=/var/lib/$1/firewall
    cd "/etc/$1" || exit 1
    sum=$(find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
    if grep -q '^STARTUP_ENABLED=["'"'"']*[Yy]es' "$1.conf" &&
        [ "$(tail -n 1 "$script")" = "# configuration ${sum%% *}" ] && "$script" start; then
        exit 0
    fi
    # shellcheck disable=SC2086 # lists of options
    exec "/sbin/$1" $OPTIONS start $STARTOPTIONS
}

case "$1" in
    close)
        failed=0
        close iptables /var/lib/shorewall/firewall || failed=1
        # IPv6 that is neither managed nor meant to be closed is somebody else's.
        if [ -e /etc/systemd/system/basic.target.wants/shorewall6.service ] ||
            grep -q '^DISABLE_IPV6=["'"'"']*[Yy]es' /etc/shorewall/shorewall.conf; then
            close ip6tables /var/lib/shorewall6/firewall || failed=1
        fi
        exit "$failed"
        ;;
    start) start "$2" ;;
    *) exit 2 ;;
esac
""".replace("@MARK@", _MARK)

_UNIT = f"""{_MARK}
[Unit]
Description=Firewall, closed until Shorewall starts
Documentation=man:shorewall(8)
DefaultDependencies=no
# A firewall that somebody disabled, or took away, would never open again.
ConditionPathExists=/{IPV4.enabled}
ConditionPathExists={IPV4.firewall}
RequiresMountsFor=/etc /usr /var/lib/shorewall
# What it puts back is what is closed with.
After=systemd-remount-fs.service systemd-modules-load.service kvmnet-guard-boot.service
Before=network-pre.target sysinit.target shorewall.service shorewall6.service shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {PROGRAM} close
"""

# Files instead of an enabled unit: they come and go with the candidate.
_WANTED = f"""{_MARK}
[Unit]
Wants={UNIT}
"""

_START = """{mark}
[Service]
ExecStart=
ExecStart=/bin/sh {program} start {product}
"""


def files(product: str) -> dict[str, str]:
    """Return the files for one of Shorewall's programs; IPv4's also close the host, in both versions of IP."""
    start = _START.format(mark=_MARK, program=PROGRAM, product=product)
    own = {f"/etc/systemd/system/{product}.service.d/50-kvmnet.conf": start}
    if product != IPV4.product:
        return own
    common = {PROGRAM: _PROGRAM, f"/etc/systemd/system/{UNIT}": _UNIT}
    return {**common, "/etc/systemd/system/sysinit.target.d/50-kvmnet-closed.conf": _WANTED, **own}


def stage(staging: Staging, wanted: bool) -> None:
    """Put the files of a firewall into the candidate, or take them away."""
    candidate = staging.candidate
    for path, text in files(staging.family.product).items():
        live = candidate.live(path)
        if wanted:
            if not candidate.put(path, text):
                continue
            if live is None:
                staging.plan.add(Change("create", "file", path))
            else:
                lines = (len(decode(live).splitlines()), len(text.splitlines()))
                staging.plan.add(Change("change", "file", path, {"lines": lines}))
        elif live is not None and decode(live).startswith((_MARK, f"#!/bin/sh\n{_MARK}")):
            candidate.remove(path)
            staging.plan.add(Change("delete", "file", path))
