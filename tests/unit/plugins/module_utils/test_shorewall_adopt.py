# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration that exists, read as data: given back to the modules it changes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._adopt import describe
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._arguments import config_arguments, zone_arguments
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._files import Staging
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import InvalidError, stage_config, stage_zones

# Where Debian's package is unpacked; on a host it is the root itself.
SHOREWALL_ROOT = Path(os.environ.get("KVMNET_SHOREWALL_ROOT", "/"))
EXAMPLES = SHOREWALL_ROOT / "usr/share/doc/shorewall/examples"

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


def host(root: Path, files: dict[str, str], delivered: dict[str, str] | None = None) -> Path:
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
    found = describe(Candidate(None, None, root))
    assert found["problems"] == []
    return found


def give_back(root: Path, configuration: dict[str, Any]) -> list[str]:
    """Return what the modules would change."""
    candidate = Candidate(None, None, root)
    plans = [stage_zones(candidate, configuration | {"exclusive": configuration["zones_exclusive"]}, True).plan]
    plans.append(stage_config(candidate, configuration, True, lambda *_: pytest.fail("asked the network")).plan)
    return [line for plan in plans for line in plan.lines()] + list(candidate.entries)


def install(root: Path, configuration: dict[str, Any]) -> None:
    """Write on an empty host what the modules stage."""
    candidate = Candidate(None, None, root)
    stage_zones(candidate, configuration | {"exclusive": configuration["zones_exclusive"]}, True)
    stage_config(candidate, configuration, True, lambda *_: None)
    for path in candidate.entries:
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(candidate.read(path) or b"")


class TestArticle:
    def test_changes_nothing_when_given_back(self, tmp_path: Path) -> None:
        found = read(host(tmp_path, ARTICLE))
        assert give_back(tmp_path, found["configuration"]) == []
        assert found["notes"] == []
        assert found["leftovers"] == []

    def test_is_rows_and_what_differs_from_the_package(self, tmp_path: Path) -> None:
        configuration = read(host(tmp_path, ARTICLE))["configuration"]
        assert configuration["files"] == {}
        assert configuration["settings"] == {"STARTUP_ENABLED": "Yes", "ROUTE_FILTER": "No", "IP_FORWARDING": "On"}
        assert configuration["zones"][2]["interfaces"] == [{"name": "br0", "options": ["dhcp", "routeback"]}]
        assert configuration["providers"][1]["gateway_mac"] == ["02:00:00:00:00:0b"]
        assert configuration["scripts"] == {"init": ARTICLE["init"]}
        assert configuration["zones_exclusive"] is True
        assert configuration["pin_gateways"] is True
        assert configuration["service_defaults"]["wait_interface"] == "ppp0 ppp1"

    def test_without_pins_it_gets_none(self, tmp_path: Path) -> None:
        found = read(host(tmp_path, {name: text for name, text in ARTICLE.items() if name != "init"}))
        assert found["configuration"]["pin_gateways"] is False
        assert give_back(tmp_path, found["configuration"]) == []

    def test_what_the_module_wrote_into_a_script_is_not_the_users(self, tmp_path: Path) -> None:
        host(tmp_path, {name: text for name, text in ARTICLE.items() if name != "init"})
        configuration = read(tmp_path)["configuration"] | {"pin_gateways": True, "scripts": {"init": "modprobe ifb\n"}}
        install(tmp_path, configuration)
        assert "# BEGIN ursa.kvmnet" in (tmp_path / "etc/shorewall/init").read_text()
        again = read(tmp_path)["configuration"]
        assert again["scripts"] == {"init": "modprobe ifb\n"}
        assert give_back(tmp_path, again) == []

    def test_makes_the_same_firewall_on_another_host(self, tmp_path: Path) -> None:
        configuration = read(host(tmp_path / "old", ARTICLE))["configuration"]
        other = host(tmp_path / "new", {})
        install(other, configuration)
        assert read(other)["configuration"] == configuration


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


@pytest.mark.parametrize("name", ODD)
def test_odd_ones_change_nothing_either(tmp_path: Path, name: str) -> None:
    found = read(host(tmp_path, BASE | ODD[name]))
    assert give_back(tmp_path, found["configuration"]) == []


