# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What no rows can say of a configuration that exists: text that is carried through, and what is left over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._adopt import describe
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._run import InvalidError, stage_config

from ._adopted import BASE, CONF, ODD, give_back, host, read


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
