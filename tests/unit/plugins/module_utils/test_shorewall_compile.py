# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is compiled, when, and how the compiler's messages come back. The compiler itself is a stand-in here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _compile
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._compile import (
    CompileError,
    compile_staged,
    digest,
    ensure_compiled,
    explain,
    note_origins,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._document import parse
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import IPV4, Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES

RULES = "# x\n?SECTION NEW\nACCEPT net $FW tcp 22\nFOO    net kvm\n"


class Host:
    """A compiler and a kernel that remember what they were asked for."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.compiled = 0
        self.chains: set[str] = set()
        monkeypatch.setattr(_compile, "is_installed", lambda _: True)
        monkeypatch.setattr(_compile, "compile_candidate", self.compile)
        monkeypatch.setattr(_compile, "has_chain", lambda name, _unused: name in self.chains)
        monkeypatch.setattr(_compile, "lost_routing", lambda *_: "")
        (root / "etc/shorewall").mkdir(parents=True)
        (root / "etc/shorewall/rules").write_text("ACCEPT net $FW\n")
        enabled = root / IPV4.enabled
        enabled.parent.mkdir(parents=True)
        enabled.write_text("")

    def compile(self, candidate: Candidate, directory: Path, family: Family) -> tuple[bytes, tuple[str, ...]]:
        self.compiled += 1
        return f"g_sha1sum1=sha-lh-{self.compiled:020}\n# configuration {digest(directory)}\n".encode(), ()

    def candidate(self) -> Candidate:
        return Candidate(None, None, self.root)

    def load(self, candidate: Candidate) -> None:
        script = self.root / IPV4.firewall.lstrip("/")
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_bytes(candidate.read(IPV4.firewall) or b"")
        script.chmod(0o700)
        self.chains |= {"shorewall", f"sha-lh-{self.compiled:020}"}


@pytest.fixture(name="host")
def fixture_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


class TestWhenToCompile:
    def test_starts_what_was_never_compiled(self, host: Host) -> None:
        candidate = host.candidate()
        result = compile_staged(candidate)
        assert (result.compiled, result.action, host.compiled) == (True, "start", 1)
        assert candidate.entries[IPV4.firewall]["mode"] == 0o700
        assert candidate.steps["shorewall", "shorewall"]["args"] == {"routing": True, "enable": True}

    def test_compiles_nothing_twice(self, host: Host) -> None:
        first = host.candidate()
        compile_staged(first)
        host.load(first)
        second = host.candidate()
        result = compile_staged(second)
        assert (result.action, host.compiled, second.empty) == ("", 1, True)

    def test_reloads_what_changed_and_leaves_the_routing_alone(self, host: Host) -> None:
        first = host.candidate()
        compile_staged(first)
        host.load(first)
        second = host.candidate()
        second.put("/etc/shorewall/rules", "DROP net $FW\n")
        result = compile_staged(second)
        assert (result.action, result.reason, host.compiled) == ("reload", "", 2)
        assert second.steps["shorewall", "shorewall"]["args"]["routing"] is False

    def test_does_not_compile_what_this_run_compiled_already(self, host: Host) -> None:
        candidate = host.candidate()
        compile_staged(candidate)
        ensure_compiled(candidate)
        assert host.compiled == 1

    def test_notices_a_file_that_was_edited_and_never_loaded(self, host: Host) -> None:
        first = host.candidate()
        compile_staged(first)
        host.load(first)
        (host.root / "etc/shorewall/started").write_text("true\n")
        assert compile_staged(host.candidate()).action == "reload"
        assert host.compiled == 2

    @pytest.mark.parametrize(
        ("chains", "action", "reason"),
        [
            (set(), "start", "it is not started"),
            ({"shorewall", "sha-lh-of-another"}, "reload", "another rule set is loaded"),
        ],
    )
    def test_notices_a_firewall_that_does_not_run(self, host: Host, chains: set[str], action: str, reason: str) -> None:
        first = host.candidate()
        compile_staged(first)
        host.load(first)
        host.chains.clear()
        host.chains.update(chains)
        second = host.candidate()
        result = compile_staged(second)
        assert (result.action, result.reason, host.compiled) == (action, reason, 1)
        assert second.entries == {}
        assert ("shorewall", "shorewall") in second.steps

    def test_notices_lost_routes(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        first = host.candidate()
        compile_staged(first)
        host.load(first)
        monkeypatch.setattr(_compile, "lost_routing", lambda *_: "a table is empty")
        second = host.candidate()
        assert compile_staged(second).reason == "a table is empty"
        assert second.steps["shorewall", "shorewall"]["args"]["routing"] is True

    def test_says_when_there_is_no_compiler(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_compile, "is_installed", lambda _: False)
        assert compile_staged(host.candidate()).compiled is False

    def test_leaves_a_firewall_alone_that_is_not_ours(self, host: Host) -> None:
        candidate = host.candidate()
        candidate.put("/etc/dnsmasq.kvmnet.d/x", "x")
        assert ensure_compiled(candidate) == {}
        assert set(candidate.entries) == {"/etc/dnsmasq.kvmnet.d/x"}

    def test_compiles_zones_that_were_staged_alone(self, host: Host) -> None:
        candidate = host.candidate()
        candidate.put("/etc/shorewall/zones", "fw firewall\n")
        assert ensure_compiled(candidate)["ipv4"].compiled is True
        assert host.compiled == 1


class TestExport:
    def test_is_complete_and_nothing_leaks_in(self, host: Host, tmp_path: Path) -> None:
        (host.root / "etc/shorewall/masq").write_text("old\n")
        (host.root / "etc/shorewall/rules.d").mkdir()
        (host.root / "etc/shorewall/rules.d/site").write_text("x\n")
        candidate = host.candidate()
        candidate.remove("/etc/shorewall/masq")
        candidate.put("/etc/shorewall/policy", "all all DROP\n")
        target = tmp_path / "export"
        target.mkdir()
        _compile.export(candidate, target)
        files = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
        assert files == ["policy", "rules", "rules.d/site"]

    def test_the_fingerprint_is_what_sha256sum_makes(self, tmp_path: Path) -> None:
        (tmp_path / "b").write_text("1")
        (tmp_path / "a").write_text("2")
        lines = [f"{hashlib.sha256(content).hexdigest()}  ./{name}\n" for name, content in (("a", b"2"), ("b", b"1"))]
        assert digest(tmp_path) == hashlib.sha256("".join(lines).encode()).hexdigest()


class TestExplain:
    def candidate(self, root: Path) -> Candidate:
        candidate = Candidate(None, None, root)
        candidate.put("/etc/shorewall/rules", RULES)
        rows = parse(FILES["rules"], RULES).rows
        origins: list[tuple[Any, str]] = [(rows[0], ""), (rows[1], "kvmnet_rules[2]")]
        candidate.step("shorewall", "shorewall", 60, origins=note_origins(FILES["rules"], RULES, origins))
        return candidate

    def test_names_the_inventory_key_and_the_row(self, tmp_path: Path) -> None:
        said = "Compiling...\n   ERROR: Unknown ACTION (FOO) /etc/shorewall/rules (line 4)\n"
        assert explain(self.candidate(tmp_path), said, 25) == (
            "kvmnet_rules[2]: Shorewall's compiler says: Unknown ACTION (FOO) in the row 'FOO net kvm' "
            "(/etc/shorewall/rules, line 4)"
        )

    def test_shows_the_row_where_it_comes_from_nowhere(self, tmp_path: Path) -> None:
        said = "   ERROR: Bad thing /etc/shorewall/rules (line 3)\n"
        assert explain(self.candidate(tmp_path), said, 25) == (
            "Shorewall's compiler says: Bad thing in the row 'ACCEPT net $FW tcp 22' (/etc/shorewall/rules, line 3)"
        )

    def test_names_a_setting(self, tmp_path: Path) -> None:
        said = "   ERROR: Invalid value for USE_DEFAULT_RT (maybe) /etc/shorewall/shorewall.conf (EOF)\n"
        assert explain(self.candidate(tmp_path), said, 25).startswith("settings.USE_DEFAULT_RT: ")

    def test_shows_what_has_no_line(self, tmp_path: Path) -> None:
        assert explain(self.candidate(tmp_path), "sh: 3: Syntax error\n", 2).endswith(
            "ended with 2: sh: 3: Syntax error"
        )


def test_a_script_that_the_shell_cannot_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "compiled").write_text("true\nif then\n")
    (tmp_path / "started").write_text("if then\n")
    with pytest.raises(CompileError, match=r"^scripts\.started: the shell says: 1: "):
        _compile._check_syntax(tmp_path / "compiled", tmp_path, IPV4)
