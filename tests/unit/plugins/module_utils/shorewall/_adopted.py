# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configurations that exist, those of the article and odd ones, and what reads them and gives them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._adopt import describe
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import stage_config, stage_zones

CONF = """\
STARTUP_ENABLED=No
LOGFORMAT="%s %s "
ROUTE_FILTER=Yes
IP_FORWARDING=Keep
CONFIG_PATH=":${CONFDIR}/shorewall"
"""
ARTICLE = {
    "shorewall.conf": CONF.replace("=No", "=Yes")
    .replace("=Keep", "=On")
    .replace("FILTER=Yes", "FILTER=No # providers"),
    "zones": "#ZONE TYPE\nfw      firewall\nnet     ipv4\nkvm     ipv4\n",
    "policy": (
        "net             net             NONE\nfw              net             ACCEPT\n"
        "fw              kvm             ACCEPT\nkvm             all             ACCEPT\n"
        "net             all             DROP            info\nall             all             REJECT          info\n"
    ),
    "interfaces": "?FORMAT 2\nnet eth0 dhcp,tcpflags,arp_ignore\nkvm br0 dhcp,routeback #Virtual Machines\n",
    "providers": (
        "comcast 1 1 - eth0:172.20.1.130 172.20.1.1,~02-00-00-00-00-AA track,loose,balance\n"
        "avvanta 2 2 - eth0:172.20.1.130 172.20.1.254,02:00:00:00:00:0b track,loose\n"
    ),
    "rtrules": "- 206.124.146.176/31 avvanta 1000\n- 206.124.146.180/32 avvanta 1000\n",
    "mangle": "MARK(2) $FW 0.0.0.0/0 tcp 21\nMARK(2) $FW 0.0.0.0/0 tcp - - - - - - - ftp\n",
    "snat": "?FORMAT 2\nMASQUERADE 192.168.0.0/24 eth0\n",
    "stoppedrules": "ACCEPT eth0:172.20.1.0/24 $FW tcp 22\n",
    "init": "SW_ETH0_COMCAST_MAC=02:00:00:00:00:aa\nSW_ETH0_AVVANTA_MAC=02:00:00:00:00:0b\n",
}
BASE = {name: ARTICLE[name] for name in ("shorewall.conf", "zones", "interfaces", "policy")}
ODD: dict[str, dict[str, str]] = {
    "older_format": {"interfaces": "net eth0 detect dhcp,tcpflags\nkvm br0 192.168.0.255 routeback\n"},
    "hosts_out_of_order": {
        "interfaces": "?FORMAT 2\nnet eth0\n- br0 routeback\n",
        "zones": "fw firewall\nnet ipv4\nkvm ipv4\ndmz:kvm ipv4\n",
        "hosts": "dmz br0:10.0.0.0/8\nkvm br0:192.168.0.0/24,172.16.0.0/12 routeback\ndmz br0:192.0.2.0/24\n",
    },
    "conditions": {"rules": "?if $ADMIN\nSSH(ACCEPT) net:$ADMIN $FW\n?endif\nACCEPT net $FW tcp 80\n"},
    "include": {"rules": "INCLUDE rules.local\n", "rules.local": "ACCEPT net $FW tcp 80\n"},
    "conditional_interface": {"interfaces": "?FORMAT 2\nnet eth0\n?if 0\nnet eth1\n?endif\nkvm br0\n"},
    "forms": {
        "rules": (
            "?SECTION ESTABLISHED\nDROP net all\n?SECTION NEW\n?COMMENT the office\n"
            "ACCEPT { source=net, dest=$FW, proto=tcp, dport=22 }\n?COMMENT\n"
            "ACCEPT net \\\n  $FW tcp 25 # mail\nACCEPT net $FW ; proto=udp dport=53\n"
            "ACCEPT net $FW tcp 443 ;; -m length --length 40\n"
        ),
    },
    "priorities": {
        "providers": "isp 1 1 - eth0 192.0.2.1 track,balance\n",
        "rtrules": "- 192.0.2.128/25 isp 5000\n",
    },
    "no_mark": {"providers": "isp 1 - - eth0 192.0.2.1 notrack,balance\n"},
    "host_bits": {"rules": "ACCEPT net:192.0.2.1/24 $FW\n"},
    "params": {"params": "# mine\nADMIN=192.0.2.7   # home\nNETS='192.0.2.0/24,198.51.100.0/24'\n"},
    "params_program": {"params": "IP=$(hostname -I)\n[ -f /etc/x ] && . /etc/x\n"},
    "others": {
        "blrules": "DROP net:192.0.2.0/24 all\n",
        "macro.Backup": "PARAM - - tcp 9102\n",
        "rules.d/10-web": "ACCEPT net $FW tcp 80\n",
        "rules.bak": "no one reads it\n",
        "started": "run_me\n",
        "postcompile": "true\n",
    },
    "crlf": {"policy": ARTICLE["policy"].replace("\n", "\r\n")},
    "comments_only": {"rules": "# nothing\n", "mangle": "?FORMAT 1\n", "snat": ""},
    "empty_setting": {"shorewall.conf": CONF + "LOG_LEVEL=\nOPTIMIZE='All'\n"},
    "interface_option": {"interfaces": "?FORMAT 2\nnet eth0 dhcp,norfc1918\nkvm br0 routeback\n"},
    "quotes": {"rules": 'ACCEPT { source=net, dest=$FW, proto=tcp, dport="22,80", user="a b" }\n'},
}


def host(root: Path, files: dict[str, str], delivered: dict[str, str] | None = None) -> Path:
    """Make a host of these files."""
    for directory, content in (("etc/shorewall", files), ("usr/share/shorewall/configfiles", delivered or {})):
        for name, text in content.items():
            target = root / directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())
    if delivered is None:
        (root / "usr/share/shorewall/configfiles").mkdir(parents=True, exist_ok=True)
        (root / "usr/share/shorewall/configfiles/shorewall.conf").write_text(CONF)
    (root / "etc/default").mkdir(parents=True, exist_ok=True)
    (root / "etc/default/shorewall").write_text('startup=1\nOPTIONS=""\nwait_interface="ppp0 ppp1"\n')
    return root


def read(root: Path) -> dict[str, Any]:
    """Return what is found there, nothing of which is wrong."""
    found = describe(Candidate(None, None, root))
    assert found["problems"] == []
    return found


def give_back(root: Path, configuration: dict[str, Any]) -> list[str]:
    """Return what the modules would change."""
    candidate = Candidate(None, None, root)
    plans = [stage_zones(candidate, configuration | {"exclusive": configuration["zones_exclusive"]}, True).plan]
    plans.append(stage_config(candidate, configuration, True, lambda *_: pytest.fail("asked the network")).plan)
    return [line for plan in plans for line in plan.lines()] + list(candidate.entries)
