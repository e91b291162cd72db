# SPDX-License-Identifier: Apache-2.0
"""What commands of an Officer share: since when, why, with which reason; and going on batch by batch."""

import enum
from collections.abc import Iterator
from typing import Annotated, TypeAlias

import typer

from etymon.server.apply.administration_api import AdministrationAPI, JSONObject


class Reason(enum.StrEnum):
    """What the revocation list says (RFC 5280 §5.3.1)."""

    KEY_COMPROMISE = "keyCompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    UNSPECIFIED = "unspecified"


ReasonOption: TypeAlias = Annotated[Reason, typer.Option("--reason", help="What the revocation list says.")]
Comment: TypeAlias = Annotated[str, typer.Option("--comment", help="Why, in words; kept in the audit trail.")]
Since: TypeAlias = Annotated[str, typer.Option(help="Since when, such as 2026-01-31T08:00:00Z.")]


def batches(api: AdministrationAPI, path: str, body: JSONObject, *done: str) -> Iterator[tuple[JSONObject, int]]:
    """Have a bulk command go on until nothing remains; yield each answer, and how much is left after it.

    The API counts at the beginning of a pass and at its end; between, what the answers say is `done` is subtracted.
    """
    left, cursor = 0, None
    while True:
        answer = api.act(path, body if cursor is None else {**body, "cursor": cursor})
        counted, cursor = answer["remaining"], answer.get("next")  # an older site counts each time
        left = max(left - sum(answer[name] for name in done), 0) if counted is None else counted
        yield answer, left
        if cursor is None and not left:
            return
