# SPDX-License-Identifier: Apache-2.0
"""The OCSP responder: answers signed now, from the database, with a delegated key (RFC 6960, RFC 9654)."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from cryptography import x509

from etymon.ca import issuance, responder, store
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import CertificateState
from etymon.pki.certificate import spki, to_der
from etymon.storage.database import Transaction
from etymon.wire import der
from etymon.wire.ocsp import (
    CertificateID,
    PlainStatus,
    Revoked,
    SingleAnswer,
    decode_request,
    encode_response,
    encode_tbs,
)

ANSWER_LIFETIME: Final = timedelta(hours=1)
"""How long an answer may be kept; far below the 48 hours of a CRL (CP 4.9.9 asks for data at least as fresh)."""

_HASHES: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "1.3.14.3.2.26": hashlib.sha1,
    "2.16.840.1.101.3.4.2.1": hashlib.sha256,
    "2.16.840.1.101.3.4.2.2": hashlib.sha384,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
}
"""Hashes a CertID may use; a request is answered under its own (SHA-1 names certificates here, it protects nothing)."""


def answer(deps: Dependencies, ca: str, request: bytes) -> bytes:
    """Return the signed answer of an authority's responder to a DER request.

    What was issued is good or revoked; everything else, another issuer's certificate included, is unknown. Raises
    `DecodeError` for a malformed request, `NotFound` for an unknown authority, `Unavailable` without a responder.
    """
    asked = decode_request(request)
    with deps.database.snapshot() as tx:
        authority = issuance.find_authority(tx, ca)
        who = responder.current(tx, deps, ca)
        answers = [
            SingleAnswer(certificate, _status(tx, ca, authority.certificate, certificate))
            for certificate in asked.certificates
        ]
    now = deps.clock.now().replace(microsecond=0)
    tbs = encode_tbs(
        hashlib.sha1(_key_bits(who.certificate), usedforsecurity=False).digest(),
        now,
        now + ANSWER_LIFETIME,
        answers,
        asked.nonce,
    )
    signature = who.signer.sign(tbs)  # not verified here: whoever asked does, and nothing is kept
    return encode_response(tbs, who.signer.algorithm.identifier(), signature, [to_der(who.certificate)])


def _status(tx: Transaction, ca: str, issuer: x509.Certificate, certificate: CertificateID) -> Revoked | PlainStatus:
    hashed = _HASHES.get(certificate.hash_algorithm)
    if (
        hashed is None
        or certificate.serial <= 0
        or certificate.issuer_name_hash != hashed(issuer.subject.public_bytes()).digest()
        or certificate.issuer_key_hash != hashed(_key_bits(issuer)).digest()
    ):
        return PlainStatus.UNKNOWN
    record = store.find_by_serial(tx, ca, certificate.serial)
    if record is not None and record.state is CertificateState.ISSUED:
        return PlainStatus.GOOD
    if record is not None and record.revoked_at is not None:
        return Revoked(record.revoked_at, int(record.reason or 0))
    return PlainStatus.UNKNOWN


def _key_bits(certificate: x509.Certificate) -> bytes:
    """Return the subjectPublicKey's bits, without tag, length and count of unused bits."""
    return der.elements(der.only(spki(certificate.public_key()), der.SEQUENCE).content)[1].content[1:]  # type: ignore[arg-type]  # authorities and responders have RSA or EC keys
