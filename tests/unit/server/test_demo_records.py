# SPDX-License-Identifier: Apache-2.0
"""What the demo writes: records without keys, lines that fit their width."""

import io

from rich.console import Console

from etymon.server.demo.peers import eapol_test
from etymon.server.demo.story import Story

DUMP = """\
key_id - hexdump_ascii(len=4):
     6b 65 79 31                                       key1
pin - hexdump_ascii(len=20):
     74 68 44 6c 7a 46 48 5f 62 4c 62 74 39 38 62 50   thDlzFH_bLbt98bP
     52 2d 4f 50                                       R-OP
engine_id - hexdump_ascii(len=6):
     70 6b 63 73 31 31                                 pkcs11
EAP-TLS: Derived key - hexdump(len=4): de ad be ef
MS-MPPE-Send-Key (sign) - hexdump(len=4): de ad be ef
PMK from EAPOL - hexdump(len=4): de ad be ef
SUCCESS
"""


def test_a_dumped_pin_or_session_key_is_in_no_record() -> None:
    kept = eapol_test.without_dumped_keys(DUMP)
    for gone in ("74 68", "52 2d", "R-OP", "de ad"):
        assert gone not in kept
    for left in ("pin - hexdump_ascii(len=20): [removed]", "6b 65 79 31", "70 6b 63 73 31 31", "SUCCESS"):
        assert left in kept


def test_what_does_not_fit_goes_on_below_its_first_word_and_the_time_stays_whole() -> None:
    written = io.StringIO()
    story = Story(Console(file=written, width=60))
    with story.step("A title of a good many words that is longer than one line of sixty") as step:
        step.show("a claim of so many words that it needs a second line as well", bool(DUMP), "a judge")
    lines = written.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert lines[0].startswith(" 1  A title")
    assert lines[0].rstrip().endswith(" s")
    assert lines[1].startswith("    ")
    assert lines[2].startswith("      ✓ a claim")
    assert lines[3].startswith("        ")
