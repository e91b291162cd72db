# SPDX-License-Identifier: Apache-2.0
"""What a participant's card signs before a ceremony, and how that is judged: the card's own key, over this script."""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from etymon.card.external_key import ExternalKey, sign, usual_scheme
from etymon.kernel.errors import Malformed, NotPermitted
from etymon.pki.algorithms import default_signature_algorithm, key_type
from etymon.pki.certificate import load, public_key, to_der
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import ValidatedPath, validate
from etymon.pki.signer import verify
from etymon.pki.status import StatusSource
from etymon.pki.trust_entry import TrustEntry, TrustKind
from etymon.server.key_ceremony.script import Participant, Script, canonical

STATEMENT: Final = "I have read the script of this key ceremony and take part in it."
CONFIRMED_WITHIN: Final = timedelta(hours=12)
"""A ceremony is performed on the day it is confirmed."""
CLOCK_TOLERANCE: Final = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A statement and the signature of a card's authentication key over it."""

    statement: Mapping[str, Any]
    certificate: x509.Certificate
    signature: bytes

    def to_document(self) -> dict[str, Any]:
        """Return the confirmation as JSON values."""
        return {
            "statement": dict(self.statement),
            "certificate": base64.b64encode(to_der(self.certificate)).decode("ascii"),
            "signature": base64.b64encode(self.signature).decode("ascii"),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Confirmation":
        """Return the confirmation that `to_document` wrote; `Malformed` `ceremony_confirmation` otherwise."""
        try:
            return cls(
                dict(document["statement"]),
                load(base64.b64decode(document["certificate"], validate=True)),
                base64.b64decode(document["signature"], validate=True),
            )
        except (KeyError, ValueError, TypeError) as exc:
            raise Malformed("ceremony_confirmation", "This is no confirmation of a key ceremony.") from exc


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A participant whose card confirmed, and what the card's path showed."""

    participant: Participant
    confirmation: Confirmation
    path: ValidatedPath


def statement(script: Script, now: datetime) -> dict[str, Any]:
    """Return what a card signs, in its canonical form."""
    return {
        "statement": STATEMENT,
        "ceremony": str(script.id),
        "script_sha256": script.sha256,
        "confirmed_at": now.replace(microsecond=0).isoformat(),
    }


def confirm(script: Script, certificate: x509.Certificate, key: ExternalKey, now: datetime) -> Confirmation:
    """Return the confirmation of a card that takes part; `NotPermitted` `card_not_named` for another."""
    participant_of(script, certificate)
    said = statement(script, now)
    return Confirmation(said, certificate, sign(key, canonical(said), usual_scheme(key.public_key)))


def participant_of(script: Script, certificate: x509.Certificate) -> Participant:
    """Return whose card it is."""
    for participant in script.participants:
        if participant.certificate == certificate:
            return participant
    raise NotPermitted("card_not_named", "This card is not one of those that the script names.")


def require_genuine(script: Script, confirmation: Confirmation) -> Participant:
    """Return who confirmed this script; raise unless the card of one who takes part signed it."""
    participant = participant_of(script, confirmation.certificate)
    said, key = confirmation.statement, public_key(confirmation.certificate)
    try:
        verify(key, default_signature_algorithm(key_type(key)), confirmation.signature, canonical(said))
    except InvalidSignature as exc:
        raise NotPermitted("confirmation_forged", "The card did not sign this confirmation.") from exc
    if said.get("script_sha256") != script.sha256 or said.get("statement") != STATEMENT:
        raise NotPermitted("confirmation_of_another", "The confirmation is of another script. Confirm this one.")
    return participant


def judge(
    script: Script,
    confirmations: Sequence[Confirmation],
    entries: Collection[TrustEntry],
    status_of: Callable[[TrustEntry], StatusSource],
    now: datetime,
) -> tuple[Confirmed, ...]:
    """Return all participants, each proved by a card that is good now; raise for anybody who is not.

    `NotPermitted` `not_confirmed`, `confirmation_too_old`, `confirmation_forged`, `confirmation_of_another`,
    `card_not_named`, `two_people_needed`; `NotTrusted` for a card. May ask for revocation status over the network.
    """
    by_card = {require_genuine(script, each).card_sha256: each for each in confirmations}
    proved = []
    for participant in script.participants:
        given = by_card.get(participant.card_sha256)
        if given is None:
            who = participant.display_name
            raise NotPermitted("not_confirmed", f"{who} has not confirmed. Nobody performs a key ceremony alone.")
        _require_fresh(given, now)
        proved.append(Confirmed(participant, given, _path(participant.certificate, entries, status_of, now)))
    if len({(each.path.entry_name, each.path.identifier) for each in proved}) < len(proved):
        raise NotPermitted("two_people_needed", "These are two certificates of one card. Two people are needed.")
    return tuple(proved)


def _require_fresh(confirmation: Confirmation, now: datetime) -> None:
    try:
        age = now - datetime.fromisoformat(str(confirmation.statement["confirmed_at"]))
    except (KeyError, ValueError, TypeError) as exc:
        raise Malformed("ceremony_confirmation", "The confirmation does not say when it was given.") from exc
    if not -CLOCK_TOLERANCE <= age <= CONFIRMED_WITHIN:
        raise NotPermitted("confirmation_too_old", "The confirmation is not of today. Confirm the script again.")


def _path(
    certificate: x509.Certificate,
    entries: Collection[TrustEntry],
    status_of: Callable[[TrustEntry], StatusSource],
    now: datetime,
) -> ValidatedPath:
    refusal = NotTrusted("untrusted_root", "No card issuer is trusted by this script.")
    for entry in entries:
        if entry.kind is TrustKind.CARD:
            others = [other for other in entries if other is not entry and other.kind is not TrustKind.CARD]
            try:
                return validate(certificate, entry, at=now, status=status_of(entry), other_entries=others)
            except NotTrusted as exc:
                refusal = exc if refusal.code == "untrusted_root" else refusal
    raise refusal
