# SPDX-License-Identifier: Apache-2.0
"""Key history: a phone with a new credential gets its person's other encryption keys (SP 800-157 App. A; KRP 4.2).

The person recovers their own keys, which takes no second one: the derived authentication credential in force stands for
them, and for the card session that confirmed this phone, whose card is no new one. It opens the history for one
request, and where the rule says so only to a transport key that is proved to be in the phone's hardware.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.audit import refusals
from etymon.escrow import history
from etymon.escrow.model import EscrowedKey
from etymon.issuer import derived_credential, eligibility, errors, escrowed_key, recovery_wait
from etymon.issuer.attestation import challenges, judging
from etymon.issuer.attestation.judging import Judged
from etymon.issuer.attestation.model import KeyUse
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import Credential, IssuanceRule, Purpose
from etymon.issuer.store import credentials, derivations, key_histories
from etymon.kernel.errors import EtymonError, Malformed
from etymon.pki import csr
from etymon.pki.algorithms import PublicKey
from etymon.storage.database import Transaction
from etymon.web.peer_certificate import PeerCertificate
from etymon.wire import est

REFUSAL: Final = "issuer:key_history:refused"
REASON: Final = "key history of a phone"
MOST_TOLD: Final = 20
"""Refusals of one certificate in an hour that are told: a found phone is no way to fill a mailbox."""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """What a phone sends: the keys it wants and, as PKCS #10, the transport key that carries them."""

    keys: tuple[UUID, ...]
    transport_request: bytes

    def __post_init__(self) -> None:
        if not 0 < len(set(self.keys)) == len(self.keys) <= history.LIMIT:
            raise Malformed("malformed", f"keys lists 1 to {history.LIMIT} different keys.")

    @property
    def digest(self) -> bytes:
        """What tells the same request from another one."""
        return hashlib.sha256(b"".join(key.bytes for key in self.keys) + self.transport_request).digest()


@dataclass(frozen=True, slots=True)
class Listed:
    """The keys a person can have on a phone, newest first; `not_before` says from when on, where that is to come."""

    keys: tuple[EscrowedKey, ...]
    not_before: datetime | None = None


def listed(deps: Dependencies, peer: PeerCertificate | None, *, source: str) -> Listed:
    """Return the keys the person of a derived credential can have on this phone, but for its own.

    Nothing leaves escrow. Raises what `derived_credential.judge` and eligibility refuse, `key_history_off`, and
    `card_not_bound` where the card was ended before it had stood for long.
    """
    asking = derived_credential.judge(deps, peer, source=source, refused_as=REFUSAL)
    with _noted(deps, asking, source), deps.database.snapshot() as tx:
        _require_allowed(tx, asking)
        over_at = recovery_wait.over_at(tx, derivations.proof_of(tx, asking.derivation), asking.person)
        keys = history.listed(tx, asking.person, but=_own(tx, asking))
    return Listed(keys, over_at if deps.clock.now() < over_at else None)


def release(
    deps: Dependencies, request: HistoryRequest, peer: PeerCertificate | None, *, source: str
) -> tuple[tuple[EscrowedKey, bytes], ...]:
    """Return the keys a phone asks for, each in CMS for its transport key; the same again for the same request.

    Raises what `derived_credential.judge` and eligibility refuse, `key_history_off`, `already_rekeyed` for a credential
    that was replaced, `recovery_too_early` while the card or the addresses are new, `card_not_bound` where the card was
    ended before it had stood for long, `key_history_used` for another request than the first, where the rule requires
    attestation what the transport key lacks, what escrow refuses, and `Unavailable` while escrow cannot open keys: then
    the same request is sent again. The owners of the keys are told of each attempt with a certificate of ours, one that
    ended too; of those that were refused, the first `MOST_TOLD` of a certificate in an hour.
    """
    with _told(deps, request, peer, source):
        asking = derived_credential.judge(deps, peer, source=source, refused_as=REFUSAL)
        with _noted(deps, asking, source):
            return _release(deps, request, asking, source)


