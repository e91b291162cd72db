# SPDX-License-Identifier: Apache-2.0
"""An issuer of cards whose content signer has a path, a policy, a purpose and a status."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from etymon.card.content_signing import ContentSigner
from etymon.card.external_key import SoftwareKey
from etymon.card.object_trust import CONTENT_SIGNING_POLICY, SignerTrust
from etymon.pki.path_material import Material
from etymon.pki.revocation_lists import RevocationLists, load_many
from etymon.wire.piv import Algorithm, KeyReference
from support import declared_pki
from support.card_issuer import CardIssuer, IssuedCard
from support.declared_pki import Certified

NOW = datetime.now(UTC).replace(microsecond=0)
PURPOSE = x509.ObjectIdentifier("2.16.840.1.101.3.6.7")
POLICIES = (CONTENT_SIGNING_POLICY, declared_pki.CARD_POLICY)


class ContentIssuer:
    """Root, issuing authority, and a content signer of cards."""

    def __init__(self) -> None:
        self.root = declared_pki.root(NOW)
        self.issuing = self.root.issue(NOW, "Cards", authority=True, policies=POLICIES, ends=timedelta(days=3000))
        self.signer = self.content_signer()

    def content_signer(self, **changes: Any) -> Certified:
        values = {
            "policies": (CONTENT_SIGNING_POLICY,),
            "purposes": (PURPOSE,),
            "ends": timedelta(days=3000),
            **changes,
        }
        return self.issuing.issue(NOW, "Content Signer", **values)

    def trust(self, *revoked: x509.Certificate, lists: bool = True, root: Certified | None = None) -> SignerTrust:
        material = Material.of([(root or self.root).certificate], [self.issuing.certificate])
        found = [self.root.crl(NOW), self.issuing.crl(NOW, *revoked)] if lists else []
        read = RevocationLists.of(one for data in found for one in load_many(data))
        return SignerTrust(material, revocation=read)

    def card(self, signer: Certified) -> IssuedCard:
        made = CardIssuer()
        made.content_signer = ContentSigner(signer.certificate, SoftwareKey(signer.key))
        return made.card(algorithms={KeyReference.AUTHENTICATION: Algorithm.P256})
