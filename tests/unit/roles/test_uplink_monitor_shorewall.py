# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the monitor takes for granted about Shorewall's compiled script must be what Shorewall 5.2.8 compiles.

It needs root and one of the lab's Debian roots, which `make site` and `make molecule` install.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from monitor import BENCHMARK, part

_fragment, _providers, _routes = part("_fragment"), part("_providers"), part("_routes")
Link = _routes.Link
LINKS = {
    "eth0": Link(True, True, ("172.20.1.130",)),
    "eth1": Link(True, True, ("172.21.1.131",)),
    "isp2": Link(True, True, ("172.20.1.131",)),
    "wlan0": Link(True, True, ("172.22.1.50",)),
}
# What the script asks the host for
VARIABLES = {
    "$SW_ETH0_ADDRESS": "172.20.1.130",
    "$SW_ETH1_ADDRESS": "172.21.1.131",
    "$SW_ISP2_ADDRESS": "172.20.1.131",
    "$SW_WLAN0_ADDRESS": "172.22.1.50",
}
CASES: list[tuple[str, dict[str, str], bool]] = [
    ("shared", {"comcast": "balance=2", "avvanta": "balance", "wireless": "fallback=3"}, True),
    ("shared", {"comcast": "primary", "avvanta": "mtu=1400", "wireless": "fallback"}, True),
    ("macvlan", {"comcast": "primary", "avvanta": "fallback"}, False),
    ("macvlan", {"comcast": "balance=3", "avvanta": "balance", "wireless": "balance=1"}, True),
    ("separate", {"comcast": "balance=5", "avvanta": "balance=2,persistent"}, False),
    ("separate", {"comcast": "primary", "avvanta": "fallback=2", "wireless": "fallback=1"}, True),
]


@pytest.fixture(name="compiled", scope="module")
def fixture_compiled() -> list[dict[str, str]]:
    sys.path.insert(0, str(BENCHMARK))
    bench = importlib.import_module("bench")
    if os.geteuid() != 0 or not bench.cached_roots():
        pytest.skip("needs root, and a Debian root with Shorewall in the lab's cache")
    printed = bench.run_inside(bench.cached_roots()[0], "tests/unit/roles/compile_uplinks.py", CASES, 300)
    found: list[dict[str, str]] = json.loads(printed)
    return found


