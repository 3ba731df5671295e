# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes one state of a network of another, tried on a network that follows the lines it is given."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._guard import _compare, _snapshot

FILTER = "*filter\n:INPUT DROP [3:180]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n"
ROUTES = [
    "192.0.2.1 dev eth0",
    "default via 192.0.2.1 dev eth0 proto 186",
    "default via 192.0.2.1 dev eth0 table 1 realm 1",
    "default table 250 nexthop via 192.0.2.1 dev eth0 weight 1 nexthop via 192.0.2.254 dev eth0 weight 1",
    "198.51.100.0/24 dev br0 proto 4",
]
SET = {"leased": False, "nodad": False}
BY_LEASE = {**SET, "leased": True}
UNASKED = {**SET, "nodad": True}
BR0 = {"192.168.20.254/24": SET, "2001:db8:20::1/64": UNASKED}
RULES = ["0 from all lookup 255", "999 from all lookup 254", "10000 from all fwmark 0x1/0xff lookup 1"]


def _link(kind: str = "", **different: Any) -> dict[str, Any]:
    details = {"bridge": {"stp_state": 0, "forward_delay": 0}, "tun": {"type": "tap"}, "macvlan": {"mode": "private"}}
    link = {
        "kind": kind,
        "mac": "52:54:00:00:00:01",
        "mtu": 1500,
        "up": True,
        "master": None,
        "parent": None,
        "flags": {},
        "details": details.get(kind, {}),
    }
    return {**link, **different}


def _state(**different: Any) -> dict[str, Any]:
    state = {
        "links": {
            "eth0": _link(),
            "br0": _link("bridge", mac="52:54:00:00:00:02"),
            "tap0": _link("tun", master="br0", flags={"isolated": True, "learning": False}),
            "mac0": _link("macvlan", parent="eth0", mtu=1400),
        },
        "addresses": {
            "eth0": {"192.0.2.20/24": SET, "192.0.2.99/24": BY_LEASE, "2001:db8::20/64": SET},
            "br0": {**BR0},
            "tap0": {},
            "mac0": {},
        },
        "routes": {"4": list(ROUTES), "6": []},
        "rules": {"4": list(RULES), "6": []},
        "firewall": {"iptables": FILTER},
        "ipsets": "",
        "sysctls": {"/proc/sys/net/ipv4/ip_forward": "1"},
        "units": {"shorewall.service": {"enabled": "enabled", "active": "active"}},
    }
    return {**state, **different}