@pytest.mark.parametrize("name", sorted(set(ODD) - {"interface_option"}))
def test_odd_ones_say_the_same_on_another_host(tmp_path: Path, name: str) -> None:
    configuration = read(host(tmp_path / "old", BASE | ODD[name]))["configuration"]
    other = host(tmp_path / "new", {})
    install(other, configuration)
    again = read(other)["configuration"]
    assert again == configuration


def test_a_file_is_not_read_anew_for_each_of_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_files: list[str] = []
    document = Staging.document
    monkeypatch.setattr(
        Staging,
        "document",
        lambda staging, name: read_files.append(name) or document(staging, name),
    )
    rules = "".join(f"ACCEPT net $FW tcp {port}\n" for port in range(1, 200))
    assert len(read(host(tmp_path, BASE | {"rules": rules}))["configuration"]["rules"]) == 199
    assert read_files.count("rules") < 5


def test_nothing_is_left_to_the_defaults_of_the_role(tmp_path: Path) -> None:
    """But what the inventory itself says: address lists, and who manages the host."""
    found = read(host(tmp_path, ARTICLE))["configuration"]
    options = {*zone_arguments(), *config_arguments()} - {"stage", "run_id", "family", "exclusive"}
    assert options - set(found) == {"ipsets", "management", "repin_gateways"}
    assert set(found) - options == {"zones_exclusive"}


class TestText:
    """What rows cannot say, and why."""

    def test_conditions(self, tmp_path: Path) -> None:
        found = read(host(tmp_path, BASE | ODD["conditions"]))
        assert found["configuration"]["rules"] is None
        assert found["configuration"]["files"]["rules"] == ODD["conditions"]["rules"]
        assert found["notes"] == ["rules is given as text: rows cannot say ?if"]

    OPEN = (
        "ACCEPT net $FW tcp 22\n?if $LOUD\n?COMMENT loud\n?endif\nACCEPT net $FW tcp 80 # mine\n"
        "ACCEPT net $FW tcp 81\n?COMMENT\nACCEPT net $FW tcp 82\n"
    )

    def test_a_comment_that_a_condition_leaves_open_is_carried_through_and_named(self, tmp_path: Path) -> None:
        host(tmp_path, {**BASE, "rules": self.OPEN, "params": "LOUD=1\n"})
        found = read(tmp_path)
        assert found["configuration"]["files"]["rules"] == self.OPEN
        assert [note for note in found["notes"] if "the rows of the lines 5, 6 are left as they are" in note]
        assert give_back(tmp_path, found["configuration"]) == []

    def test_nor_is_it_touched_by_a_row_that_is_added(self, tmp_path: Path) -> None:
        host(tmp_path, {**BASE, "rules": self.OPEN, "params": "LOUD=1\n"})
        candidate = Candidate(None, None, tmp_path)
        new = {"action": "ACCEPT", "source": "net", "dest": "$FW", "proto": "tcp", "dport": "83"}
        rules = [new, {**new, "dport": "22", "state": "absent"}]
        staging = stage_config(candidate, {"rules": rules, "exclusive": False}, True, lambda *_: None)
        lines = (candidate.read("/etc/shorewall/rules") or b"").decode().splitlines()
        assert lines[:-1] == self.OPEN.splitlines()[1:]
        assert lines[-1].split() == ["ACCEPT", "net", "$FW", "tcp", "83"]
        (remark,) = staging.remarks
        assert remark.startswith("/etc/shorewall/rules: the rows of the lines 5, 6 are left as they are")

    def test_zones_stay_a_list(self, tmp_path: Path) -> None:
        configuration = read(host(tmp_path, BASE | ODD["conditional_interface"]))["configuration"]
        assert [zone["name"] for zone in configuration["zones"]] == ["fw", "net", "kvm"]
        assert configuration["files"]["interfaces"] == ODD["conditional_interface"]["interfaces"]
        assert configuration["zones_exclusive"] is False

    def test_what_our_own_checks_refuse(self, tmp_path: Path) -> None:
        found = read(host(tmp_path, BASE | ODD["host_bits"]))
        assert found["configuration"]["files"] == ODD["host_bits"]
        assert "192.0.2.0/24, without host bits" in found["notes"][0]

    def test_a_params_file_that_is_a_program(self, tmp_path: Path) -> None:
        configuration = read(host(tmp_path, BASE | ODD["params_program"]))["configuration"]
        assert (configuration["params"], configuration["files"]) == ({}, ODD["params_program"])

    def test_a_params_file_of_assignments(self, tmp_path: Path) -> None:
        configuration = read(host(tmp_path, BASE | ODD["params"]))["configuration"]
        assert configuration["params"] == {"ADMIN": "192.0.2.7", "NETS": "192.0.2.0/24,198.51.100.0/24"}

    def test_other_files_but_no_backups(self, tmp_path: Path) -> None:
        configuration = read(host(tmp_path, BASE | ODD["others"]))["configuration"]
        assert sorted(configuration["files"]) == ["blrules", "macro.Backup", "rules.d/10-web"]
        assert configuration["scripts"] == {"started": "run_me\n"}

    def test_a_file_as_delivered_is_not_said(self, tmp_path: Path) -> None:
        text = "?if $AUTOHELPERS\nCT:helper:ftp:PO - - tcp 21\n?endif\n"
        delivered = {"shorewall.conf": CONF, "conntrack": text}
        found = read(host(tmp_path, BASE | {"conntrack": text}, delivered))
        assert found["configuration"]["conntrack"] is None
        assert (found["configuration"]["files"], found["notes"]) == ({}, [])

    def test_what_is_no_text_is_left_out(self, tmp_path: Path) -> None:
        host(tmp_path, BASE)
        (tmp_path / "etc/shorewall/blob").write_bytes(b"\xff\xfe")
        found = read(tmp_path)
        assert found["notes"] == ["files.blob is left out: it is no text"]
        assert give_back(tmp_path, found["configuration"]) == []


