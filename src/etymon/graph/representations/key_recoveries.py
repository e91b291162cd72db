# SPDX-License-Identifier: Apache-2.0
"""Escrowed keys, recoveries of them by two agents, and legal holds: resources of our own."""

import binascii
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from etymon.directory.model import Person
from etymon.escrow.model import EscrowedKey
from etymon.escrow.recovery_model import Authority, Choice, LegalHold, Notice, Order, RecoveredKey, Recovery
from etymon.graph.representations.body import Body, Text
from etymon.kernel.errors import Malformed

SerialNumber = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{1,40}$")]


class RecoveryBody(Body):
    """Whose keys are asked for, which of them, for whom, and on what authority."""

    user: Text
    keys: Literal["all", "current", "named"]
    serial_numbers: Annotated[list[SerialNumber], Field(max_length=100)] = Field(default_factory=list)
    requestor: Text
    authority: Literal["policy", "legalProcess"]
    reference: Text
    document_sha256: Annotated[str, Field(alias="documentSha256", max_length=64)] = ""
    reason: Text
    withhold_notice: bool = False

    def order(self, person: UUID) -> Order:
        """Return what is asked for; raises Malformed."""
        return Order(
            person=person,
            requestor=self.requestor,
            authority=Authority(self.authority),
            reference=self.reference,
            reason=self.reason,
            document_sha256=_digest(self.document_sha256) if self.document_sha256 else None,
            notice=Notice.WITHHELD if self.withhold_notice else Notice.TOLD,
        )

    def wanted(self) -> Choice | tuple[int, ...]:
        """Return which keys are asked for; raises Malformed."""
        if (self.keys == "named") != bool(self.serial_numbers):
            raise Malformed("malformed", "serialNumbers go with keys named, and keys named with serialNumbers.")
        return tuple(int(each, 16) for each in self.serial_numbers) if self.keys == "named" else Choice(self.keys)


class ReasonBody(Body):
    """Why something is refused or lifted."""

    reason: Text


class CauseBody(Body):
    """What was the cause of a recovery that was not successful."""

    cause: Text


class HalvesBody(Body):
    """Both halves of the password, from the agents."""

    password_halves: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=2)]


class LegalHoldBody(Body):
    """Whose keys are kept, and on what authority."""

    user: Text
    reference: Text
    reason: Text


def escrowed_key(shown: EscrowedKey) -> dict[str, Any]:
    """Show a key with its certificate; nothing of its private half is known here."""
    certificate = shown.certificate
    return {
        "@odata.type": "#etymon.graph.escrowedKey",
        "id": shown.id,
        "keyType": shown.key_type.value,
        "state": shown.state.value,
        "depositedDateTime": shown.deposited_at,
        "serialNumber": f"{certificate.serial_number:x}" if certificate else None,
        "notAfterDateTime": certificate.not_valid_after_utc if certificate else None,
    }


def recovery(shown: Recovery, owner: Person | None, keys: Iterable[EscrowedKey]) -> dict[str, Any]:
    """Show a recovery with its keys; of the password not even digests."""
    order, end, cause = shown.order, shown.end, shown.cause
    return {
        "@odata.type": "#etymon.graph.keyRecovery",
        "id": shown.id,
        "state": shown.state.value,
        "userId": order.person,
        "userPrincipalName": owner.user_principal_name if owner else None,
        "displayName": owner.display_name if owner else None,
        "requestor": order.requestor,
        "authority": order.authority.value,
        "reference": order.reference,
        "documentSha256": order.document_sha256.hex() if order.document_sha256 else None,
        "reason": order.reason,
        "noticeWithheld": order.notice is Notice.WITHHELD,
        "requestedBy": shown.requested_by,
        "requestedDateTime": shown.requested_at,
        "expiresDateTime": shown.expires_at,
        "approvals": [
            {"agent": approval.agent, "approvedDateTime": approval.approved_at}
            for approval in (shown.first, shown.second)
            if approval is not None
        ],
        "endedBy": end.by if end else None,
        "endedDateTime": end.at if end else None,
        "endReason": end.reason if end else None,
        "cause": cause.text if cause else None,
        "keys": [escrowed_key(key) for key in keys],
    }


def recovered(shown: Sequence[RecoveredKey]) -> dict[str, Any]:
    """Show what leaves escrow: this once."""
    return {
        "keys": [
            {
                "serialNumber": f"{each.key.certificate.serial_number:x}" if each.key.certificate else None,
                "pkcs12": each.package,
            }
            for each in shown
        ]
    }


def legal_hold(shown: LegalHold, owner: Person | None) -> dict[str, Any]:
    """Show a hold, lifted or not."""
    return {
        "@odata.type": "#etymon.graph.legalHold",
        "id": shown.id,
        "state": "live" if shown.lifted_at is None else "lifted",
        "userId": shown.person,
        "userPrincipalName": owner.user_principal_name if owner else None,
        "reference": shown.reference,
        "reason": shown.reason,
        "placedBy": shown.placed_by,
        "placedDateTime": shown.placed_at,
        "liftedBy": shown.lifted_by,
        "liftedDateTime": shown.lifted_at,
        "liftReason": shown.lift_reason or None,
    }


def _digest(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except (binascii.Error, ValueError) as exc:
        raise Malformed("malformed", "documentSha256 is 64 hexadecimal digits.") from exc
