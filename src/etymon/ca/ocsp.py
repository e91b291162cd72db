# SPDX-License-Identifier: Apache-2.0
"""The OCSP responder (RFC 6960, RFC 5019, RFC 9654): answers signed with a delegated key, and kept while they are good.

An answer is signed when a certificate is first asked about and kept in the database for whoever asks next, until half
of its life is over. Signing beforehand for a million certificates of which few are asked about would cost a million
signatures an hour. A change of status forgets what is kept in its own transaction. Who sends a nonce gets an answer of
their own.
"""

import enum
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from cryptography import x509

from etymon.ca import responder, status_store
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import CERTIFICATE_HOLD, CertificateState
from etymon.ca.responder import Responder
from etymon.kernel.errors import Unavailable
from etymon.pki.certificate import spki
from etymon.wire import der
from etymon.wire.ocsp import (
    CertificateID,
    PlainStatus,
    Revoked,
    SingleAnswer,
    decode_request,
    encode_response,
    encode_tbs,
    is_canonical,
)

ANSWER_LIFETIME: Final = timedelta(hours=1)
"""How long an answer may be kept; far below the 48 hours of a CRL (CP 4.9.9 asks for data at least as fresh)."""

KEPT_FOR: Final = ANSWER_LIFETIME / 2
"""A kept answer that is older is signed anew: whoever gets one may use it for half an hour at least."""

FORGOTTEN_AT_A_TIME: Final = 1000

_SHA1: Final = "1.3.14.3.2.26"
_SHA256: Final = "2.16.840.1.101.3.4.2.1"
_HASHES: Final[Mapping[str, Callable[[bytes], Any]]] = {
    _SHA1: hashlib.sha1,
    _SHA256: hashlib.sha256,
    "2.16.840.1.101.3.4.2.2": hashlib.sha384,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
}
"""Hashes a CertID may use; a request is answered under its own (SHA-1 names certificates here, it protects nothing)."""

_KEPT_HASHES: Final = frozenset({_SHA1, _SHA256})
"""Under which hashes answers are kept: with absent and NULL parameters, four to a certificate at most."""


class AnswerKind(enum.StrEnum):
    """How an answer came about."""

    KEPT = "kept"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Answer:
    """A signed answer. `cacheable` unless it carries a nonce, or does not know a certificate that may yet be issued."""

    der: bytes
    kind: AnswerKind
    produced_at: datetime
    next_update: datetime
    cacheable: bool


def answer(deps: Dependencies, ca: str, request: bytes) -> Answer:
    """Return the answer of an authority's responder to a DER request.

    What was issued is good or revoked; everything else, another issuer's certificate included, is unknown. Raises
    `DecodeError` for a malformed request, `NotFound` for an unknown authority, `Unavailable` without a responder.
    """
    asked = decode_request(request)
    nonce = asked.nonce if deps.ocsp_nonces else None
    alone = asked.certificates[0] if len(asked.certificates) == 1 and nonce is None else None
    keepable = alone is not None and alone.hash_algorithm in _KEPT_HASHES and is_canonical(alone)
    now = deps.clock.now().replace(microsecond=0)
    with deps.database.snapshot() as tx:
        if keepable and alone is not None:
            kept = status_store.kept_answer(tx, ca, alone.encoded)
            if kept is not None and kept.produced_at <= now < kept.produced_at + KEPT_FOR:
                return Answer(kept.der, AnswerKind.KEPT, kept.produced_at, kept.next_update, cacheable=True)
        who = responder.current(tx, deps, ca, asked.certificates[0].serial)
        records = [who.asked, *(status_store.status(tx, ca, further.serial) for further in asked.certificates[1:])]
    answers = [
        SingleAnswer(certificate, _status(record if _is_of(certificate, who.issuer_der) else None))
        for certificate, record in zip(asked.certificates, records, strict=True)
    ]
    signed = _signed(who, answers, nonce, now)
    known = all(single.status is not PlainStatus.UNKNOWN for single in answers)
    if keepable and alone is not None and known and records[0] is not None:
        _keep(deps, ca, alone, records[0], signed, now)
    return Answer(signed, AnswerKind.SIGNED, now, now + ANSWER_LIFETIME, cacheable=known and nonce is None)


def forget_old(deps: Dependencies, *, at_a_time: int = FORGOTTEN_AT_A_TIME) -> int:
    """Forget kept answers that are over, some at a time; return how many. A worker does it every minute."""
    forgotten = 0
    while True:
        with deps.database.transaction() as tx:
            count = status_store.forget_old_answers(tx, deps.clock.now(), at_a_time)
        forgotten += count
        if count < at_a_time:
            return forgotten


def _keep(deps: Dependencies, ca: str, asked: CertificateID, record: sa.Row[Any], signed: bytes, now: datetime) -> None:
    try:
        with deps.database.transaction() as tx:
            status_store.keep_answer(tx, ca, asked.encoded, record, signed, times=(now, now + ANSWER_LIFETIME))
    except Unavailable:
        return  # the answer stands without being kept; the next one is signed again


def _signed(who: Responder, answers: list[SingleAnswer], nonce: bytes | None, now: datetime) -> bytes:
    tbs = encode_tbs(_key_hash(who.der), now, now + ANSWER_LIFETIME, answers, nonce)
    signature = who.signer.sign(tbs)  # not verified here: whoever asked does
    return encode_response(tbs, who.signer.algorithm.identifier(), signature, [who.der])


def _is_of(certificate: CertificateID, issuer_der: bytes) -> bool:
    names = _issuer_hashes(issuer_der, certificate.hash_algorithm)
    return names == (certificate.issuer_name_hash, certificate.issuer_key_hash)


def _status(record: sa.Row[Any] | None) -> Revoked | PlainStatus:
    if record is None:
        return PlainStatus.UNKNOWN
    match CertificateState(record.state):
        case CertificateState.ISSUED:
            return PlainStatus.GOOD
        case CertificateState.HELD:
            return Revoked(record.revoked_at, CERTIFICATE_HOLD)
        case CertificateState.REVOKED:
            return Revoked(record.revoked_at, record.reason)
        case CertificateState.PLANNED | CertificateState.ABANDONED:
            return PlainStatus.UNKNOWN


@lru_cache(maxsize=256)
def _issuer_hashes(issuer_der: bytes, algorithm: str) -> tuple[bytes, bytes] | None:
    """Return the hashes of an issuer's name and key, None under a hash that is not used here."""
    hashed = _HASHES.get(algorithm)
    if hashed is None:
        return None
    issuer = x509.load_der_x509_certificate(issuer_der)
    return hashed(issuer.subject.public_bytes()).digest(), hashed(_key_bits(issuer)).digest()


@lru_cache(maxsize=256)
def _key_hash(certificate_der: bytes) -> bytes:
    """Return the SHA-1 of a certificate's key bits, by which a responder names itself."""
    return hashlib.sha1(_key_bits(x509.load_der_x509_certificate(certificate_der)), usedforsecurity=False).digest()


def _key_bits(certificate: x509.Certificate) -> bytes:
    """Return the subjectPublicKey's bits, without tag, length and count of unused bits."""
    return der.elements(der.only(spki(certificate.public_key()), der.SEQUENCE).content)[1].content[1:]  # type: ignore[arg-type]  # authorities and responders have RSA or EC keys