class TestLeftovers:
    FILES = BASE | {
        "masq": "eth0 192.168.0.0/24\n",
        "routestopped": "eth0 -\n",
        "blacklist": "192.0.2.1\n",
        "tcrules": "1 eth0\n",
        "refresh": "true\n",
        "tos": "# only a comment\n",
        "shorewall.conf": BASE["shorewall.conf"] + "MAPOLDACTIONS=No\nDROP_DEFAULT=Drop\n",
        "interfaces": "net eth0 detect dhcp,routefilter,blacklist\nkvm br0 - routeback\n",
        "policy": "net all DROP:Drop info\nall all REJECT\n",
        "rules": "SECTION NEW\nACCEPT net $FW # Reject\n",
        "providers": "isp 1 1 - eth0 192.0.2.1 track,optional\n",
    }

    def test_are_told_with_what_replaces_them(self, tmp_path: Path) -> None:
        found = describe(Candidate(None, None, host(tmp_path, self.FILES)))
        assert [
            (entry["path"].removeprefix("/etc/shorewall/"), entry["line"], entry["name"])
            for entry in found["leftovers"]
        ] == [
            ("blacklist", None, "blacklist"),
            ("masq", None, "masq"),
            ("refresh", None, "refresh"),
            ("routestopped", None, "routestopped"),
            ("tcrules", None, "tcrules"),
            ("shorewall.conf", 6, "MAPOLDACTIONS"),
            ("shorewall.conf", 7, "DROP_DEFAULT=Drop"),
            ("interfaces", 1, "blacklist"),
            ("policy", 1, "DROP:Drop"),
            ("rules", 1, "SECTION"),
            ("providers", 1, "optional"),
        ]
        assert all(entry["replacement"] for entry in found["leftovers"])

    def test_keep_the_modules_from_taking_it(self, tmp_path: Path) -> None:
        found = describe(Candidate(None, None, host(tmp_path, self.FILES)))
        assert [problem for problem in found["problems"] if "stoppedrules" in problem]
        assert not {"masq", "routestopped", "blacklist", "tcrules"} & found["configuration"]["files"].keys()
        assert "MAPOLDACTIONS" not in found["configuration"]["settings"]

    def test_the_module_warns_about_them(self, tmp_path: Path) -> None:
        host(tmp_path, BASE | {"providers": self.FILES["providers"]})
        staging = stage_config(Candidate(None, None, tmp_path), {"routes": []}, True, lambda *_: None)
        (leftover,) = map(str, staging.leftovers)
        assert leftover.startswith("/etc/shorewall/providers, line 1: optional is of an older version")
        assert leftover.endswith("now: the option optional of its interface")


