# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Shorewall's extension script `init` reads, so that a verdict outlives a reload, a restart and a boot.

Functions that are defined there take the place of those of the compiled script.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ._providers import Provider
from ._routes import BALANCE, FALLBACK, PROBE, SHADOW, Attached, Route, desired_routes

_HEAD = """\
# Written by kvmnet-uplink-monitor whenever an uplink goes or comes; sourced by Shorewall's extension script `init`.

# An uplink without a carrier must not keep the firewall from starting. Of any other interface: as Shorewall has it.
interface_is_usable() {{
    local status;
    status=0

    case $1 in
        {interfaces})
            return 0
            ;;
    esac

    if ! loopback_interface $1; then
        if interface_is_up $1 && [ "$(find_first_interface_address_if_any $1)" != 0.0.0.0 ] \
&& [ -z "$($IP -$g_family link list dev $1 2> /dev/null | fgrep 'state DOWN')" ]; then
            if [ "$COMMAND" != enable ]; then
                [ ! -f ${{VARDIR}}/${{1}}_disabled ] && run_isusable_exit $1
                status=$?
            fi
        else
            status=1
        fi
    fi

    return $status
}}

run_ip() {{
    case "$*" in
{cases}\
        "rule add "*)
            # One that is there already, since an uplink joined without Shorewall, is no reason to stop the firewall.
            shift 2
            $IP -$g_family rule del "$@" > /dev/null 2>&1
            set -- rule add "$@"
            ;;
    esac
    $IP -$g_family "$@" && return 0
    case "$*" in
        "route replace "*)
            error_message "WARNING: Command \\"$IP -$g_family $*\\" Failed; kvmnet-uplink-monitor will see to it"
            return 0
            ;;
    esac
    error_message "ERROR: Command \\"$IP -$g_family $*\\" Failed"
    stop_firewall
    exit 2
}}
"""
_CASE = """\
        {patterns})
            set -- {line}
            ;;
"""


def _patterns(route: Route) -> str:
    """The lines of the compiled script that a route takes the place of."""
    if route.metric:
        return f'"route replace default "*"table {route.table} "*"metric {route.metric}"'
    if route.table in (BALANCE, FALLBACK):
        return f'"route replace default scope global table {route.table} "*'
    start = f'"route replace default "*" table {route.table}'
    return f'{start}"|{start} "*'


def fragment(
    providers: Collection[Provider], attached: Mapping[str, Attached], out: Collection[str], installed: Collection[str]
) -> str:
    """Return the shell functions.

    Args:
        providers: all of them.
        attached: those that can have routes.
        out: the names of those that must not carry traffic.
        installed: the names of those whose table something looks into.
    """
    usual = {route.key: route for route in desired_routes(providers, attached, (), installed)}
    wanted = desired_routes(providers, attached, out, installed)
    moved = [route for route in wanted if route.table < SHADOW and route != usual.get(route.key)]
    # The more particular pattern first
    moved.sort(key=lambda route: (-route.metric, route.table))
    cases = "".join(_CASE.format(patterns=_patterns(route), line=route.line) for route in moved)
    interfaces = "|".join(dict.fromkeys(provider.interface for provider in providers))
    text = _HEAD.format(interfaces=interfaces or "''", cases=cases)
    if moved:
        text += "\n# Through these the routes above are reached.\n"
        reach = [route for each in attached.values() if each.provider.name not in out for route in each.host_routes()]
        text += "".join(
            f"$IP -4 {route.line} > /dev/null 2>&1\n" for route in reach if route.table not in (FALLBACK, PROBE)
        )
    return text
