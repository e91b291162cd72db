# SPDX-License-Identifier: Apache-2.0
"""Proof requests, card proofs with their evidence, and the browser sessions they open."""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from etymon.ca import refused_keys
from etymon.directory.model import Binding
from etymon.issuer.model import CardProof, Evidence
from etymon.issuer.tables import (
    card_proofs,
    derivations,
    proof_requests,
    requests,
    restorations,
    self_recoveries,
    sessions,
    status_evidence,
)
from etymon.pki.certificate import load_der, spki_sha256
from etymon.storage.database import Transaction
from etymon.storage.sessions import SessionTable
from etymon.web.certificate_proof import REQUEST_KEPT, ProofRequest, Redeemed

_PROVED_AT: Final = sa.select(card_proofs.c.proved_at).where(card_proofs.c.id == sa.bindparam("id"))
_PROVED_CARD: Final = sa.select(card_proofs.c.trust_entry, card_proofs.c.identifier).where(
    card_proofs.c.id == sa.bindparam("id")
)
"""Statements of every enrollment, built once; to build one takes longer than to run it."""


class ProvedCard(NamedTuple):
    """Which card was proved: what a binding is of."""

    trust_entry: str
    identifier: str


@dataclass(frozen=True, slots=True)
class ProofRequests:
    """The table behind `web.certificate_proof`, in one transaction."""

    tx: Transaction

    def add(self, request: ProofRequest) -> None:
        """Keep a request that is asked."""
        self.tx.execute(
            proof_requests.insert().values(
                id=request.id,
                purpose=request.purpose,
                state="asked",
                cookie_digest=request.cookie_digest,
                continue_at=request.continue_at,
                back_at=request.back_at,
                form_targets=list(request.form_targets),
                expires_at=request.expires_at,
            )
        )

    def find(self, request_id: UUID) -> ProofRequest | None:
        """Return a request that is not redeemed yet, late or not."""
        row = self.tx.execute(
            sa.select(*proof_requests.c).where(proof_requests.c.id == request_id, proof_requests.c.state != "redeemed")
        ).one_or_none()
        return None if row is None else _request(row)

    def accept(self, request_id: UUID, *, code_digest: bytes, code_expires_at: datetime, proof: CardProof) -> bool:
        """Move asked or proved → proved with this code and proof."""
        add_proof(self.tx, proof)
        done = self.tx.execute(
            proof_requests.update()
            .where(proof_requests.c.id == request_id, proof_requests.c.state.in_(("asked", "proved")))
            .values(state="proved", code_digest=code_digest, code_expires_at=code_expires_at, proof_id=proof.id)
        )
        return done.rowcount == 1

    def redeem(self, code_digest: bytes, cookie_digest: bytes, now: datetime) -> Redeemed[CardProof] | None:
        """Move proved → redeemed where code and cookie fit and the code is not over."""
        row = self.tx.execute(
            proof_requests.update()
            .where(
                proof_requests.c.code_digest == code_digest,
                proof_requests.c.cookie_digest == cookie_digest,
                proof_requests.c.state == "proved",
                proof_requests.c.code_expires_at > now,
            )
            .values(state="redeemed")
            .returning(*proof_requests.c)
        ).one_or_none()
        if row is None:
            return None
        proof = find_proof(self.tx, row.proof_id)
        return None if proof is None else Redeemed(_request(row), proof)


def kept(tx: Transaction) -> SessionTable:
    """Return the card sessions, in one transaction."""
    return SessionTable(tx, sessions)


def end_with(tx: Transaction, trust_entry: str, card: Binding | None, *, since: datetime, until: datetime) -> None:
    """Forget the sessions of people who proved, between two times, a card of an entry, or this card."""
    proved = sa.select(card_proofs.c.person_id).where(
        card_proofs.c.proved_at > since, card_proofs.c.trust_entry == trust_entry
    )
    if card is not None:
        proved = proved.where(card_proofs.c.identifier == card.identifier)
    tx.execute(sessions.delete().where(sessions.c.person_id.in_(proved), sessions.c.started_at <= until))