class Network:
    """A network of which the kernel is this class: it takes the lines of ip that a repair consists of."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = copy.deepcopy(state)

    def link(self, line: str) -> None:
        words = line.split()
        links, addresses = self.state["links"], self.state["addresses"]
        if words[:2] == ["link", "add"] or words[0] == "tuntap":
            parent = words[3] if words[2] == "link" else None
            name = words[words.index("dev") + 1] if words[0] == "tuntap" else words[4 if parent else 2]
            assert name not in links
            kind = "tun" if words[0] == "tuntap" else words[words.index("type") + 1]
            mac = words[words.index("address") + 1] if "address" in words else "02:00:00:00:00:00"
            links[name] = _link(kind, mac=mac, up=False, parent=parent)
            addresses[name] = {}
            return
        if words[:2] == ["link", "del"]:
            del links[words[3]]
            del addresses[words[3]]
            return
        assert words[:3] == ["link", "set", "dev"]
        link, rest = links[words[3]], words[4:]
        if rest[0] == "master":
            assert rest[1] in links
            link["master"] = rest[1]
        elif rest == ["nomaster"]:
            link["master"], link["flags"] = None, {}
        elif rest[0] in ("up", "down"):
            link["up"] = rest[0] == "up"
        elif rest[:2] == ["type", "bridge_slave"]:
            link["flags"][rest[2]] = rest[3] == "on"
        else:
            link[{"address": "mac", "mtu": "mtu"}[rest[0]]] = int(rest[1]) if rest[0] == "mtu" else rest[1]

    def address(self, line: str) -> None:
        words = line.split()
        have = self.state["addresses"][words[words.index("dev") + 1]]
        if words[1] == "add":
            assert words[2] not in have
            have[words[2]] = UNASKED if "nodad" in words else SET
        elif words[1] == "replace":
            have[words[2]] = UNASKED if "nodad" in words else SET
        else:
            del have[words[2]]

    def repair(self, before: dict[str, Any], made: list[str]) -> None:
        create, change = _compare.link_lines(before, self.state, made)
        for line in create + change:
            self.link(line)
        for line in _compare.address_lines(before, self.state):
            self.address(line)
        for key, lines in (
            ("routes", _compare.route_lines(before, self.state)),
            ("rules", _compare.rule_lines(before, self.state)),
        ):
            for version, wanted in lines.items():
                have = self.state[key][version]
                for line in wanted:
                    _noun, verb, rest = line.split(" ", 2)
                    rest = rest.removeprefix("pref ")
                    have.append(rest) if verb in ("add", "append") else have.remove(rest)


def _spoil(state: dict[str, Any], luck: random.Random) -> None:
    """Do to a network what mistakes do."""
    links, addresses = state["links"], state["addresses"]
    for name in list(links):
        if name != "eth0" and luck.random() < 0.3:
            del links[name], addresses[name]
            continue
        link = links[name]
        if luck.random() < 0.3:
            link["up"] = not link["up"]
        if luck.random() < 0.3:
            link["mtu"] = luck.choice([1280, 9000])
        if luck.random() < 0.2:
            link["mac"] = "02:00:00:00:00:99"
        if luck.random() < 0.3:
            link["master"] = luck.choice([None, "br9"])
        for flag in link["flags"]:
            link["flags"][flag] = luck.random() < 0.5
        have = addresses[name]
        for address, about in list(have.items()):
            if about != BY_LEASE and luck.random() < 0.4:
                del have[address]
            elif ":" in address and luck.random() < 0.4:
                have[address] = luck.choice([SET, UNASKED])
        if luck.random() < 0.3:
            have["203.0.113.7/24"] = SET
    links["br9"], addresses["br9"] = _link("bridge"), {"192.168.29.254/24": SET}
    for key, extra in (("routes", "default dev br9"), ("rules", "5 from all lookup 7")):
        lines = state[key]["4"]
        luck.shuffle(lines)
        del lines[: luck.randrange(len(lines) + 1)]
        lines += [extra] * luck.randrange(3)


@pytest.mark.parametrize("seed", range(200))
def test_what_is_repaired_is_as_it_was(seed: int) -> None:
    before = _state()
    spoilt = copy.deepcopy(before)
    _spoil(spoilt, random.Random(seed))
    network = Network(spoilt)
    assert _compare.differences(before, network.state, ["br9"])
    # As in the transaction: what one pass cannot see yet, the next puts right.
    for _turn in range(2):
        network.repair(before, ["br9"])
    assert _compare.differences(before, network.state, ["br9"]) == []


def test_a_state_does_not_differ_from_itself() -> None:
    assert _compare.differences(_state(), _state()) == []


def test_what_somebody_else_made_is_left_alone() -> None:
    now = _state()
    now["links"]["docker0"], now["addresses"]["docker0"] = _link("bridge"), {"172.17.0.1/16": SET}
    assert _compare.differences(_state(), now, ["br9"]) == []
    assert _compare.link_lines(_state(), now, ["br9"]) == ([], [])
    assert _compare.address_lines(_state(), now) == []


def test_what_is_leased_may_come_and_go() -> None:
    now = _state()
    del now["addresses"]["eth0"]["192.0.2.99/24"]
    now["addresses"]["eth0"]["192.0.2.98/24"] = BY_LEASE
    now["routes"]["4"].append("default via 192.0.2.3 dev eth0 proto 16 metric 1024")
    assert _compare.differences(_state(), now) == []
    assert not [line for line in _compare.address_lines(_state(), now) if " del " in line]
    assert _compare.route_lines(_state(), now) == {"4": [], "6": []}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("links", "tap0", "flags", "isolated"), False, "tap0: isolated was True, is False"),
        (("links", "br0", "up"), False, "br0: up was True, is False"),
        (("links", "tap0", "master"), None, "tap0: master was br0, is None"),
        (("firewall", "iptables"), FILTER.replace("DROP", "ACCEPT"), "iptables: the table filter is another one"),
        (("sysctls", "/proc/sys/net/ipv4/ip_forward"), "0", "/proc/sys/net/ipv4/ip_forward was 1, is 0"),
        (("rules", "4"), RULES[:2], f"the routing rule '{RULES[2]}' is gone"),
        (("routes", "4"), ROUTES[1:], f"the route '{ROUTES[0]}' is gone"),
        (("addresses", "br0"), {"2001:db8:20::1/64": UNASKED}, "br0: the address 192.168.20.254/24 is gone"),
        (("addresses", "eth0", "192.0.2.21/24"), SET, "eth0: the address 192.0.2.21/24 is there still"),
        (
            ("addresses", "br0", "2001:db8:20::1/64"),
            SET,
            "br0: nodad of the address 2001:db8:20::1/64 was True, is False",
        ),
    ],
)
def test_every_difference_is_named(path: tuple[str, ...], value: Any, said: str) -> None:
    now = _state()
    place = now
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert _compare.differences(_state(), now) == [said]


def test_counters_and_untouched_tables_are_no_difference() -> None:
    now = FILTER.replace("[3:180]", "[9:999]") + "*nat\n:PREROUTING ACCEPT [7:7]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    assert _compare.same_firewall(FILTER, now) == []
    assert _compare.same_firewall(FILTER, now + "*raw\n:PREROUTING DROP [0:0]\nCOMMIT\n") == ["raw"]


def test_a_table_that_there_was_not_is_emptied() -> None:
    now = FILTER + "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DNAT --to-destination 192.0.2.9\nCOMMIT\n"
    wanted = _compare.restore_text(FILTER, now)
    assert wanted.startswith(FILTER)
    assert _compare.same_firewall(FILTER, wanted) == []
    assert "*nat\n:PREROUTING ACCEPT [0:0]\n" in wanted


def test_next_hops_come_before_what_goes_by_them() -> None:
    now = _state(routes={"4": [], "6": []})
    lines = _compare.route_lines(_state(), now)["4"]
    assert lines.index("route append 192.0.2.1 dev eth0") < lines.index(f"route append {ROUTES[1]}")
    assert len(lines) == len(ROUTES)


def test_a_card_that_is_gone_is_not_made_up() -> None:
    assert _compare.creation("eth0", _link()) is None


OF_ADDRESS = "192.0.2.0/24 dev eth0 proto 2 scope 253 src 192.0.2.20"


def test_a_route_that_the_kernel_made_is_brought_back_and_never_taken_away() -> None:
    """With it the way to every gateway is gone, and nothing but a new address would make it again."""
    before = _state(routes={"4": [OF_ADDRESS, *ROUTES], "6": []})
    assert _compare.differences(before, _state()) == [f"the route '{OF_ADDRESS}' is gone"]
    assert _compare.route_lines(before, _state())["4"] == [f"route append {OF_ADDRESS}"]
    assert _compare.differences(_state(), before) == []
    assert _compare.route_lines(_state(), before)["4"] == []


FRIENDS = "create friends hash:net family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1"
SETS = f"{FRIENDS}\nadd friends 203.0.113.12\nadd friends 203.0.113.0/28\n"
LEASED = "create banned hash:ip family inet hashsize 64 maxelem 65536 timeout 600\nadd banned 203.0.113.9 timeout 55\n"


class Sets:
    """The kernel's address lists: it takes the lines that ipset restore is given."""

    def __init__(self, text: str) -> None:
        self.sets = {name: [made, *members] for name, (made, members) in _compare.split_ipsets(text).items()}

    def restore(self, text: str) -> None:
        for line in text.splitlines():
            verb, name, *rest = line.split(maxsplit=2)
            if verb == "create":
                assert name not in self.sets
                self.sets[name] = rest
            elif verb == "add":
                self.sets[name] += rest
            elif verb == "swap":
                self.sets[name], self.sets[rest[0]] = self.sets[rest[0]], self.sets[name]
            else:
                assert verb == "destroy"
                del self.sets[name]

    @property
    def text(self) -> str:
        lines = []
        for name, (made, *members) in self.sets.items():
            lines += [f"create {name} {made}", *(f"add {name} {member}" for member in members)]
        return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize(
    "now",
    [
        f"{FRIENDS}\n",
        f"{FRIENDS}\nadd friends 203.0.113.12\n",
        f"{SETS}add friends 203.0.113.99\n",
        SETS.replace("maxelem 65536", "maxelem 9"),
        "",
        f"create kvmnet-undo hash:net family inet6\nadd kvmnet-undo 2001:db8::1\n{FRIENDS}\n",
    ],
    ids=["emptied", "shortened", "longer", "made otherwise", "gone", "an undo was killed"],
)
def test_address_lists_are_filled_with_what_they_held(now: str) -> None:
    kernel = Sets(now)
    before, after = _state(ipsets=SETS), _state(ipsets=kernel.text)
    assert _compare.differences(before, after) == ["the address list friends is another one"]
    kernel.restore(_compare.ipset_text(SETS, kernel.text))
    assert _compare.differences(before, _state(ipsets=kernel.text)) == []
    assert set(kernel.sets) == {"friends"}
    assert _compare.ipset_text(SETS, kernel.text) == ""


