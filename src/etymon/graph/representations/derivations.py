# SPDX-License-Identifier: Apache-2.0
"""Requests for approval, and what was derived for a person: resources of our own."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import Field

from etymon.directory.model import Person
from etymon.graph.representations.attestation import key_attestation
from etymon.graph.representations.body import Body, Cursor, Text, instant, place
from etymon.issuer.hold_record import HoldInForce
from etymon.issuer.holds import Order as HoldOrder
from etymon.issuer.incidents import Derived, Place, Progress
from etymon.issuer.model import EndReason
from etymon.issuer.officers import Order
from etymon.issuer.request import DerivationRequest

ReasonName = Literal[
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
    "unspecified",
]


DERIVATIONS: Final = "derivations"
MANAGED: Final = "managedCertificates"
"""How cursors begin, before the last id that was seen of the kind."""


class RefusalBody(Body):
    """Why a request is refused."""

    reason: Text


class HoldBody(Body):
    """Why credentials are held, in words."""

    comment: Text

    def order(self, officer: UUID, source: str) -> HoldOrder:
        """Return the officer's order."""
        return HoldOrder(officer, self.comment, source)


class RestoreBody(Body):
    """How the identity of whose credentials are restored was established anew (Common Policy 4.9.15)."""

    identity_evidence: Text

    def order(self, officer: UUID, source: str) -> HoldOrder:
        """Return the officer's order."""
        return HoldOrder(officer, self.identity_evidence, source)


class EndBody(Body):
    """Why credentials end: as the revocation list says it, and in words."""

    reason: ReasonName
    comment: Text

    def order(self, officer: UUID, source: str) -> Order:
        """Return the officer's order."""
        return Order(officer, EndReason(self.reason), self.comment, source)


class EndAuthorizedBody(EndBody):
    """What stands behind certificates since a time: rules of a name, an officer by id or name, an issuing authority."""

    since: Annotated[str, Field(max_length=40)]
    rule: Text = ""
    officer: Text = ""
    authority: Text = ""
    cursor: Cursor = None

    def beginning(self) -> datetime:
        """Return the time; raises Malformed."""
        return instant(self.since, "since")

    def place(self) -> Place | None:
        """Return where it goes on; raises Malformed."""
        if self.cursor is None:
            return None
        kind, _, last = self.cursor.partition("/")
        if kind == MANAGED:
            return Place(managed=place(last))
        return Place(derivation=place(last if kind == DERIVATIONS else ""))


class RekeyBody(Body):
    """Whose certificates are rekeyed, and why, in words."""

    authority: Text
    comment: Text
    cursor: Cursor = None


def request(shown: DerivationRequest, applicant: Person | None, rule: str) -> dict[str, Any]:
    """Show a request with its applicant and the rule it is under."""
    return {
        "@odata.type": "#etymon.graph.derivationRequest",
        "id": shown.id,
        "state": shown.state.value,
        "userId": shown.person,
        "userPrincipalName": applicant.user_principal_name if applicant else None,
        "displayName": applicant.display_name if applicant else None,
        "issuanceRule": rule,
        "requestedDateTime": shown.requested_at,
        "expiresDateTime": shown.expires_at,
        "decidedBy": shown.decided_by,
        "decidedDateTime": shown.decided_at,
        "decisionReason": shown.decision_reason or None,
    }


def hold(shown: HoldInForce, holders: Mapping[UUID, Person]) -> dict[str, Any]:
    """Show who holds, the cardholder or an officer, since when, why and until when."""
    holder = holders.get(shown.by)
    return {
        "heldBy": shown.by,
        "heldByPrincipalName": holder.user_principal_name if holder else None,
        "heldDateTime": shown.since,
        "heldUntilDateTime": shown.until,
        "reason": shown.reason or None,
    }


AUTHORITY_REVOKED: Final = "authorityRevoked"
"""The state of what has not ended and is good for nothing, since its authority was revoked."""


def derivation(found: Derived, hold: dict[str, Any] | None) -> dict[str, Any]:
    """Show a derivation with its certificates, what was found of its keys, and the hold it is under."""
    shown, revoked = found.derivation, found.revoked
    said = shown.link.description if shown.link else None
    return {
        "@odata.type": "#etymon.graph.derivation",
        "id": shown.id,
        "state": shown.state.value,
        "userId": shown.person,
        "manufacturer": said.manufacturer if said else None,
        "model": said.model if said else None,
        "serialNumber": said.serial_number if said else None,
        "begunDateTime": shown.begun_at,
        "confirmedDateTime": shown.confirmed_at,
        "endedDateTime": shown.ended_at,
        "endReason": shown.end_reason.value if shown.end_reason else None,
        "requestId": shown.request,
        "hold": hold,
        "attestations": [key_attestation(each) for each in found.attestations],
        "credentials": [
            {
                "id": credential.id,
                "purpose": credential.purpose.value,
                "state": AUTHORITY_REVOKED if credential.id in revoked else credential.state.value,
                "revokedAuthority": revoked[credential.id].name if credential.id in revoked else None,
                "serialNumber": credential.serial_number,
                "notAfterDateTime": credential.not_after,
                "heldUntilDateTime": None if credential.id in revoked else credential.held_until,
                "endReason": credential.end_reason.value if credential.end_reason else None,
            }
            for credential in found.certificates
        ],
    }


def with_certificates(item: Mapping[str, Any], encoded: Iterable[bytes | None]) -> dict[str, Any]:
    """Show a derivation with its certificates themselves, in the order of its credentials; None: not signed yet."""
    shown = zip(item["credentials"], encoded, strict=True)
    return {**item, "credentials": [{**credential, "certificate": der} for credential, der in shown]}


def progress(shown: Progress) -> dict[str, Any]:
    """Show what a call has ended, and what is left."""
    return {
        "derivations": shown.derivations,
        "approvals": shown.approvals,
        "credentials": shown.credentials,
        "managedCertificates": shown.managed,
        "remaining": shown.remaining,
        "next": _cursor(shown.following),
    }


def _cursor(following: Place | None) -> str | None:
    if following is None:
        return None
    return f"{MANAGED}/{following.managed}" if following.managed else f"{DERIVATIONS}/{following.derivation}"
