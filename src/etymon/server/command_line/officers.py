# SPDX-License-Identifier: Apache-2.0
"""Options that commands of an officer share: since when, why, and with which reason something ends."""

import enum
from typing import Annotated, TypeAlias

import typer


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
