# Copyright: (c) 2026, ursa.kvmnet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ours beside Shorewall's own reader of files, where it is installed: on anything, both see the same rows."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._document import parse
from ansible_collections.ursa.kvmnet.plugins.module_utils._shorewall._schema import FILES

from ....conftest import SHOREWALL_ROOTS

# A Debian root besides the machine's own, entered with chroot.
FILES_READ = 300

# Prints each row that the compiler would see, and the first error; a process each, since an error leaves it unusable.
READER = r"""
use strict; use warnings; no warnings 'once';
use lib '/usr/share/shorewall';
use Shorewall::Config qw(:DEFAULT :internal);
my $n = 0;
my %columns = map { $_ => $n++ } qw(action source dest proto dport sport origdest rate user mark connlimit time headers
                                    switch helper);
$| = 1;
Shorewall::Config::initialize(F_IPV4, 0, 0, '/usr/share/shorewall/shorewallrc', '');
$Shorewall::Config::capabilities{COMMENTS} = 1;
for my $file (@ARGV) {
  my $child = fork;
  if (!$child) {
    my $section = 'NEW';
    print "FILE\x02";
    eval {
      if (open_file($file, 2, 1)) {
        my $function = sub { $section = shift };
        &Shorewall::Config::set_section_function($function);
        while (read_a_line(NORMAL_READ)) {
          my @cells = split_line2('rules file', \%columns, {}, undef, 1);
          print join("\x01", $section, $Shorewall::Config::comment, $Shorewall::Config::inline_matches, @cells), "\x02";
        }
      }
    };
    print "ERROR\x02" if $@;
    exit 0;
  }
  waitpid $child, 0;
}
"""

WORDS = ("net", "loc:10.0.0.1", "-", "tcp", "22,80", "ACCEPT", "SSH(ACCEPT)", "NFLOG(1, 2)", "a,", "b:", "f(a", "b)")
WORDS += ('"q"', "'s'", "\\", "\u00e9", "all!x", "x=y")
PAIRS = (
    "rate=s:2/min",
    "helper=ftp",
    "dport=22,80",
    "proto:tcp",
    "switch=>x",
    'comment="one own"',
    "nosuch=1",
    'mark="1"',
)
PAIRS += ("user=x,", "sport=(1 2)", "comment=plain", "origdest=", '"x"')
OTHERS = (
    "\n",
    "# c\n",
    "# c \\\n more\n",
    "?COMMENT\n",
    "?COMMENT the office\n",
    "?comment  mail # x\n",
    "?FORMAT 2\n",
)
OTHERS += (
    "?SECTION NEW\n",
    "?section  INVALID\n",
    "?SECTION ALL # x\n",
    "ACCEPT net,\\\n   fw\n",
    "ACCEPT net # x \\\n fw\n",
)
OTHERS += (
    "?SET Q 1\n",
    "\\\n",
    "ACCEPT net fw\x0b tcp\n",
    "ACCEPT net\x0cfw\n",
    "ACCEPT n\u00a0 fw\n",
    " ?COMMENT a\\\n",
)
ENDS = ("\n", "\n", "\n", " # why\n", "\t\n", "\r\n", " \\#x\n", "#x\\\n")


def any_line(chance: random.Random) -> str:
    """Return a line that Shorewall may or may not take."""
    if chance.random() < 0.4:
        return chance.choice(OTHERS)
    gap = chance.choice([" ", "\t", " \\\n ", " \\ # c\n"])
    line = gap.join(chance.choice(WORDS) for _unused in range(chance.randint(1, 6)))
    pairs = chance.choice([", ", " ", ",", ",\t"]).join(chance.choice(PAIRS) for _unused in range(chance.randint(1, 3)))
    form = chance.randint(0, 7)
    line += {1: f" {{ {pairs} }}", 2: f" ; {pairs}", 3: " ;; -m length --length 40", 4: ";", 5: " ;; a ;; b"}.get(
        form, ""
    )
    return line + chance.choice(ENDS)


@pytest.mark.parametrize("root", SHOREWALL_ROOTS, ids=str)
def test_sees_what_the_compiler_sees(root: Path) -> None:
    if not (root / "usr/share/shorewall/Shorewall/Config.pm").exists():
        pytest.skip("Shorewall is not installed")
    if root != Path("/") and os.geteuid() != 0:
        pytest.skip("only root can enter another root")
    chance = random.Random(2008)
    texts = ["".join(any_line(chance) for _unused in range(chance.randint(1, 4))) for _unused in range(FILES_READ)]
    directory = Path(tempfile.mkdtemp(dir=root / "tmp"))
    try:
        for number, text in enumerate(texts):
            (directory / str(number)).write_text(text, encoding="utf-8", newline="")
        names = [f"/tmp/{directory.name}/{number}" for number in range(FILES_READ)]
        enter = [] if root == Path("/") else ["chroot", str(root)]
        done = subprocess.run([*enter, "perl", "-e", READER, *names], capture_output=True, timeout=120, check=True)
    finally:
        shutil.rmtree(directory)
    answers = done.stdout.decode(errors="surrogateescape").split("FILE\x02")[1:]
    assert len(answers) == FILES_READ
    understood = 0
    for text, answer in zip(texts, answers, strict=True):
        *theirs, last = answer.split("\x02")[:-1] or [""]
        refused = last == "ERROR"
        rows = [row.split("\x01") for row in ([*theirs] if refused else [*theirs, last]) if row]
        ours, lost = [], False
        for line in parse(FILES["rules"], text).lines:
            # A directive in the middle of a continued line is not ours to judge either.
            lost = line.lost or (line.kept and not line.text.startswith("?SET"))
            if lost:
                break
            if line.row is not None:
                cells = [line.row.get(column.name) or "-" for column in FILES["rules"].columns]
                ours.append([line.row.section, line.row.comment, line.row.inline, *cells])
        found = [[row[0], row[1], row[2].strip(), *row[3:]] for row in rows]
        # What we do not understand is kept as it is; what the compiler refuses we must not.
        assert ours == found[: len(ours)], text
        assert lost or (not refused and len(ours) == len(found)), text
        understood += not lost
    assert understood > FILES_READ / 10