class TestFiles:
    """Any file as text, given to shorewall_config."""

    def stage(self, root: Path, **params: Any) -> list[str]:
        candidate = Candidate(None, None, host(root, BASE))
        return stage_config(candidate, params, True, lambda *_: None).plan.lines()

    def test_is_written_and_removed(self, tmp_path: Path) -> None:
        assert "+ file blrules: create" in self.stage(tmp_path, files={"blrules": "DROP net:192.0.2.0/24 all\n"})
        (tmp_path / "etc/shorewall/blrules").write_text("DROP net:192.0.2.0/24 all\n")
        assert "- file blrules: delete" in self.stage(tmp_path, files={"blrules": ""})

    @pytest.mark.parametrize(
        ("params", "place"),
        [
            ({"files": {"../passwd": "x"}}, "files.../passwd"),
            ({"files": {"/etc/passwd": "x"}}, "files./etc/passwd"),
            ({"files": {"a b": "x"}}, "files.a b"),
            ({"files": {".hidden": "x"}}, "files..hidden"),
            ({"files": {"postcompile": "x"}}, "files.postcompile"),
            ({"files": {"masq": "eth0 192.168.0.0/24"}}, "files.masq"),
            ({"files": {"rules": "ACCEPT net $FW"}, "rules": []}, "files.rules"),
            ({"files": {"started": "x"}, "scripts": {"started": "y"}}, "files.started"),
            ({"files": {"params": "X=1"}, "params": {"X": "1"}}, "files.params"),
            ({"files": {"shorewall.conf": "X=1"}, "settings": {"LOGFORMAT": "1"}}, "files.shorewall.conf"),
        ],
    )
    def test_refuses(self, tmp_path: Path, params: dict[str, Any], place: str) -> None:
        with pytest.raises(InvalidError, match="files") as caught:
            self.stage(tmp_path, **params)
        assert [problem.place() for problem in caught.value.problems] == [place]

    def test_rows_are_checked_against_it(self, tmp_path: Path) -> None:
        candidate = Candidate(None, None, host(tmp_path, BASE))
        params = {
            "files": {"providers": "isp 1 1 - eth0 192.0.2.1 track\n"},
            "rtrules": [{"dest": ["192.0.2.0/24"], "provider": "isp", "priority": "1000"}],
        }
        stage_config(candidate, params, True, lambda *_: None)
        assert b"isp" in (candidate.read("/etc/shorewall/rtrules") or b"")


@pytest.mark.parametrize("name", ["one-interface", "two-interfaces", "three-interfaces", "Universal"])
def test_debians_examples(tmp_path: Path, name: str) -> None:
    if not (EXAMPLES / name).is_dir():
        pytest.skip(
            "Debian's package shorewall is not here: install it, or set KVMNET_SHOREWALL_ROOT to a root that has it"
        )
    shutil.copytree(EXAMPLES / name, tmp_path / "etc/shorewall")
    shutil.copytree(
        SHOREWALL_ROOT / "usr/share/shorewall/configfiles", tmp_path / "usr/share/shorewall/configfiles", symlinks=True
    )
    found = read(tmp_path)
    assert give_back(tmp_path, found["configuration"]) == []
    assert set(found["configuration"]["files"]) <= {"README.txt"}
    assert found["configuration"]["zones_exclusive"] is True


WORDS = st.sampled_from(["-", "net", "kvm", "$FW", "all", "net:192.0.2.1", "kvm:192.168.0.0/24"])
ROW = st.tuples(
    st.sampled_from(["ACCEPT", "DROP:info", "SSH(ACCEPT)", "REJECT"]),
    WORDS,
    WORDS,
    st.sampled_from(["", "tcp", "udp 53", "tcp 22,80", "tcp 1:1023 - 192.0.2.9", "tcp 80 { rate=s:1/min }"]),
).map("\t".join)
FILLER = st.sampled_from(
    ["", "# a comment", "   ", "?COMMENT x", "?COMMENT", "?if 1", "?endif", "?SET X 1", "INCLUDE y"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(ROW, ROW, ROW, FILLER)), st.booleans())
def test_any_rules_change_nothing(tmp_path_factory: pytest.TempPathFactory, lines: list[str], ended: bool) -> None:
    root = host(tmp_path_factory.mktemp("host"), BASE | {"rules": "\n".join(lines) + ("\n" if ended else "")})
    assert give_back(root, read(root)["configuration"]) == []
