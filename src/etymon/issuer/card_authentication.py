# SPDX-License-Identifier: Apache-2.0
"""Card authentication (PKI-AUTH, FIPS 201-3 §6.2.3.1) by the issuer itself, with what was seen kept as evidence.

Nothing else opens a card session: no token, no session of another service, no derived credential.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import bindings, trust
from etymon.issuer import card_links, eligibility
from etymon.issuer.dependencies import SERVICE, Dependencies, record
from etymon.issuer.errors import card_not_bound, card_required
from etymon.issuer.model import CardProof, CardSession, Evidence
from etymon.issuer.store import card_sessions
from etymon.issuer.store.card_sessions import ProofRequests
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import NotPermitted
from etymon.pki import certificate as reading
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import ValidatedPath, validate
from etymon.pki.trust_entry import TrustKind
from etymon.storage.database import Transaction
from etymon.web.certificate_proof import CertificateProof, ProofStore
from etymon.web.sessions import Session, Sessions, Visit

PURPOSE: Final = "self-service"
"""What issuer proofs are made for; there is no other."""


def hand_off(deps: Dependencies) -> CertificateProof:
    """Return the way to certauth and back."""
    return CertificateProof(SERVICE, deps.site_url, deps.certauth_url, deps.digest_key, deps.clock, deps.entropy)


@contextmanager
def open_to_read(deps: Dependencies) -> Iterator[ProofStore[CardProof]]:
    """Open a reading transaction with the proof requests in it."""
    with deps.database.snapshot() as tx:
        yield ProofRequests(tx)


@contextmanager
def open_to_write(deps: Dependencies) -> Iterator[ProofStore[CardProof]]:
    """Open a transaction with the proof requests in it."""
    with deps.database.transaction() as tx:
        yield ProofRequests(tx)


def judge(deps: Dependencies, presented: bytes, purpose: str, source: str) -> CardProof:
    """Judge the certificate a browser showed: a card's, good now, and bound to an active person.

    Raises `NotTrusted` and `card_not_bound`; refusals are audited. May ask for revocation status: call it outside
    transactions.
    """
    if purpose != PURPOSE:
        raise NotPermitted("wrong_purpose", "This proof was asked for by something else. Start again.")
    subject = f"certificate:{hashlib.sha256(presented).hexdigest()}"
    with deps.refusals.noted("issuer:card:refused", actor=ANONYMOUS, subject=subject, source=source):
        return _judge(deps, presented)


def sign_in(
    tx: Transaction,
    deps: Dependencies,
    sessions: Sessions,
    visit: Visit,
    proof: CardProof,
    *,
    source: str,
    for_keys: bool = False,
) -> Visit:
    """Open a card session for what was proved; what the browser had before is over.

    `for_keys` says that the page of encryption keys asked for this proof.

    Raises `card_not_bound` where the card was taken from its person since.
    """
    eligibility.require_bound(tx, proof.id, proof.person)
    facts = {"proof": str(proof.id), "proved_at": proof.proved_at.isoformat(), "for_keys": "yes" if for_keys else ""}
    record(
        tx,
        deps,
        "card:authenticated",
        actor=f"person:{proof.person}",
        subject=proof.id,
        source=source,
        trust_entry=proof.trust_entry,
        policies=" ".join(sorted(proof.policies)),
    )
    card_links.presented(tx, deps, proof)
    return sessions.sign_in(card_sessions.kept(tx), visit, person=proof.person, facts=facts)


def sign_out(tx: Transaction, deps: Dependencies, sessions: Sessions, visit: Visit, *, source: str) -> Visit:
    """End the card session of a browser."""
    if visit.session is not None:
        person, session = f"person:{visit.session.person}", visit.session.id
        record(tx, deps, "card_session:ended", actor=person, subject=session, source=source)
    return sessions.sign_out(card_sessions.kept(tx), visit)


def card_session(session: Session | None) -> CardSession:
    """Return a browser's session as a card session; raises `card_required` where nobody proved a card."""
    if session is None:
        raise card_required()
    proved_at = datetime.fromisoformat(session.facts["proved_at"])
    return CardSession(
        session.id, session.person, UUID(session.facts["proof"]), proved_at, session.facts.get("for_keys") == "yes"
    )


def _judge(deps: Dependencies, presented: bytes) -> CardProof:
    leaf = reading.load(presented)
    with deps.database.snapshot() as tx:
        entries = trust.entries(tx)
    others = [entry for entry in entries if entry.kind is not TrustKind.CARD]
    refusal = NotTrusted("untrusted_root", "No smart cards are trusted here yet. Ask your administrator.")
    for entry in entries:
        if entry.kind is not TrustKind.CARD:
            continue
        try:
            path = validate(leaf, entry, at=deps.clock.now(), status=deps.status_of(entry), other_entries=others)
        except NotTrusted as exc:
            refusal = exc if refusal.code == "untrusted_root" else refusal  # the one that got furthest tells most
            continue
        return _proof(deps, path)
    raise refusal


def _proof(deps: Dependencies, path: ValidatedPath) -> CardProof:
    with deps.database.snapshot() as tx:
        person = bindings.person_for(tx, path.entry_name, path.identifier)
    if person is None or not person.active:
        raise card_not_bound()
    return CardProof(
        id=random_id(deps.entropy),
        person=person.id,
        trust_entry=path.entry_name,
        identifier=path.identifier,
        certificates=tuple(reading.to_der(certificate) for certificate in path.certificates),
        policies=frozenset(path.policies),
        evidence=tuple(Evidence(item.kind.value, item.url or "", item.this_update, item.der) for item in path.evidence),
        proved_at=path.validated_at,
    )
