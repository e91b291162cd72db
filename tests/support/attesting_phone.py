# SPDX-License-Identifier: Apache-2.0
"""A phone whose keys its maker attests, at an issuer that believes the maker."""

from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from etymon.issuer.attestation import authorities, store
from etymon.issuer.attestation.model import AttestationAuthority, KeyAttestation
from etymon.issuer.initial_issuance import Begun, Enrolled
from etymon.issuer.model import Attestation, CardSession, Purpose
from etymon.issuer.redemption import Linked
from etymon.pki.attestation_status import AttestationStatusList
from etymon.pki.certificate import spki
from etymon.pki.signer import SoftwareSigner
from etymon.wire import der, est, link_qr
from support import attestations as made
from support.applicants import Applicant, somebody
from support.attestations import Maker, description, hardware_of
from support.ca_site import rsa_key
from support.issuer_phone import Phone
from support.issuer_site import ADMINISTRATOR, IssuerSite, Link, scanned

MODELS: Final = ("Etymon/Simul*",)


def believe(site: IssuerSite, maker: Maker, name: str = "maker", status: AttestationStatusList | None = None) -> None:
    """Have an administrator name a maker's root."""
    authority = AttestationAuthority(name, (maker.root.certificate,), status)
    with site.database.transaction() as tx:
        authorities.save(tx, site.deps, authority, actor=ADMINISTRATOR)


def demand(site: IssuerSite, **changes: Any) -> None:
    """Have an officer require attestation."""
    site.save_rule(**{"attestation": Attestation.REQUIRED, "most_derivations": 100, **changes})


@dataclass
class Attesting:
    """One person with a code on the screen and a phone that scans it. What it says of its keys can be made wrong."""

    site: IssuerSite
    maker: Maker
    applicant: Applicant
    session: CardSession
    begun: Begun
    phone: Phone
    said: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def at(cls, site: IssuerSite, maker: Maker) -> "Attesting":
        applicant = somebody(site)
        session = applicant.session()
        return cls(site, maker, applicant, session, site.begin(session), site.phone())

    def chain(self, key: made.PublicKey, challenge: bytes, purposes: tuple[int, ...] = (2, 3)) -> tuple[bytes, ...]:
        """Return what the phone's maker says of a key."""
        changes = dict(self.said)
        hardware = hardware_of(key, purposes=purposes) | changes.pop("hardware", {})
        said = description(hardware, **{"challenge": challenge, **changes})
        return self.maker.chain(key, said)

    @property
    def link_challenge(self) -> bytes:
        return link_qr.link_attestation_challenge(scanned(self.begun).secret, self.begun.derivation.id)

    def redeem(self, *attestation: bytes) -> Linked:
        """Redeem the code with this chain, or with one that is right."""
        chain = attestation or self.chain(self.phone.key.public_key(), self.link_challenge)
        return self.site.redeem(self.phone, self.begun, attestation=chain)

    def linked(self) -> Link:
        """Go as far as the authorization."""
        self.redeem()
        self.site.confirm(self.session, self.begun, self.phone)
        authorized = self.site.authorization(self.phone, self.begun)
        assert authorized is not None
        return Link(self.site, self.phone, self.session, self.begun, authorized)

    def kept(self) -> dict[Purpose, KeyAttestation]:
        """Return the evidence, by purpose; the last one of each."""
        with self.site.database.snapshot() as tx:
            return {found.purpose: found for found in store.of_derivation(tx, self.begun.derivation.id)}


def request_challenge(link: Link, purpose: Purpose) -> bytes:
    return link_qr.request_attestation_challenge(link.authorized.authorization, purpose.value)


def enroll(link: Link, purpose: Purpose, key: made.PrivateKey, chain: tuple[bytes, ...] | None) -> Enrolled:
    """Ask for a certificate for a key, with its attestation."""
    return link.enroll(purpose, body=body(key, chain))


def body(key: made.PrivateKey, chain: tuple[bytes, ...] | None, *more: bytes) -> bytes:
    """Return an EST body that asks for a key with an attestation; of an RSA key also as a transport key."""
    attributes = list(more)
    if chain is not None:
        attributes.append(est.attestation_attribute(chain))
    if isinstance(key, rsa.RSAPrivateKey):
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest
        attributes.append(est.decrypt_key_identifier_attribute(identifier))
    information = der.sequence(
        der.integer(0), der.sequence(), spki(key.public_key()), der.encode(0xA0, b"".join(sorted(attributes)))
    )
    signer = SoftwareSigner(key)
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(information, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(information, ec.ECDSA(signer.algorithm.hash()))
    return est.encode_body(der.sequence(information, signer.algorithm.identifier(), der.bit_string(signature)))


def transport_key() -> rsa.RSAPrivateKey:
    key = rsa_key()
    assert isinstance(key, rsa.RSAPrivateKey)
    return key