@pytest.fixture(name="case", params=range(len(CASES)), ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def fixture_case(compiled: list[dict[str, str]], request: pytest.FixtureRequest) -> dict[str, str]:
    return compiled[request.param]


def commands(script: str) -> list[str]:
    """The run_ip commands of a start, with everything known and all interfaces usable."""
    found, fallback, balance, inside = [], "", "", ""
    for line in map(str.strip, script.splitlines()):
        begin = re.match(r"(\w+)\(\) *{?$", line)
        inside = begin[1] if begin else inside
        if not re.match(r"start_provider_|setup_routing_and_traffic_shaping", inside):
            continue
        if line.startswith("DEFAULT_ROUTE=") and line != "DEFAULT_ROUTE=":
            balance = line.partition("=")[2].strip('"').replace("$DEFAULT_ROUTE", balance)
        if line.startswith("FALLBACK_ROUTE=") and line != "FALLBACK_ROUTE=":
            fallback = line.partition("=")[2].strip('"').replace("$FALLBACK_ROUTE", fallback)
        if line.startswith("run_ip "):
            text = line.removeprefix("run_ip ").replace("$DEFAULT_ROUTE", balance).replace("$FALLBACK_ROUTE", fallback)
            for name, value in VARIABLES.items():
                text = text.replace(name, value)
            found.append(" ".join(text.split()))
    return found


def normal(line: str) -> Any:
    """A route replace line, whatever the order of its words, as the kernel would keep it."""
    words = line.split()
    first = words.index("nexthop") if "nexthop" in words else len(words)
    head, hops = words[:first], " ".join(words[first:]).split("nexthop ")[1:]
    head = [word for word in head if word not in ("scope", "global")]
    pairs = dict(zip(head[3::2], head[4::2], strict=True))
    destination = head[2].removesuffix("/32")
    if not hops:
        hops = [" ".join(f"{key} {pairs.pop(key)}" for key in ("via", "dev", "realm") if key in pairs)]
    sorted_hops = []
    for hop in hops:
        each = dict(zip(hop.split()[::2], hop.split()[1::2], strict=True))
        if len(hops) == 1:
            each.pop("weight", None)
        sorted_hops.append(tuple(sorted(each.items())))
    pairs.setdefault("table", "254")
    return destination, tuple(sorted(pairs.items())), tuple(sorted_hops)


def attached(case: dict[str, str]) -> tuple[Any, Any]:
    providers = _providers.read_providers(case["providers"], case["script"])
    return providers, _routes.attach(providers, LINKS, {})


def test_the_routes_of_working_uplinks_are_those_that_shorewall_makes(case: dict[str, str]) -> None:
    providers, usable = attached(case)
    assert len(usable) == len(providers)
    ours = [
        route.line
        for route in _routes.desired_routes(providers, usable, (), set(usable))
        if route.table < _routes.SHADOW
    ]
    theirs = [line for line in commands(case["script"]) if line.startswith("route replace ")]
    assert {normal(line) for line in ours} == {normal(line) for line in theirs}


def test_the_rules_are_those_that_shorewall_makes(case: dict[str, str]) -> None:
    _provider_rows, usable = attached(case)
    theirs = {_routes.read_rule(line.removeprefix("rule add ")) for line in commands(case["script"])
              if line.startswith("rule add ") and "$address" not in line}  # fmt: skip
    # `from $address pref 20000` stands in a loop over the addresses
    theirs |= {
        _routes.Rule(20000, each.provider.number, source=each.source)
        for each in usable.values()
        if f"from $address pref 20000 table {each.provider.number}" in case["script"]
    }
    ours = {rule for each in usable.values() for rule in _routes.provider_rules(each, LINKS[each.provider.interface])}
    assert theirs - ours == {_routes.Rule(999, 254), _routes.Rule(32765, 250)}
    assert not ours - theirs
    assert any(rule.priority == 11000 for rule in ours), "an rtrule belongs to its provider"


def run_fragment(fragment: str, lines: list[str], fails: str = "") -> list[str]:
    """What a shell makes of a script's commands once it has read the fragment."""
    head = f"""
    IP=ip_ g_family=4 COMMAND=start
    ip_() {{ shift; case "$*" in *"{fails or "nothing fails"}"*) return 2;; esac; echo "$*"; }}
    error_message() {{ echo "said: $*"; }}
    stop_firewall() {{ echo stopped; }}
    """
    body = "\n".join(f"run_ip {line}" for line in lines)
    done = subprocess.run(["sh"], input=f"{head}\n{fragment}\n{body}\n", capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_fragment_makes_shorewall_start_as_the_monitor_wants_it(case: dict[str, str]) -> None:
    providers, usable = attached(case)
    script = [line for line in commands(case["script"]) if "$" not in line]
    for down in usable:
        wanted = _routes.desired_routes(providers, usable, {down}, set(usable))
        text = _fragment.fragment(providers, usable, {down}, set(usable))
        printed = [line for line in run_fragment(text, script) if line.startswith("route replace ")]
        # The last one counts, as in the kernel
        made = {normal(line)[:2]: normal(line) for line in printed}
        by_key: dict[Any, Any] = {}
        for line in made.values():
            given = dict(line[1])
            by_key[line[0], given["table"], given.get("metric", "0")] = line
        for route in wanted:
            if route.table < _routes.SHADOW:
                key = route.destination, str(route.table), str(route.metric)
                assert by_key[key] == normal(route.line), (down, route.line)


def test_with_all_uplinks_working_the_fragment_changes_no_line(case: dict[str, str]) -> None:
    providers, usable = attached(case)
    script = [line for line in commands(case["script"]) if "$" not in line]
    printed = run_fragment(_fragment.fragment(providers, usable, (), set(usable)), script)
    assert [line for line in printed if not line.startswith("rule del ")] == script


def test_a_route_that_fails_does_not_stop_the_firewall_but_anything_else_does(case: dict[str, str]) -> None:
    providers, usable = attached(case)
    text = _fragment.fragment(providers, usable, (), set(usable))
    printed = run_fragment(
        text, ["route replace default via 172.20.1.1 dev eth0 table 1", "rule add pref 5"], "172.20.1.1"
    )
    assert "stopped" not in printed
    assert "said: WARNING" in printed[0]
    assert "stopped" in run_fragment(text, ["route add 203.0.113.0/24 via 192.0.2.77"], "192.0.2.77")


def body(script: str, name: str) -> list[str]:
    """The lines of a shell function, without blanks and comments."""
    found = re.search(rf"^{name}\(\)[^\n]*\n(?:{{\n)?(.*?)^}}", script, re.DOTALL | re.MULTILINE)
    assert found
    lines = (" ".join(line.split()) for line in found[1].splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_of_other_interfaces_usable_means_what_shorewall_means(case: dict[str, str]) -> None:
    providers, usable = attached(case)
    ours = body(_fragment.fragment(providers, usable, (), ()), "interface_is_usable")
    begin, end = ours.index("case $1 in"), ours.index("esac")
    assert ours[begin + 2 : end] == ["return 0", ";;"]
    assert ours[:begin] + ours[end + 1 :] == body(case["script"], "interface_is_usable")


def test_the_script_reads_init_before_it_makes_routes(case: dict[str, str]) -> None:
    define = body(case["script"], "define_firewall")
    assert define.index("run_init_exit") < define.index("setup_routing_and_traffic_shaping")
    assert any("/var/lib/kvmnet/uplinks/init" in line for line in body(case["script"], "run_init_exit"))
    usual = body(case["script"], "run_ip")
    assert usual[0] == "if ! $IP -$g_family $@; then"
