# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# What a commit can change, layer by layer, without what changes by itself: counters, timers, lifetimes.

layer() {
    echo "== layer $1"
}

layer files
find /etc/systemd/network /etc/systemd/networkd.conf.d /etc/systemd/system /etc/shorewall /etc/shorewall6 /etc/dnsmasq.d \
    /etc/kvmnet /etc/sysctl.d /etc/modules-load.d /etc/iproute2 /etc/default /etc/network \
    /var/lib/shorewall/firewall /var/lib/shorewall6/firewall -printf '%y %m %p %l\n' 2>/dev/null | sort
find /etc/systemd/network /etc/systemd/networkd.conf.d /etc/shorewall /etc/shorewall6 /etc/dnsmasq.d /etc/kvmnet \
    /etc/sysctl.d /etc/modules-load.d /etc/iproute2 /etc/default /etc/network \
    /var/lib/shorewall/firewall /var/lib/shorewall6/firewall -type f -exec sha256sum {} + 2>/dev/null | sort

layer links
ip -d link | sed -E 's/^[0-9]+: //; s/(hello|gc|tcn|topology_change)_timer +[0-9.]+//g; s/qdisc [a-z]+ //
    s/(@if|link-netnsid )[0-9]+//g; s/(port_id|port_no|designated_port|designated_bridge|designated_root) [^ ]+//g' | sort

layer addresses
ip -o address | sed -E 's/^[0-9]+: //; s/valid_lft.*//; s/ (tentative|dynamic|mngtmpaddr|noprefixroute)//g; /temporary/d' | sort

layer routes
for version in 4 6; do
    ip -o -"$version" -N route show table all
done | sed -E '/ table 255/d; s/ (linkdown|dead|expires [0-9]+sec)//g; s/ +$//' | sort

layer rules
ip -4 -N rule
ip -6 -N rule

# Within a chain the order matters, that of the chains does not; an untouched table is as good as none.
layer firewall
for program in iptables ip6tables; do
    "$program-save" | sed -E 's/\[[0-9]+:[0-9]+\]//; s/ +$//; /^(#|COMMIT)/d; /sha-[lr]h/d; /^:[A-Z]+ ACCEPT$/d' |
        awk -v program="$program" '/^\*/ {table = substr($0, 2); next} {print program, table, $0}'
done 2>/dev/null | sort -s -k 1,2 -k 3,4

layer ipsets
if command -v ipset >/dev/null; then
    ipset save | sed -E 's/initval 0x[0-9a-f]+//' | sort
fi

# The kernel draws that key at each boot.
layer settings
sysctl -a 2>/dev/null | grep -E '^net\.(ipv4|ipv6|bridge)\.' | grep -v fastopen_key | sort

layer units
systemctl list-unit-files --no-legend --no-pager --state=enabled,disabled,masked --type=service,socket |
    grep -v kvmnet-guard
# What closes the host before the network comes is active from the first boot on.
systemctl list-units --no-legend --no-pager --plain --type=service,socket --state=active,failed \
    'shorewall*' 'dnsmasq*' 'systemd-networkd*' 'kvmnet*' 'ssh.*' |
    awk '{print $1, $3}' | grep -v -E 'guard|commit|closed'
