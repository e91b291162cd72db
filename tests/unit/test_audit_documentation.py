# SPDX-License-Identifier: Apache-2.0
"""The page about the audit trail names every event that the program records, and no other."""

import ast
import re
from pathlib import Path

from etymon.audit import vocabulary
from etymon.audit.vocabulary import KINDS, NAMES, PARTS, is_party, nearest

REPOSITORY = Path(__file__).parents[2]
RELATIVE = {"directory:binding_code:refused"}
"""Recorded by a context under a name without its own."""


def test_every_refusal_is_documented() -> None:
    sources = "".join(file.read_text("utf-8") for file in (REPOSITORY / "src").rglob("*.py"))
    recorded = set(re.findall(r'"([a-z]+:[a-z_]+:refused)"', sources)) | RELATIVE
    page = (REPOSITORY / "docs" / "operations" / "audit-trail.md").read_text("utf-8")
    assert set(re.findall(r"`([a-z]+:[a-z_]+:refused)`", page)) == recorded
    assert len(recorded) > 15


def test_every_event_is_documented() -> None:
    page = (REPOSITORY / "docs" / "operations" / "audit-trail.md").read_text("utf-8")
    documented = set(re.findall(r"`([a-z_]+:[a-z_]+:[a-z_]+)`", page)) - {"context:subject:verb"}
    for start, verbs in re.findall(r"`([a-z_]+:[a-z_]+:)` ((?:[a-z_]+ ?)+)", page):
        documented |= {start + verb for verb in verbs.split()}
    assert documented == NAMES


def test_every_name_in_the_program_is_one_that_can_be_asked_for() -> None:
    """Contexts that record under names without their own have two words where others have three."""
    written = {"mdm:service:mdm"}  # an actor
    for file in (REPOSITORY / "src" / "etymon").rglob("*.py"):
        if file == Path(vocabulary.__file__):
            continue
        context = file.relative_to(REPOSITORY / "src" / "etymon").parts[0]
        for each in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(each, ast.Constant) and re.fullmatch(r"[a-z_]+:[a-z_]+(:[a-z_]+)?", str(each.value)):
                name = str(each.value)
                written.add(name if name.count(":") > 1 else f"{context}:{name}")
    assert written - NAMES == {"mdm:service:mdm"}
    assert len(written) > 140


def test_a_slip_is_told_from_a_name() -> None:
    assert nearest("directory:role:asigned")[0] == "directory:role:assigned"
    assert nearest("nothing like it") == []
    id_ = "6f1c4ab2-5a1e-4bfb-9d2b-0c7a1f1d8e55"
    assert all(map(is_party, (f"person:{id_}", id_, "client:endpoint-manager", "crl:people:7", *PARTS)))
    wrong = ("otto", "otto@agency.example", "person:otto", "person:", "persn:1", "client:", "", id_.upper(), *KINDS)
    assert not any(map(is_party, wrong))
