# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refusals of single entries: kinds, keys, misspellings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site import _logins as logins
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site import _types as t
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._check import check_site
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._read import Unresolved, read_host
from ansible_collections.ursa.kvmnet.plugins.plugin_utils._site._schema import VARIABLES


def test_a_right_site_has_no_problem(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    assert refused(ursa) == []


def test_only_management_is_required(refused: Callable[..., Any]) -> None:
    assert refused({"kvmnet_management": {"sources": ["192.0.2.1"]}}) == []
    assert refused({}) == [("h1", "kvmnet_management", "a mapping, required on every host")]


def test_empty_lists_and_empty_values_are_right(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa |= {name: [] for name in ("kvmnet_guests", "kvmnet_users", "kvmnet_rules")}
    ursa["kvmnet_networks"][0]["mtu"] = None
    assert refused(ursa) == []


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (t.BOOL, [True, False], ["true", 1, 0, "no"]),
        (t.ADDRESS, ["192.0.2.1"], ["192.0.2.1/24", "192.0.2", "192.0.2.256", "2001:db8::1", 5, "", "192.0.2.01"]),
        (
            t.CIDR,
            ["192.0.2.1/24", "192.0.2.1/32", "192.0.2.0/31"],
            [
                "192.0.2.1",
                "192.0.2.0/24",
                "192.0.2.255/24",
                "192.0.2.1/33",
                "192.0.2.1/255.255.255.0",
                "2001:db8::1/64",
            ],
        ),
        (t.NETWORK, ["192.0.2.0/24", "192.0.2.1", "0.0.0.0/0"], ["192.0.2.1/24", "192.0.2.0/255.255.255.0", "x", 1]),
        (t.MAC, ["52:54:00:00:00:01", "52:54:00:AB:CD:EF"], ["53:54:00:00:00:01", "52-54-00-00-00-01", "5254", 12]),
        (t.PORT, [1, 65535, "80"], [0, 65536, "http", True, "", "80:81", "٣"]),
        (t.PORTS, [1, "80", "80:81"], [0, "81:80", "80-81", "80,81", "a:b", ":80"]),
        (
            t.INTERFACE,
            ["eth0", "eth0.10", "a" * 15],
            ["a" * 16, "eth0:0", "eth+", "a b", "a/b", ".", "lo", "ä", "eth0\n"],
        ),
        (
            t.ZONE,
            ["kvm", "fw2", "All", "a" * 10],
            ["a" * 11, "1a", "a-b", "_a", "all", "none", "SOURCE", "all2x", "x2all"],
        ),
        (t.PROVIDER, ["comcast", "c_2"], ["main", "Default", "1c", "a-b", "a b", ""]),
        (t.LABEL, ["web", "a-1", "a" * 63], ["Web", "-a", "a-", "a_b", "a.b", "a" * 64, "", 7]),
        (t.DOMAIN, ["example", "kvm.example"], ["kvm.example.", "-a.example", "a..b", "A.example", "a b"]),
        (t.PATH, ["/srv/x"], ["srv/x", "~/x", 1]),
        (t.URL, ["https://example.org/x.qcow2"], ["example.org/x", "https://a b"]),
        (
            t.CHECKSUM,
            ["sha256:" + "0" * 64, "sha512:" + "f" * 128],
            ["0" * 64, "sha256:" + "0" * 63, "md5:" + "0" * 32],
        ),
        (logins.USER, ["admin", "_x"], ["Admin", "1x", "a b"]),
        (
            t.UPSTREAM,
            ["192.0.2.1", "192.0.2.1#5353", {"domain": "corp.example", "server": "192.0.2.1"}],
            ["dns.example", "192.0.2.1#x", {"domain": "corp.example"}, {"server": "192.0.2.1", "port": 53}],
        ),
        (
            logins.SSH_KEY,
            ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ0 a comment", "ecdsa-sha2-nistp256 AAAAC3NzaC1lZDI1NTE5AAAA="],
            ["AAAAC3NzaC1lZDI1NTE5AAAAIGJ0", "ssh-ed25519", "ssh-ed25519 short", "~/.ssh/id_ed25519.pub"],
        ),
    ],
    ids=lambda value: value.name if isinstance(value, t.Kind) else None,
)
def test_kinds(kind: t.Kind, right: list[object], wrong: list[object]) -> None:
    for value in right:
        kind.read(value)
    for value in wrong:
        with pytest.raises(t.WrongError):
            kind.read(value)


def test_host_bits_are_refused_with_both_remedies() -> None:
    with pytest.raises(t.WrongError, match=r"10\.0\.0\.0/24 for the network or 10\.0\.0\.5/32 for the one address"):
        t.NETWORK.read("10.0.0.5/24")


def test_ipv6_is_refused_with_the_reason() -> None:
    for kind, value in ((t.ADDRESS, "2001:db8::1"), (t.CIDR, "2001:db8::1/64"), (t.NETWORK, "2001:db8::/64")):
        with pytest.raises(t.WrongError, match="IPv6"):
            kind.read(value)


@pytest.mark.parametrize(
    ("variable", "index", "key", "meant"),
    [
        ("kvmnet_management", None, "source", "sources"),
        ("kvmnet_uplinks", 0, "gateways", "gateway"),
        ("kvmnet_networks", 0, "dhcp_rang", "dhcp_range"),
        ("kvmnet_guests", 0, "addr", "address"),
        ("kvmnet_guests", 0, "memory_mb", "memory_mib"),
        ("kvmnet_users", 0, "ssh_key", "ssh_keys"),
        ("kvmnet_policies", 0, "form", "from"),
        ("kvmnet_rules", 0, "protocol", "proto"),
    ],
)
def test_unknown_keys_come_with_a_hint(
    variable: str, index: int | None, key: str, meant: str, ursa: dict[str, Any], refused: Callable[..., Any]
) -> None:
    entry = ursa[variable] if index is None else ursa[variable][index]
    entry[key] = entry.pop(meant, "x")
    found = refused(ursa)
    place = variable if index is None else f"{variable}[{index}]"
    assert [(host, where) for host, where, _allowed in found] == [("h1", f"{place}.{key}")]
    assert found[0][2].startswith(f"{meant} is probably meant; the keys are ")