def add_proof(tx: Transaction, proof: CardProof) -> None:
    """Keep a proof and the status answers it stands on. The card's key is no other certificate's from now on."""
    refused_keys.note_card(tx, spki_sha256(load_der(proof.certificates[0])), proof.proved_at)
    tx.execute(
        card_proofs.insert().values(
            id=proof.id,
            person_id=proof.person,
            trust_entry=proof.trust_entry,
            identifier=proof.identifier,
            certificates=[base64.b64encode(der).decode("ascii") for der in proof.certificates],
            policies=sorted(proof.policies),
            proved_at=proof.proved_at,
        )
    )
    if proof.evidence:
        tx.execute(
            status_evidence.insert(),
            [
                {
                    "proof_id": proof.id,
                    "position": position,
                    "kind": item.kind,
                    "url": item.url,
                    "this_update": item.this_update,
                    "octets": item.octets,
                }
                for position, item in enumerate(proof.evidence)
            ],
        )


def find_proof(tx: Transaction, proof: UUID) -> CardProof | None:
    """Return a proof with its evidence."""
    row = tx.execute(sa.select(*card_proofs.c).where(card_proofs.c.id == proof)).one_or_none()
    if row is None:
        return None
    kept = tx.execute(
        sa.select(*status_evidence.c).where(status_evidence.c.proof_id == proof).order_by(status_evidence.c.position)
    )
    return CardProof(
        id=row.id,
        person=row.person_id,
        trust_entry=row.trust_entry,
        identifier=row.identifier,
        certificates=tuple(base64.b64decode(text) for text in row.certificates),
        policies=frozenset(row.policies),
        evidence=tuple(Evidence(item.kind, item.url, item.this_update, item.octets) for item in kept),
        proved_at=row.proved_at,
    )


def proofs_behind(tx: Transaction, person: UUID) -> tuple[UUID, ...]:
    """Return the proofs under which a person's derivations began, the newest first."""
    found = sa.select(card_proofs.c.id).join(derivations, derivations.c.proof_id == card_proofs.c.id)
    rows = tx.scalars(
        found.where(derivations.c.person_id == person).order_by(card_proofs.c.proved_at.desc(), card_proofs.c.id)
    )
    return tuple(dict.fromkeys(rows))


def proved_at(tx: Transaction, proof: UUID) -> datetime | None:
    """Return when a card was proved."""
    return tx.scalar(_PROVED_AT, {"id": proof})


def proved_card(tx: Transaction, proof: UUID) -> ProvedCard | None:
    """Return which card a proof is of, without the evidence."""
    row = tx.execute(_PROVED_CARD, {"id": proof}).one_or_none()
    return None if row is None else ProvedCard(*row)


def remove_what_is_over(tx: Transaction, now: datetime, *, proofs_before: datetime) -> int:
    """Remove sessions and requests that are over, and older proofs than `proofs_before` that nothing stands on."""
    removed = tx.execute(sessions.delete().where(sessions.c.ends_at <= now)).rowcount
    removed += tx.execute(proof_requests.delete().where(proof_requests.c.expires_at <= now - REQUEST_KEPT)).rowcount
    used = sa.exists().where(derivations.c.proof_id == card_proofs.c.id)
    asked = sa.exists().where(proof_requests.c.proof_id == card_proofs.c.id)
    requested = sa.exists().where(requests.c.proof_id == card_proofs.c.id)
    restored = sa.exists().where(restorations.c.proof_id == card_proofs.c.id)
    recovered = sa.exists().where(self_recoveries.c.proof_id == card_proofs.c.id)
    unused = (card_proofs.c.proved_at <= proofs_before, ~used, ~asked, ~requested, ~restored, ~recovered)
    removed += tx.execute(card_proofs.delete().where(*unused)).rowcount
    return removed


def _request(row: sa.Row[Any]) -> ProofRequest:
    return ProofRequest(
        id=row.id,
        purpose=row.purpose,
        cookie_digest=row.cookie_digest,
        continue_at=row.continue_at,
        back_at=row.back_at,
        form_targets=tuple(row.form_targets),
        expires_at=row.expires_at,
    )
