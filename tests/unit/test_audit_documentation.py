# SPDX-License-Identifier: Apache-2.0
"""The page about the audit trail names every event that the program records, and no other."""

import ast
import re
from pathlib import Path

from etymon.audit import vocabulary
from etymon.audit.vocabulary import KINDS, NAMES, PARTS, THINGS, is_party, nearest

REPOSITORY = Path(__file__).parents[2]
ID = "6f1c4ab2-5a1e-4bfb-9d2b-0c7a1f1d8e55"
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


def test_every_party_in_the_program_is_one_that_can_be_asked_for() -> None:
    """Actors and subjects as they are written down, as far as they are written out in the source."""
    written: set[str] = set()
    sources = REPOSITORY / "src" / "etymon"
    for file in sources.rglob("*.py"):
        if file.is_relative_to(sources / "server" / "demo"):  # its mails have subjects
            continue
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call):
                named = [each.value for each in call.keywords if each.arg in {"actor", "subject"}]
                function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                placed = {"AuditEvent": slice(1, 3), "by_account": slice(-1, None)}.get(function, slice(0))
                named += call.args[placed]
                written |= {party for each in named if (party := _written_out(each))}
    assert {"audit-trail", "deployment", "worker", "card_proof:1", "person:1"} <= written
    assert [party for party in sorted(written) if not is_party(party.replace("person:1", ID))] == []


def _written_out(argument: ast.expr) -> str:
    """Return a text, or one that begins with a kind and goes on with a value, as `KIND:1`."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value
    first = argument.values[0] if isinstance(argument, ast.JoinedStr) else None
    kind = first.value if isinstance(first, ast.Constant) else ""
    return f"{kind}1" if isinstance(kind, str) and re.fullmatch(r"[a-z_]+:", kind) else ""


def test_a_slip_is_told_from_a_name() -> None:
    assert nearest("directory:role:asigned")[0] == "directory:role:assigned"
    assert nearest("nothing like it") == []
    good = (f"person:{ID}", ID, "client:endpoint-manager", "crl:people:7", "GET /users/{user}", *PARTS, *THINGS)
    assert all(map(is_party, good))
    kinds = set(KINDS) - THINGS
    wrong = ("otto", "otto@agency.example", "person:otto", "person:", "persn:1", "client:", "", ID.upper(), *kinds)
    assert not any(map(is_party, wrong))
