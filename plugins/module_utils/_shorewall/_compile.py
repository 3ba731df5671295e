# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to ursa.kvmnet: may change at any time; do not import it from elsewhere.

"""Shorewall's own compiler on the candidate, once, where it can touch nothing."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.ursa.kvmnet.plugins.module_utils._candidate import Candidate
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._firewall import has_chain, rules_mark
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._run import ApplyError
from ansible_collections.ursa.kvmnet.plugins.module_utils._guard._traces import stamp_of
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall import _ipsets, _twin, _verified
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._document import (
    Document,
    number_rows,
    parse,
    render_row,
)
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._family import FAMILIES, IPV4, Family
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._host import lost_routing
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._remedies import remedy
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._rows import to_options
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES, SCRIPTS

COMPILE_TIMEOUT = 300

POSTCOMPILE = """\
# Write into each compiled script which configuration it comes from.
kvmnet_sum=$(cd "$SW_CONFDIR" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
printf '# configuration %s\\n' "${kvmnet_sum%% *}" >> "$1"
"""

# Mounted over the real directory, so that nothing of it can leak in; and where no tables can be touched.
_SCRIPT = 'ip -force -batch - >/dev/null 2>&1; mount --bind "$1" "$3" && exec "$4" -q compile "$2" </dev/null'

_PLACE = r"(?P<file>/\S+) \((?:line (?P<line>\d+)|EOF)\)"
_ERROR = re.compile(rf"ERROR: (?P<message>.*?)(?: {_PLACE})?\s*$", re.MULTILINE)
# Where a macro is used or a file included
_FROM = re.compile(rf"^\s+from {_PLACE}\s*$", re.MULTILINE)
# Settings whose names are one word.
_SETTINGS = ("LOGFORMAT", "LOGFILE", "OPTIMIZE", "RESTART", "VERBOSITY", "CLAMPMSS", "STARTUP", "AUTOMAKE")
_WARNING = re.compile(r"WARNING: (?P<message>.*)$", re.MULTILINE)


class CompileError(ApplyError):
    """The compiler refuses the candidate; the text says where, in the user's terms."""


@dataclass(frozen=True)
class CompileResult:
    """What came of the candidate.

    Args:
        compiled: the real compiler has accepted it, now or before.
        action: what the firewall has to do: C(start), C(reload), or empty when it is what runs.
        reason: why, where no file of the configuration differs.
        warnings: what the compiler said besides.
    """

    compiled: bool
    action: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()


def is_installed(family: Family = IPV4) -> bool:
    """Whether Shorewall is there to compile and run."""
    return Path(family.program).exists()


def digest(directory: Path) -> str:
    """Return the fingerprint of a configuration, as the postcompile script computes it."""
    paths = sorted(
        "./" + str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    lines = [
        f"{hashlib.sha256((directory / path).read_bytes()).hexdigest()}  {path}\n"
        for path in sorted(paths, key=os.fsencode)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def export(candidate: Candidate, directory: Path, family: Family = IPV4) -> None:
    """Write the complete configuration, as it will be, into a directory."""
    live = candidate.host_root / family.config.lstrip("/")
    if live.is_dir():
        shutil.copytree(live, directory, dirs_exist_ok=True, symlinks=True)
    for path, entry in candidate.entries.items():
        name = path.removeprefix(f"{family.config}/")
        if name == path:
            continue
        target = directory / name
        target.unlink(missing_ok=True)
        if entry["state"] == "present":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(candidate.read(path) or b"")


def compile_candidate(candidate: Candidate, directory: Path, family: Family = IPV4) -> tuple[bytes, tuple[str, ...]]:
    """Compile a complete configuration in an empty network namespace.

    Args:
        candidate: where the rows' origins are noted.
        directory: the configuration.
        family: the firewall.

    Returns:
        The script and the compiler's warnings.

    Raises:
        CompileError: the compiler refuses it.
    """
    with tempfile.TemporaryDirectory(prefix="kvmnet-compiled-") as scratch:
        output = Path(scratch) / "firewall"
        isolated = ["unshare", "--net", "--mount", "sh", "-c", _SCRIPT, "sh"]
        argv = [*isolated, str(directory), str(output), family.config, family.program]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMPILE_TIMEOUT,
                input=_twin.commands(),
                env=environment,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CompileError(f"Shorewall's compiler: {error}") from error
        said = done.stderr + done.stdout
        if done.returncode or not output.is_file():
            raise CompileError(explain(candidate, said, done.returncode, family))
        _check_syntax(output, directory, family)
        warnings = dict.fromkeys(found["message"].strip() for found in _WARNING.finditer(said))
        return output.read_bytes(), tuple(text for text in warnings if not _has_set(candidate, text, family))


def _has_set(candidate: Candidate, warning: str, family: Family) -> bool:
    """Whether the compiler misses a set of addresses that is only not where it runs: there are none at all."""
    found = re.match(r"Ipset (?P<name>\S+) does not exist", warning)
    if found is None:
        return False
    content = (candidate.read(_ipsets.path_of(family)) or b"").decode(errors="replace")
    return found["name"] in _ipsets.parse(content) or found["name"] in _ipsets.in_kernel()


def _check_syntax(script: Path, directory: Path, family: Family) -> None:
    """Let the shell read the compiled script: extension scripts are copied into it as they are.

    Raises:
        CompileError: it is no shell script.
    """
    if _syntax_error(script):
        for name in SCRIPTS.values():
            said = _syntax_error(directory / name)
            if said:
                raise CompileError(f"scripts.{name.replace('.', '_')}: the shell says: {said} ({family.config}/{name})")
        raise CompileError(f"the compiled script is none: the shell says: {_syntax_error(script)}")


def _syntax_error(script: Path) -> str:
    if not script.is_file():
        return ""
    done = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, errors="replace", check=False)
    return done.stderr.strip().removeprefix(f"{script}: ") if done.returncode else ""


def explain(candidate: Candidate, said: str, returncode: int, family: Family = IPV4) -> str:
    """Return the compiler's message with the inventory key and the row that it is about."""
    found = _ERROR.search(said)
    notes = origins(candidate, family)
    if found is None:
        # Nothing else is a program that runs while it compiles.
        place = notes.get(("params", 0), "params")
        return (
            f"{place}: Shorewall's compiler ended with {returncode}: {said.strip()[-1500:] or 'no message'}; "
            "remedy: a params file that the shell runs to its end, with exit code 0"
        )
    message = found["message"].strip()
    name, line, elsewhere = _locate(found, said, family)
    says = f"Shorewall's compiler says: {message}"
    setting = next(
        (word for word in re.findall(r"\b[A-Z][A-Z_0-9]{3,}\b", message) if "_" in word or word in _SETTINGS), ""
    )
    if name in ("", family.conf.rpartition("/")[2]):
        return f"{f'settings.{setting}: ' if setting else ''}{says}; remedy: {remedy(message, name, family)}"
    spec = FILES.get(name)
    content = candidate.read(f"{family.config}/{name}") if spec is not None else None
    row = None
    if spec is not None and content is not None:
        row = number_rows(parse(spec, content.decode(errors="replace"))).get(line)
    origin = notes.get((name, line)) or notes.get((name, 0)) or (name if spec or name == "params" else f"files.{name}")
    shown = f" in the row '{' '.join(render_row(spec, row, spec.file_format).split())}'" if spec and row else ""
    where = f"{elsewhere}{family.config}/{name}, {f'line {line}' if line else 'at its end'}"
    return f"{origin}: {says}{shown} ({where}); remedy: {remedy(message, name, family)}"


def _locate(found: re.Match[str], said: str, family: Family) -> tuple[str, int, str]:
    """Return the file of the configuration that an error is about, the line, and what of Shorewall's own is between."""
    passed: list[str] = []
    for place in (found, *_FROM.finditer(said, found.end())):
        path = place["file"] or ""
        name = path.removeprefix(f"{family.config}/")
        if name != path:
            return name, int(place["line"] or 0), "".join(passed)
        if path:
            passed.append(f"{path}, line {place['line'] or '?'}, from ")
    # What params has set is looked at once it has ended.
    return ("params" if "params file" in found["message"] else ""), 0, ""


def origins(candidate: Candidate, family: Family = IPV4) -> dict[tuple[str, int], str]:
    """Return where the rows of this run come from, by file and line."""
    step = candidate.steps.get(family.step[:2])
    result = {}
    for entry in step["args"].get("origins", ()) if step else ():
        name, line, origin = entry.split(":", 2)
        result[name, int(line)] = origin
    return result


def note_origins(document: Document, wanted: Iterable[tuple[object, str]]) -> list[str]:
    """Return the notes that let a later compiler error name the inventory key: one for each line of a row with one."""
    by_row = {row: origin for row, origin in wanted if origin}
    rows = number_rows(document)
    return [f"{document.spec.name}:{number}:{by_row[row]}" for number, row in rows.items() if row in by_row]


def _drift(candidate: Candidate, family: Family) -> str:
    """Return what of a loaded firewall is not as its files say, or an empty string."""
    if not (candidate.host_root / family.enabled).exists():
        return "it does not start at boot"
    found = {}
    for name in ("interfaces", "providers"):
        content = (candidate.read(f"{family.config}/{name}") or b"").decode(errors="replace")
        found[name] = [to_options(FILES[name], row) for row in parse(FILES[name], content).rows]
    # Whether an optional one is usable is Shorewall's own judgement.
    optional = {entry.get("interface") for entry in found["interfaces"] if "optional" in entry.get("options", ())}
    watched = [entry for entry in found["providers"] if entry.get("interface") not in optional]
    return lost_routing(watched, family.version)


def ensure_compiled(candidate: Candidate, check_mode: bool = True) -> dict[str, CompileResult]:
    """Compile a candidate that touches Shorewall and was not compiled since, as when zones alone were staged.

    A firewall that is not ours to manage is left alone.

    Returns:
        What came of each family that is touched.

    Raises:
        CompileError: the compiler refuses it.
    """
    return {
        family.name: compile_staged(candidate, family=family, check_mode=check_mode)
        for family in FAMILIES.values()
        if candidate.steps.get(family.step[:2], {}).get("args", {}).get("action") != "stop"
        if family.step[:2] in candidate.steps or any(path.startswith(f"{family.config}/") for path in candidate.entries)
    }


def compile_staged(
    candidate: Candidate,
    routing: bool = False,
    notes: Iterable[str] = (),
    family: Family = IPV4,
    check_mode: bool = True,
) -> CompileResult:
    """Make the candidate's script that of its configuration, and stage the step if the kernel runs another one.

    Nothing is compiled when the script at hand comes from this very configuration.

    Args:
        candidate: the candidate.
        routing: the routing tables have to be set up anew.
        notes: from M(note_origins).
        family: the firewall.
        check_mode: nothing is remembered for later runs.

    Raises:
        CompileError: the compiler refuses it.
    """
    if notes:
        candidate.step(*family.step, origins=list(notes))
    if not is_installed(family):
        return CompileResult(False)
    with tempfile.TemporaryDirectory(prefix="kvmnet-shorewall-") as scratch:
        directory = Path(scratch)
        export(candidate, directory, family)
        wanted = digest(directory)
        warnings: tuple[str, ...] = ()
        live = candidate.live(family.firewall)
        touched = any(path.startswith(f"{family.config}/") for path in candidate.entries)
        theirs = live is not None and not stamp_of(live) and not touched
        if stamp_of(live) == wanted or (theirs and _verified.recall(candidate.host_root, family, wanted, live or b"")):
            script = live or b""
        elif stamp_of(staged := candidate.read(family.firewall)) == wanted:
            script = staged or b""
        else:
            script, warnings = compile_candidate(candidate, directory, family)
            if theirs and _verified.same_program(script, live or b""):
                # Compiled by someone else, from the same files.
                script = live or b""
                if not check_mode:
                    _verified.remember(candidate.host_root, family, wanted, script)
    candidate.put(family.firewall, script, 0o700)
    mark = rules_mark(script)
    lost = _drift(candidate, family) if script == live and mark and has_chain(mark, family.iptables) else None
    if lost == "":
        if candidate.steps.get(family.step[:2], {}).get("args", {}).keys() == {"origins"}:
            del candidate.steps[family.step[:2]]
        return CompileResult(True, warnings=warnings)
    # The chain that Shorewall's own programs look for.
    started = has_chain("shorewall", family.iptables)
    afresh = routing or bool(lost) or not started or live is None
    candidate.step(*family.step, routing=afresh, action="load", boot="enabled")
    reason = "" if script != live else lost or ("another rule set is loaded" if started else "it is not started")
    return CompileResult(True, "reload" if started else "start", reason, warnings)