def test_lists_that_grew_or_forget_are_no_other_ones() -> None:
    grown = SETS.replace("hashsize 1024", "hashsize 4096").replace("initval 0x1", "initval 0x2")
    turned = "\n".join([grown.splitlines()[0], *reversed(grown.splitlines()[1:])])
    assert _compare.other_ipsets(SETS, turned) == []
    assert _compare.other_ipsets(LEASED, LEASED.splitlines()[0]) == []
    assert _compare.other_ipsets(LEASED, "") == ["banned"]


def test_what_the_kernel_says_of_an_address_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        {"local": "192.168.20.254", "prefixlen": 24, "scope": "global"},
        {"local": "192.0.2.99", "prefixlen": 24, "scope": "global", "dynamic": True},
        {"local": "2001:db8:20::1", "prefixlen": 64, "scope": "global", "nodad": True},
        {"local": "2001:db8:20::2", "prefixlen": 64, "scope": "global", "dynamic": True, "temporary": True},
        {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
    ]
    links = [{"ifname": "lo", "addr_info": entries[:1]}, {"ifname": "br0", "addr_info": entries}]
    monkeypatch.setattr(_snapshot, "run", lambda argv: json.dumps(links))
    assert _snapshot.read_addresses() == {
        "lo": {},
        "br0": {
            "192.168.20.254/24": SET,
            "192.0.2.99/24": BY_LEASE,
            "2001:db8:20::1/64": UNASKED,
            "fe80::1/64": BY_LEASE,
        },
    }


def test_an_address_is_asked_after_for_duplicates_as_it_was() -> None:
    """Without a carrier one that is asked after is of no use to anybody; one that was set otherwise is set again."""
    now = _state()
    now["addresses"]["br0"] = {}
    assert _compare.address_lines(_state(), now) == [
        "address add 192.168.20.254/24 dev br0 broadcast +",
        "address add 2001:db8:20::1/64 dev br0 nodad",
    ]
    now["addresses"]["br0"] = {**BR0, "2001:db8:20::1/64": SET}
    now["addresses"]["eth0"]["2001:db8::20/64"] = UNASKED
    assert _compare.address_lines(_state(), now) == [
        "address replace 2001:db8::20/64 dev eth0",
        "address replace 2001:db8:20::1/64 dev br0 nodad",
    ]
    # A lease has an end, which would be lost with the rest of it.
    before = _state()
    before["addresses"]["eth0"] = {"2001:db8::21/64": BY_LEASE}
    now = _state()
    now["addresses"]["eth0"] = {"2001:db8::21/64": {**BY_LEASE, "nodad": True}}
    assert _compare.differences(before, now) == []
    assert _compare.address_lines(before, now) == []
