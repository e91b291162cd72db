# SPDX-License-Identifier: Apache-2.0
"""PKIOperation: a message is verified, opened, granted or refused, and answered by another one (RFC 8894 §3).

What cannot be understood gets no answer of SCEP's; what is refused gets a signed one that says why. Both are recorded.
The time that a client may have signed along does not matter: challenges and certificates have times of their own.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from etymon.audit.refusals import ANONYMOUS, REFUSED
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.scep import connectors, enrollment, errors, registration_authority, retrieval
from etymon.issuer.scep.answer import Answer, failure, pending, success
from etymon.issuer.scep.enrollment import Pending
from etymon.issuer.scep.model import Connector
from etymon.issuer.scep.planning import EnrollmentRequest, Sender
from etymon.pki import csr, envelope, message_algorithms
from etymon.pki.certificate import to_der
from etymon.pki.message_algorithms import BlockCipher, Permitted
from etymon.wire import cms, scep, scep_message
from etymon.wire.pkcs10 import CertificationRequest
from etymon.wire.scep import MessageType
from etymon.wire.scep_message import PKIMessage

log = structlog.get_logger("etymon.issuer")

REFUSED_EVENT: Final = "issuer:scep_request:refused"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A message whose signature was verified, and what was in its envelope."""

    message: PKIMessage
    sender: Sender
    content: bytes
    cipher: BlockCipher


def answer(deps: Dependencies, connector_name: str, message: bytes, *, source: str) -> bytes:
    """Return the answer to a message as bytes.

    A message that cannot be answered as SCEP raises `Malformed`; `Unavailable` is for HTTP too: nothing was decided.
    """
    with deps.database.snapshot() as tx:
        connector = connectors.load(tx, connector_name)
    subject = f"scep_connector:{connector.name}"
    noted = deps.refusals.noted
    with noted(REFUSED_EVENT, actor=ANONYMOUS, subject=subject, source=source):
        with deps.database.snapshot() as tx:
            in_force = registration_authority.in_force(tx, deps)
        read = scep_message.decode(message)
    registrars = [each.registrar for each in in_force]
    answering = Answer(deps, registrars[0], read)
    try:
        with noted(REFUSED_EVENT, actor=ANONYMOUS, subject=subject, source=source):
            sender = _verified(read, connector.permitted)
            content, cipher = envelope.opened(read.content, registrars, connector.permitted, deps.entropy)
            opened = _Opened(read, sender, content, cipher)
            granted = _granted(deps, connector, in_force[0].authority, opened, source=source)
    except Pending:
        return pending(answering)
    except REFUSED as refusal:
        log.info("scep_refused", connector=connector.name, code=refusal.code)
        return failure(answering, refusal)
    return success(answering, granted, sender, cipher)


def _verified(read: PKIMessage, permitted: Permitted) -> Sender:
    """Return whoever signed the message, if it is whole and the algorithms are in use here."""
    hash_function = message_algorithms.signature_hash(read.algorithm, read.digest, permitted)
    key = message_algorithms.rsa_key(read.signer.public_key)
    if not read.is_whole or not message_algorithms.is_signature(key, read.signature, read.signed, hash_function):
        raise errors.signature_wrong()
    return Sender(read.signer, key)


def _granted(deps: Dependencies, connector: Connector, authority: str, opened: _Opened, *, source: str) -> bytes:
    """Do what the message asks for, and return what goes back in an envelope."""
    kind = opened.message.attributes.message_type
    match kind:
        case MessageType.PKCS_REQ | MessageType.RENEWAL_REQ:
            request = _request(connector, authority, opened)
            issued = enrollment.enroll(
                deps, request, opened.sender, is_renewal=kind == MessageType.RENEWAL_REQ, source=source
            )
        case MessageType.CERT_POLL:
            scep.decode_issuer_and_subject(opened.content)
            issued = enrollment.poll(deps, connector, opened.sender, opened.message.attributes.transaction_id)
        case MessageType.GET_CERT:
            asked = scep.decode_certificate_identity(opened.content)
            return cms.encode_certificates([retrieval.certificate(deps, connector, opened.sender, asked)])
        case MessageType.GET_CRL:
            asked = scep.decode_certificate_identity(opened.content)
            return cms.encode_certificates([], revocation_list=retrieval.revocation_list(deps, asked))
        case _:
            raise errors.message_type_unknown()
    return cms.encode_certificates([to_der(issued.certificate)])  # alone: clients take the first for theirs


def _request(connector: Connector, authority: str, opened: _Opened) -> EnrollmentRequest:
    proven, asked = csr.verify_rsa_proof(opened.content, connector.permitted)
    return EnrollmentRequest(
        connector=connector,
        authority=authority,
        transaction_id=opened.message.attributes.transaction_id,
        proven=proven,
        asked=asked,
        old_algorithms=_old_algorithms(opened, asked),
    )


def _old_algorithms(opened: _Opened, asked: CertificationRequest) -> str:
    used = (
        opened.message.digest,
        opened.cipher.oid,
        message_algorithms.SIGNATURE_DIGESTS.get(asked.algorithm, ""),
    )
    return " ".join(sorted({oid for oid in used if message_algorithms.is_old(oid)}))
