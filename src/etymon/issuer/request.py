# SPDX-License-Identifier: Apache-2.0
"""Requests for approval: what an applicant asks for where a rule wants a second person (Common Policy 4.1)."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

IDENTITY_LIFETIME: Final = timedelta(days=90)
"""Issuance follows the verification of identity within ninety days (Common Policy 4.2.3)."""


class RequestState(enum.StrEnum):
    """Where a request stands."""

    REQUESTED = "requested"
    """The applicant proved a card and asked; nobody has decided."""
    APPROVED = "approved"
    """An officer other than the applicant approved: the applicant may come back with the card."""
    USED = "used"
    """A phone was confirmed under it; it is good for no other."""
    REFUSED = "refused"
    EXPIRED = "expired"
    ENDED = "ended"
    """The account ended, or whoever approved is suspect."""


_S: Final = RequestState
REQUEST_MOVES: Final[Mapping[RequestState, frozenset[RequestState]]] = {
    _S.REQUESTED: frozenset({_S.APPROVED, _S.REFUSED, _S.EXPIRED, _S.ENDED}),
    _S.APPROVED: frozenset({_S.USED, _S.EXPIRED, _S.ENDED}),
    _S.USED: frozenset(),
    _S.REFUSED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.ENDED: frozenset(),
}
"""The moves a request may make; nothing comes back."""

WAITING: Final = frozenset({_S.REQUESTED, _S.APPROVED})
"""These can still lead to a credential. A person has one of them under a rule at most."""


@dataclass(frozen=True, slots=True)
class DerivationRequest:
    """A person's request to derive credentials under a rule. `proof` is of the card with which they asked.

    `expires_at` counts from that proof. `decided_by` approved or refused, for `decision_reason`.
    """

    id: UUID
    state: RequestState
    person: UUID
    rule: UUID
    proof: UUID
    requested_at: datetime
    requested_from: str
    expires_at: datetime
    decided_by: UUID | None = None
    decided_at: datetime | None = None
    decision_reason: str = ""
