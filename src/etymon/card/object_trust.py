# SPDX-License-Identifier: Apache-2.0
"""Whether a card's signed objects may be relied on: their signatures, and whoever made them (FIPS 201-3 §6, §2.9).

The signer of a CHUID and security object is judged as of now, as the card's own certificates are: its path, the policy
for content signing, its purpose, and its status. Objects that the card gives out for a PIN only are not read.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from etymon.card.client import PIVClient
from etymon.card.content_signing import verify_chuid, verify_security_object
from etymon.kernel.errors import NotFound, NotPermitted
from etymon.pki import certificate as readers
from etymon.pki import path_verification
from etymon.pki.errors import NotTrusted
from etymon.pki.path_material import Material
from etymon.pki.path_walk import PathParameters
from etymon.pki.revocation_lists import RevocationLists
from etymon.wire.piv import CONTAINER_IDS, ObjectTag
from etymon.wire.piv_objects import CHUID, decode_chuid, decode_security_object

CONTENT_SIGNING_POLICY: Final = "2.16.840.1.101.3.2.1.3.39"
"""id-fpki-common-piv-contentSigning (Common Policy 1.2)."""

CONTENT_SIGNING_PURPOSES: Final = frozenset({"2.16.840.1.101.3.6.7", "2.16.840.1.101.3.8.7"})
"""id-PIV-content-signing, and the one of PIV-I cards."""


@dataclass(frozen=True, slots=True)
class SignerTrust:
    """Whose content signers count: below which anchors, under which policies, by which lists; None leaves those out."""

    material: Material
    policies: frozenset[str] = frozenset({CONTENT_SIGNING_POLICY})
    revocation: RevocationLists | None = None


@dataclass(frozen=True, slots=True)
class TrustedObjects:
    """What was signed by somebody who may, and under which accepted policies: the CHUID, and the objects by tag."""

    chuid: CHUID
    covered: frozenset[int]
    signer: x509.Certificate
    policies: frozenset[str]


def verify(card: PIVClient, trust: SignerTrust, *, at: datetime) -> TrustedObjects:
    """Return a card's signed objects if their signatures hold and their signer is trusted at a moment.

    Raises `Malformed` and `NotPermitted` for an object or signature that is not its issuer's, `NotTrusted` for the
    signer.
    """
    content = card.read_object(ObjectTag.CHUID)
    signer = verify_chuid(content)
    policies = require_content_signer(signer, trust, at=at)
    security = decode_security_object(card.read_object(ObjectTag.SECURITY_OBJECT))
    named = {tag for tag, container in CONTAINER_IDS.items() if container in security.containers.values()}
    covered = verify_security_object(security, {tag: _read(card, tag) for tag in named}, signer)
    return TrustedObjects(decode_chuid(content), covered, signer, policies)


def require_content_signer(signer: x509.Certificate, trust: SignerTrust, *, at: datetime) -> frozenset[str]:
    """Return the accepted policies of a content signer's path; `NotTrusted` unless it may sign objects of cards now."""
    usage = readers.extension(signer, x509.KeyUsage)
    purposes = readers.extension(signer, x509.ExtendedKeyUsage)
    named = {purpose.dotted_string for purpose in purposes.value} if purposes else set()
    if usage is None or not usage.value.digital_signature or not named & CONTENT_SIGNING_PURPOSES:
        raise NotTrusted("wrong_certificate_kind", "The card's objects are signed by a certificate that is not for it.")
    parameters = PathParameters(trust.policies, explicit_policy=True, inhibit_any_policy=True)
    verdict = path_verification.verify(signer, trust.material, parameters, at=at, revocation=trust.revocation)
    if verdict.refusal is not None:
        raise verdict.refusal
    return verdict.policies


def _read(card: PIVClient, tag: int) -> bytes:
    try:
        return card.read_object(tag)
    except (NotFound, NotPermitted) as exc:
        raise NotPermitted(
            "object_missing", f"The card does not give out an object that its issuer signed: {tag:X}."
        ) from exc
