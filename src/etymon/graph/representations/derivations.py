# SPDX-License-Identifier: Apache-2.0
"""Requests for approval, and what was derived for a person: resources of our own."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from etymon.directory.model import Person
from etymon.graph.representations.body import Body, Text, instant
from etymon.issuer.incidents import Progress
from etymon.issuer.model import Credential, Derivation, EndReason
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


class RefusalBody(Body):
    """Why a request is refused."""

    reason: Text


class EndBody(Body):
    """Why credentials end: as the revocation list says it, and in words."""

    reason: ReasonName
    comment: Text

    def order(self, officer: UUID, source: str) -> Order:
        """Return the officer's order."""
        return Order(officer, EndReason(self.reason), self.comment, source)


class EndAuthorizedBody(EndBody):
    """What a suspect authorised since a time: the rules of a name, or an officer by id or user principal name."""

    since: Annotated[str, Field(max_length=40)]
    rule: Text = ""
    officer: Text = ""

    def beginning(self) -> datetime:
        """Return the time; raises Malformed."""
        return instant(self.since, "since")


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


def derivation(shown: Derivation, certificates: Iterable[Credential]) -> dict[str, Any]:
    """Show a derivation with its certificates."""
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
        "credentials": [
            {
                "id": credential.id,
                "purpose": credential.purpose.value,
                "state": credential.state.value,
                "serialNumber": credential.serial_number,
                "notAfterDateTime": credential.not_after,
                "endReason": credential.end_reason.value if credential.end_reason else None,
            }
            for credential in certificates
        ],
    }


def progress(shown: Progress) -> dict[str, Any]:
    """Show what a call has ended, and what is left."""
    return {
        "derivations": shown.derivations,
        "approvals": shown.approvals,
        "credentials": shown.credentials,
        "managedCertificates": shown.managed,
        "remaining": shown.remaining,
    }
