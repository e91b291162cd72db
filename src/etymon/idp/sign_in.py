# SPDX-License-Identifier: Apache-2.0
"""Signing in at a browser: from a certificate proof to a session, and from a session to what a token tells."""

from datetime import datetime
from uuid import UUID

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Outcome
from etymon.directory import bindings
from etymon.idp.dependencies import Dependencies
from etymon.idp.model import ProvenCertificate, SignIn
from etymon.idp.store import proofs
from etymon.idp.store import sessions as session_store
from etymon.kernel.errors import NotPermitted
from etymon.storage.database import Transaction
from etymon.web.sessions import Session, Sessions, Visit


def sessions(deps: Dependencies) -> Sessions:
    """Return the identity provider's browser sessions."""
    return Sessions("idp", deps.digest_key, deps.clock, deps.entropy)


def begin(tx: Transaction, deps: Dependencies, visit: Visit, proof_id: UUID, proof: ProvenCertificate) -> Visit:
    """Start a session of the person a certificate is bound to; the proof is used up.

    Raises NotPermitted `proof_not_valid`.
    """
    if proof.person is None or not proofs.use(tx, proof_id):
        raise NotPermitted("proof_not_valid", "This proof was used already. Sign in again.")
    facts = {
        "acr": proof.acr,
        "at": proof.validated_at.isoformat(),
        "trust_entry": proof.trust_entry,
        "identifier": proof.identifier,
        "proof": str(proof_id),
    }
    started = sessions(deps).sign_in(session_store.kept(tx), visit, person=proof.person, facts=facts)
    event = AuditEvent(
        "idp:session:started",
        f"person:{proof.person}",
        f"session:{started.session.id if started.session else proof_id}",
        Outcome.SUCCESS,
        {"acr": proof.acr, "trust_entry": proof.trust_entry},
    )
    trail.record(tx, deps.clock, deps.entropy, event)
    return started


def signed_in(tx: Transaction, visit: Visit) -> SignIn | None:
    """Return how the person at the browser signed in; None when nobody did, or the binding has ended since."""
    if visit.session is None:
        return None
    sign_in = _sign_in(visit.session)
    person = bindings.person_for(tx, sign_in.trust_entry, sign_in.identifier)
    return sign_in if person is not None and person.id == sign_in.person else None


def end(tx: Transaction, deps: Dependencies, visit: Visit) -> Visit:
    """End the session at this browser."""
    if visit.session is not None:
        event = AuditEvent("idp:session:ended", f"person:{visit.session.person}", f"session:{visit.session.id}")
        trail.record(tx, deps.clock, deps.entropy, event)
    return sessions(deps).sign_out(session_store.kept(tx), visit)


def _sign_in(session: Session) -> SignIn:
    facts = session.facts
    return SignIn(
        person=session.person,
        acr=facts["acr"],
        at=datetime.fromisoformat(facts["at"]),
        trust_entry=facts["trust_entry"],
        identifier=facts["identifier"],
        proof=UUID(facts["proof"]),
    )
