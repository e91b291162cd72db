# SPDX-License-Identifier: Apache-2.0
"""CertRep: what a SCEP client is told, signed by the registration authority (RFC 8894 §3.3.2).

It follows the request: the same cipher, and the same hash function where that is SHA-256 or more. Nothing is ever
signed with SHA-1, nor enveloped with what the connector would not take.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from etymon.issuer.dependencies import Dependencies
from etymon.issuer.scep.planning import Sender
from etymon.kernel.errors import DecodeError, EtymonError
from etymon.pki import envelope, message_algorithms
from etymon.pki.certificate import to_der
from etymon.pki.envelope import Registrar
from etymon.pki.message_algorithms import SHA256, BlockCipher, Permitted
from etymon.wire import der, scep_message
from etymon.wire.scep import FailInfo, MessageType, PKIStatus
from etymon.wire.scep_message import Attributes, PKIMessage

NONCE_OCTETS: Final = 16

FAIL_INFO: Final[Mapping[str, FailInfo]] = {
    "algorithm_not_allowed": FailInfo.BAD_ALG,
    "weak_key": FailInfo.BAD_ALG,
    "compromised_key": FailInfo.BAD_ALG,
    "key_type_not_allowed": FailInfo.BAD_ALG,
    "message_signature_wrong": FailInfo.BAD_MESSAGE_CHECK,
    "message_not_opened": FailInfo.BAD_MESSAGE_CHECK,
    "proof_of_possession_failed": FailInfo.BAD_MESSAGE_CHECK,
    "signer_not_requester": FailInfo.BAD_MESSAGE_CHECK,
    "challenge_expired": FailInfo.BAD_TIME,
    "certificate_unknown": FailInfo.BAD_CERT_ID,
    "key_of_a_card": FailInfo.BAD_REQUEST,
    "key_compromised": FailInfo.BAD_REQUEST,
}
"""failInfo by what went wrong; whatever else is refused is `badRequest`."""

ALTERED: Final = "The message is not whole: it does not open, or what is in it is not its sender's."
"""The one text of badMessageCheck: whoever sends altered messages learns no more from it than that."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer is made of: who answers, and the message that is answered."""

    deps: Dependencies
    registrar: Registrar
    asked: PKIMessage


def success(answer: Answer, content: bytes, recipient: Sender, cipher: BlockCipher) -> bytes:
    """Return a CertRep that carries `content` to the key that signed the request."""
    named = der.sequence(recipient.certificate.issuer, recipient.certificate.serial_number)
    sealed = envelope.sealed(content, named, recipient.public_key, cipher, answer.deps.entropy)
    return _signed(answer, sealed, PKIStatus.SUCCESS)


def pending(answer: Answer) -> bytes:
    """Return a CertRep that has the client ask again."""
    return _signed(answer, b"", PKIStatus.PENDING)


def failure(answer: Answer, refusal: EtymonError) -> bytes:
    """Return a CertRep that says why."""
    info = fail_info(refusal)
    return _signed(
        answer, b"", PKIStatus.FAILURE, info, ALTERED if info is FailInfo.BAD_MESSAGE_CHECK else refusal.detail
    )


def fail_info(refusal: EtymonError) -> FailInfo:
    """Return the failInfo of a refusal; what does not decode inside an envelope is as good as altered."""
    if isinstance(refusal, DecodeError):
        return FailInfo.BAD_MESSAGE_CHECK
    return FAIL_INFO.get(refusal.code, FailInfo.BAD_REQUEST)


def _signed(answer: Answer, content: bytes, status: PKIStatus, info: FailInfo | None = None, text: str = "") -> bytes:
    asked, registrar = answer.asked, answer.registrar
    digest = _digest(asked.digest)
    attributes = Attributes(
        message_type=MessageType.CERT_REP,
        transaction_id=asked.attributes.transaction_id,
        sender_nonce=answer.deps.entropy.octets(NONCE_OCTETS),
        recipient_nonce=asked.attributes.sender_nonce,
        status=status,
        fail_info=info,
        fail_info_text=text,
    )
    signed = scep_message.signed_attributes(attributes, content, digest)
    certificate = registrar.certificate
    return scep_message.encode(
        signed,
        content,
        digest=digest,
        signature=registrar.key.sign(signed, message_algorithms.hash_named(digest, Permitted.MODERN)),
        signer=der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number)),
        carried=to_der(certificate),
    )


def _digest(asked: str) -> str:
    """Return the hash function of the answer: the request's, if it is one we would use ourselves."""
    usable = asked in scep_message.DIGESTS and not message_algorithms.is_old(asked)
    return asked if usable else SHA256