def _release(
    deps: Dependencies, request: HistoryRequest, asking: Credential, source: str
) -> tuple[tuple[EscrowedKey, bytes], ...]:
    actor = f"person:{asking.person}"
    proven = csr.verify_proof_of_possession(request.transport_request)
    transport = escrowed_key.transport_key(proven)
    judged = _judged(deps, asking, transport, est.attestation(proven.der))
    with deps.database.transaction() as tx:
        _use(tx, deps, asking, request, judged)
        released = history.release(
            tx,
            deps.escrow,
            request.keys,
            transport,
            owner=asking.person,
            reason=REASON,
            actor=actor,
            source=source,
        )
        record(tx, deps, "key_history:released", actor=actor, subject=asking.id, source=source, keys=len(released))
    return history.opened(deps.escrow, released, transport, reason=REASON, actor=actor, source=source)


def _judged(deps: Dependencies, asking: Credential, key: PublicKey, chain: tuple[bytes, ...] | None) -> Judged:
    taken = challenges.taken(deps, asking, Purpose.ENCRYPTION, KeyUse.KEY_HISTORY)
    found = judging.judge(deps, Purpose.ENCRYPTION, key, chain, challenges=taken)
    return replace(found, use=KeyUse.KEY_HISTORY)


def _use(tx: Transaction, deps: Dependencies, asking: Credential, request: HistoryRequest, judged: Judged) -> None:
    """Use the one request of a credential that is still in force, in the transaction of what it opens."""
    derivations.lock(tx, asking.derivation)
    present = derived_credential.in_force(tx, asking.thumbprint or b"")
    if credentials.replacement_of(tx, present.id) is not None:
        raise errors.already_rekeyed()
    rule = _require_allowed(tx, present)
    again = key_histories.is_taken(tx, present.id)
    proof = derivations.proof_of(tx, present.derivation)
    recovery_wait.require_over(tx, deps.clock, proof, present.person, again=again)
    accept = judging.accept_again if again else judging.accept
    if not key_histories.take(tx, present.id, request.digest, deps.clock.now()):
        raise errors.key_history_used()
    accept(tx, deps, judged, rule, present.derivation, actor=f"person:{present.person}")


def _require_allowed(tx: Transaction, asking: Credential) -> IssuanceRule:
    rule = eligibility.applicant(tx, asking.person).rule
    if not rule.key_history or Purpose.ENCRYPTION not in rule.purposes:
        raise errors.key_history_off()
    return rule


def _own(tx: Transaction, asking: Credential) -> frozenset[UUID]:
    """Return the keys that came to this phone with their certificates."""
    held = credentials.chain(tx, asking.derivation, Purpose.ENCRYPTION)
    return frozenset(credential.escrowed_key for credential in held if credential.escrowed_key is not None)


@contextmanager
def _told(deps: Dependencies, request: HistoryRequest, peer: PeerCertificate | None, source: str) -> Iterator[None]:
    """Have the owners of keys told that they were asked for in vain, whichever certificate of ours asked."""
    try:
        yield
    except EtymonError as refusal:
        shown = _shown(deps, peer)
        if shown is not None and _number_of_refusals(deps, shown) <= MOST_TOLD:
            actor = f"person:{shown.person}"
            history.refused(deps.escrow, request.keys, refusal, reason=REASON, actor=actor, source=source)
        raise


def _shown(deps: Dependencies, peer: PeerCertificate | None) -> Credential | None:
    """Return the credential that the TLS peer showed, if it is one of ours, in force or not, of whichever purpose."""
    if peer is None:
        return None
    with deps.database.snapshot() as tx:
        return credentials.by_thumbprint(tx, hashlib.sha256(peer.der).digest())


def _number_of_refusals(deps: Dependencies, shown: Credential) -> int:
    return deps.refusals.counters.increase(f"{REFUSAL} told {shown.id}", refusals.WINDOW, 1).number


@contextmanager
def _noted(deps: Dependencies, asking: Credential, source: str) -> Iterator[None]:
    with deps.refusals.noted(REFUSAL, actor=f"person:{asking.person}", subject=str(asking.id), source=source):
        yield