def test_unknown_keys_are_found_in_nested_entries(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_guests"][1]["publish"][0]["too"] = ursa["kvmnet_guests"][1]["publish"][0].pop("to")
    ursa["kvmnet_images"]["tiny"]["kernl"] = ursa["kvmnet_images"]["tiny"].pop("kernel")
    assert [place for _host, place, _allowed in refused(ursa)] == [
        "kvmnet_guests[1].publish[0].too",
        "kvmnet_images.tiny.kernl",
    ]


def test_the_value_of_an_unknown_key_is_not_shown(ursa: dict[str, Any]) -> None:
    ursa["kvmnet_users"][0]["password"] = "hunter2"
    problems = check_site([read_host("h1", ursa)])
    assert len(problems) == 1
    assert "hunter2" not in str(problems[0])


def test_a_private_key_is_not_shown(ursa: dict[str, Any]) -> None:
    ursa["kvmnet_users"][0]["ssh_keys"] = ["-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2"]
    problems = check_site([read_host("h1", ursa)])
    assert [problem.place() for problem in problems] == ["kvmnet_users[0].ssh_keys[0]"]
    assert "hunter2" not in str(problems[0])
    assert "this is a private key" in problems[0].allowed


@pytest.mark.parametrize("name", ["kvmnet_guest", "kvmnet_gusts", "kvment_guests"])
def test_misspelt_variables_come_with_a_hint(name: str, ursa: dict[str, Any]) -> None:
    problems = check_site([read_host("h1", ursa, [name, "kvm_guests_guests", "ansible_host", "lab_suite"])])
    assert [problem.variable for problem in problems] == [name]
    assert problems[0].allowed.startswith("kvmnet_guests is probably meant")


def test_other_variables_of_the_prefix_are_refused(ursa: dict[str, Any]) -> None:
    problems = check_site([read_host("h1", ursa, ["kvmnet_xyzzy", "kvmnet_serial"])])
    assert [problem.variable for problem in problems] == ["kvmnet_xyzzy"]
    assert "kvmnet_management, kvmnet_uplinks" in problems[0].allowed


@pytest.mark.parametrize("variable", [variable for variable in VARIABLES if variable.shape != "value"])
@pytest.mark.parametrize("value", ["text", 7, True])
def test_wrong_shapes_are_one_problem(
    variable: Any, value: object, ursa: dict[str, Any], refused: Callable[..., Any]
) -> None:
    ursa[variable.name] = value
    places = [place for _host, place, _allowed in refused(ursa)]
    # Rules that name the zones of networks that cannot be read are wrong as well
    assert places[0] == variable.name
    assert all(place.startswith(("kvmnet_policies", "kvmnet_rules")) for place in places[1:])


def test_a_missing_key_is_named(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    for variable, key in (("kvmnet_uplinks", "interface"), ("kvmnet_rules", "action"), ("kvmnet_users", "name")):
        del ursa[variable][0][key]
    del ursa["kvmnet_management"]["sources"]
    assert [place for _host, place, allowed in refused(ursa) if allowed.endswith("required")] == [
        "kvmnet_management.sources",
        "kvmnet_uplinks[0].interface",
        "kvmnet_users[0].name",
        "kvmnet_rules[0].action",
    ]


@pytest.mark.parametrize("sources", [[], "172.20.1.0/24", ["172.20.1.5/24"], ["here"]])
def test_management_needs_networks(sources: object, ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    ursa["kvmnet_management"]["sources"] = sources
    found = refused(ursa)
    assert len(found) == 1
    assert found[0][1].startswith("kvmnet_management.sources")


def test_what_cannot_be_resolved_is_named(ursa: dict[str, Any]) -> None:
    ursa["kvmnet_guests"][0]["address"] = Unresolved("{{ nosuch }}", "'nosuch' is undefined")
    ursa["kvmnet_users"] = Unresolved("{{ people }}", "'people' is undefined")
    assert [str(problem) for problem in check_site([read_host("h1", ursa)])] == [
        (
            "h1: kvmnet_guests[0].address: '{{ nosuch }}' is wrong; allowed: a value that can be resolved: "
            "'nosuch' is undefined"
        ),
        "h1: kvmnet_users: '{{ people }}' is wrong; allowed: a value that can be resolved: 'people' is undefined",
    ]


def test_problems_come_in_the_order_of_hosts_and_vocabulary(ursa: dict[str, Any], refused: Callable[..., Any]) -> None:
    second = {"kvmnet_management": {"sources": []}, "kvmnet_uplinks": [{"name": "x", "interface": "eth0+"}]}
    ursa["kvmnet_rules"][1]["from"] = "lco"
    ursa["kvmnet_guests"][0]["mac"] = "x"
    ursa["kvmnet_uplinks"][1]["number"] = 250
    assert [(host, place) for host, place, _allowed in refused(ursa, second)] == [
        ("h1", "kvmnet_uplinks[1].number"),
        ("h1", "kvmnet_guests[0].mac"),
        ("h1", "kvmnet_rules[1].from"),
        ("h2", "kvmnet_management.sources"),
        ("h2", "kvmnet_uplinks[0].interface"),
    ]
