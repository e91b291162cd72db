# SPDX-License-Identifier: Apache-2.0
"""`/etymon/auditEvents`: the audit trail, for Auditors alone.

Administrators and Officers are who it is about; they do not review themselves (CP 5.2.1).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from etymon.audit import reading
from etymon.audit.reading import Entry, Place, Wanted
from etymon.graph.http import answers
from etymon.graph.http.answers import ListOptions
from etymon.graph.http.gate import Auditor, Services, Source
from etymon.graph.representations import audit_events as shown
from etymon.kernel.errors import Malformed
from etymon.wire import odata

router = APIRouter(tags=["auditEvents"])

PATH: Final = "/etymon/auditEvents"

MOST_LEFT_OUT: Final = 20
"""Names that a filter leaves out."""

Narrowing: TypeAlias = tuple[str, str | datetime]


@router.get(PATH)
def list_audit_events(
    request: Request, deps: Services, caller: Auditor, source: Source, options: ListOptions
) -> Response:
    """List events, the newest first. That somebody reads is recorded with the first page."""
    wanted, place, limit = _wanted(options.condition), _place(options.after), options.top + 1
    if place is None:
        with deps.database.transaction() as tx:
            run, found = reading.begin(
                tx, deps.clock, deps.entropy, wanted, limit=limit, actor=caller.actor, source=source
            )
    else:
        run = place.reading
        with deps.database.snapshot() as tx:
            found = reading.go_on(tx, wanted, place, limit=limit, actor=caller.actor)

    def show(entries: Sequence[Entry]) -> list[dict[str, Any]]:
        return [shown.audit_event(each) for each in entries]

    return answers.page(
        request,
        deps,
        PATH[1:],
        options,
        fetch=lambda _: found,
        key=lambda last: f"{run}/{last.recorded.id}",
        show=show,
    )


def _wanted(condition: odata.Expression | None) -> Wanted:
    """Return what a filter leaves, found through an index but for names left out; Malformed `filter_not_supported`."""
    narrowed = list(_narrowed(condition)) if condition else []
    but = frozenset(str(value) for path, value in narrowed if path == "but")
    once = [(path, value) for path, value in narrowed if path != "but"]
    said: dict[str, Any] = dict(once)
    if len(said) < len(once) or len(but) > MOST_LEFT_OUT:
        raise _not_supported()
    return Wanted(but=but, **said)


def _narrowed(condition: odata.Expression) -> Iterator[Narrowing]:
    match condition:
        case odata.And(left, right):
            yield from _narrowed(left)
            yield from _narrowed(right)
        case odata.Comparison("name" | "actor" | "subject" as path, "eq", str(value)):
            yield path, value
        case odata.Comparison("name", "ne", str(value)):
            yield "but", value
        case odata.Comparison("recordedDateTime", "ge", datetime() as moment):
            yield "since", moment
        case odata.Comparison("recordedDateTime", "lt", datetime() as moment):
            yield "until", moment
        case _:
            raise _not_supported()


def _place(after: str | None) -> Place | None:
    if after is None:
        return None
    run, _, last = after.partition("/")
    try:
        return Place(UUID(run), UUID(last))
    except ValueError as exc:
        raise Malformed("skiptoken_not_understood", "Follow @odata.nextLink as it was given.") from exc


def _not_supported() -> Malformed:
    return Malformed(
        "filter_not_supported",
        "The trail is filtered by name, actor and subject with eq, by recordedDateTime with ge and lt, each once, "
        f"and by name with ne, {MOST_LEFT_OUT} times at most, joined by and.",
    )
