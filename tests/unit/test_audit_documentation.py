# SPDX-License-Identifier: Apache-2.0
"""The page about the audit trail names every refusal that the program records, and no other."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
RELATIVE = {"directory:binding_code:refused"}
"""Recorded by a context under a name without its own."""


def test_every_refusal_is_documented() -> None:
    sources = "".join(file.read_text("utf-8") for file in (REPOSITORY / "src").rglob("*.py"))
    recorded = set(re.findall(r'"([a-z]+:[a-z_]+:refused)"', sources)) | RELATIVE
    page = (REPOSITORY / "docs" / "operations" / "audit-trail.md").read_text("utf-8")
    assert set(re.findall(r"`([a-z]+:[a-z_]+:refused)`", page)) == recorded
    assert len(recorded) > 15
