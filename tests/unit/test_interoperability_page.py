# SPDX-License-Identifier: Apache-2.0
"""The page of traps names tests that are there."""

import re

from support.named_code import REPOSITORY, is_test

PAGE = (REPOSITORY / "docs" / "protocols" / "interoperability.md").read_text("utf-8")
NAMED = re.findall(r"`([\w/]+\.py::\w+)`", PAGE)


def test_every_trap_has_tests_that_are_there() -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| ")][2:]
    assert len(rows) > 10
    assert [row for row in rows if "::test_" not in row] == []
    assert [name for name in NAMED if not is_test(name)] == []
