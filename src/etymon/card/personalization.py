# SPDX-License-Identifier: Apache-2.0
"""Making a blank card somebody's card (SP 800-73-5 part 2 §3.3, FIPS 201-3 §2.8).

Keys are made in the card, which signs its own certificate requests; certificates come from whoever issues them, by a
callable; names and the issuer's signatures go last, so that an interrupted personalization leaves no card that looks
complete.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from etymon.card.card_key import CardKey
from etymon.card.client import PIVClient
from etymon.card.content_signing import ContentSigner, security_object, sign_chuid
from etymon.card.external_key import as_private_key, usual_scheme
from etymon.card.private_keys import CardPublicKey
from etymon.card.state import ManagementKey
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.wire.fascn import FASCN
from etymon.wire.piv import Algorithm, KeyReference, ObjectTag
from etymon.wire.piv_objects import (
    CARD_CAPABILITY_CONTAINER,
    CHUID,
    Discovery,
    KeyHistory,
    encode_chuid,
    encode_discovery,
    encode_key_history,
    encode_security_object,
)

USUAL_ALGORITHMS: Final[Mapping[KeyReference, Algorithm]] = MappingProxyType(
    {
        KeyReference.AUTHENTICATION: Algorithm.P256,
        KeyReference.SIGNATURE: Algorithm.P384,
        KeyReference.KEY_MANAGEMENT: Algorithm.RSA_2048,
        KeyReference.CARD_AUTHENTICATION: Algorithm.P256,
    }
)
"""Keys of a card when nothing else is asked for (SP 800-78-5 table 1)."""


@dataclass(frozen=True, slots=True)
class Cardholder:
    """Who the card is made for."""

    common_name: str
    user_principal_name: str | None = None
    mail: str | None = None


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What the card issuer certifies: a key that lies in the card, and the names it stands for.

    `csr` is PKCS#10 in DER, signed by that key; its subject is the common name, or the card's UUID as serialNumber
    for the card authentication key, whose certificate names no person.
    """

    slot: KeyReference
    public_key: CardPublicKey
    csr: bytes
    cardholder: Cardholder
    fascn: FASCN
    card_uuid: UUID
    expires: date


Certify = Callable[[CertificateRequest], x509.Certificate]


def personalize(
    client: PIVClient,
    *,
    cardholder: Cardholder,
    fascn: FASCN,
    uuid: UUID,
    pin: Secret[str],
    puk: Secret[str],
    management_key: ManagementKey,
    certify: Certify,
    content_signer: ContentSigner,
    expires: date,
    algorithms: Mapping[KeyReference, Algorithm] = USUAL_ALGORITHMS,
) -> Mapping[KeyReference, x509.Certificate]:
    """Make keys, have them certified, and write certificates, names and signatures; returns the certificates.

    `pin` becomes the card's PIN, set with its `puk`. The keys named in `algorithms` are made, in that order.
    No certificate may outlive the card, and none of them the content signer's (SP 800-73-5 part 1 §3.1.2).
    """
    client.select()
    client.authenticate_management(management_key)
    client.reset_retry_counter(puk, pin)
    certificates: dict[KeyReference, x509.Certificate] = {}
    for reference, algorithm in algorithms.items():
        slot = KeyReference(reference)
        public_key = client.generate_key(slot, algorithm)
        request = CertificateRequest(
            slot=slot,
            public_key=public_key,
            csr=_request(CardKey(client, slot, public_key=public_key, pin=pin), slot, cardholder, uuid),
            cardholder=cardholder,
            fascn=fascn,
            card_uuid=uuid,
            expires=expires,
        )
        certificate = certify(request)
        _require_fitting(certificate, request, content_signer)
        client.put_certificate(slot, certificate)
        certificates[slot] = certificate
    _write_objects(client, CHUID(fascn, uuid, expires), content_signer)
    return MappingProxyType(certificates)


def _require_fitting(certificate: x509.Certificate, request: CertificateRequest, content_signer: ContentSigner) -> None:
    if certificate.public_key() != request.public_key:
        raise Malformed("certificate_key", "The card issuer certified another key than the card's.")
    if certificate.not_valid_after_utc.date() > request.expires:
        raise Malformed("certificate_outlives_card", "A certificate ends with the card at the latest.")
    if certificate.not_valid_after_utc > content_signer.certificate.not_valid_after_utc:
        raise Malformed("certificate_outlives_signer", "The content signer's certificate ends before the card's.")


def _request(key: CardKey, slot: KeyReference, cardholder: Cardholder, uuid: UUID) -> bytes:
    name = x509.NameAttribute(NameOID.COMMON_NAME, cardholder.common_name)
    if slot is KeyReference.CARD_AUTHENTICATION:
        name = x509.NameAttribute(NameOID.SERIAL_NUMBER, str(uuid))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([name]))
    scheme = usual_scheme(key.public_key)
    return builder.sign(as_private_key(key), scheme.hash).public_bytes(Encoding.DER)


def _write_objects(client: PIVClient, chuid: CHUID, content_signer: ContentSigner) -> None:
    """Write what names the card; the security object covers everything here but itself."""
    objects: dict[int, bytes] = {
        ObjectTag.CARD_CAPABILITY_CONTAINER: CARD_CAPABILITY_CONTAINER,
        ObjectTag.DISCOVERY: encode_discovery(Discovery()),
        ObjectTag.KEY_HISTORY: encode_key_history(KeyHistory()),
        ObjectTag.CHUID: encode_chuid(sign_chuid(chuid, content_signer)),
    }
    for tag, content in objects.items():
        client.put_object(tag, content)
    security = security_object(objects, content_signer)
    client.put_object(ObjectTag.SECURITY_OBJECT, encode_security_object(security))
