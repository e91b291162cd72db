# SPDX-License-Identifier: Apache-2.0
"""Certificate proofs: asked, proved, redeemed by the browser that asked, used once for what they were made for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from etymon.idp.model import ProofState, ProvenCertificate
from etymon.idp.tables import proofs
from etymon.storage.database import Transaction
from etymon.web.certificate_proof import ProofRequest, Redeemed


@dataclass(frozen=True, slots=True)
class ProofTable:
    """The `web.certificate_proof.ProofStore` of one transaction; `browser` is who redeems."""

    tx: Transaction
    browser: str = ""

    def add(self, request: ProofRequest) -> None:
        """Keep a request that is asked."""
        self.tx.execute(
            proofs.insert().values(
                id=request.id,
                purpose=request.purpose,
                state=ProofState.ASKED.value,
                cookie_digest=request.cookie_digest,
                continue_at=request.continue_at,
                back_at=request.back_at,
                form_targets=list(request.form_targets),
                expires_at=request.expires_at,
            )
        )

    def find(self, request_id: UUID) -> ProofRequest | None:
        """Return a request that is not redeemed yet."""
        row = self.tx.execute(
            sa.select(proofs).where(proofs.c.id == request_id, proofs.c.state.in_(OPEN))
        ).one_or_none()
        return None if row is None else _request(row)

    def accept(
        self, request_id: UUID, *, code_digest: bytes, code_expires_at: datetime, proof: ProvenCertificate
    ) -> bool:
        """Move asked or proved → proved with this code and proof; False when it is redeemed."""
        moved = self.tx.execute(
            proofs.update()
            .where(proofs.c.id == request_id, proofs.c.state.in_(OPEN))
            .values(
                state=ProofState.PROVED.value,
                code_digest=code_digest,
                code_expires_at=code_expires_at,
                acr=proof.acr,
                trust_entry=proof.trust_entry,
                identifier=proof.identifier,
                person_id=proof.person,
                validated_at=proof.validated_at,
                evidence=dict(proof.evidence),
            )
        )
        return moved.rowcount == 1

    def redeem(self, code_digest: bytes, cookie_digest: bytes, now: datetime) -> Redeemed[ProvenCertificate] | None:
        """Move proved → redeemed where code and cookie fit and the code is not late."""
        row = self.tx.execute(
            proofs.update()
            .where(
                proofs.c.code_digest == code_digest,
                proofs.c.cookie_digest == cookie_digest,
                proofs.c.state == ProofState.PROVED.value,
                proofs.c.code_expires_at > now,
            )
            .values(state=ProofState.REDEEMED.value, redeemed_by=self.browser, redeemed_at=now)
            .returning(*proofs.c)
        ).one_or_none()
        return None if row is None else Redeemed(_request(row), _proof(row))


OPEN = (ProofState.ASKED.value, ProofState.PROVED.value)


def held(tx: Transaction, proof_id: UUID, *, browser: str, purpose: str, since: datetime) -> ProvenCertificate | None:
    """Return a proof this browser redeemed for `purpose` after `since` and has not used yet."""
    row = tx.execute(
        sa.select(proofs).where(
            proofs.c.id == proof_id,
            proofs.c.state == ProofState.REDEEMED.value,
            proofs.c.redeemed_by == browser,
            proofs.c.purpose == purpose,
            proofs.c.redeemed_at > since,
        )
    ).one_or_none()
    return None if row is None else _proof(row)


def use(tx: Transaction, proof_id: UUID) -> bool:
    """Move redeemed → used; False when somebody was faster."""
    moved = tx.execute(
        proofs.update()
        .where(proofs.c.id == proof_id, proofs.c.state == ProofState.REDEEMED.value)
        .values(state=ProofState.USED.value)
    )
    return moved.rowcount == 1


def _request(row: sa.Row[Any]) -> ProofRequest:
    return ProofRequest(
        row.id,
        row.purpose,
        row.cookie_digest,
        row.continue_at,
        row.back_at,
        tuple(row.form_targets),
        row.expires_at,
    )


def _proof(row: sa.Row[Any]) -> ProvenCertificate:
    return ProvenCertificate(
        row.acr, row.trust_entry, row.identifier, row.person_id, row.validated_at, dict(row.evidence)
    )
