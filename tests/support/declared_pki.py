# SPDX-License-Identifier: Apache-2.0
"""Foreign authorities, declared in a line: their certificates may be wrong in any one way a test asks for."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from etymon.pki.certificate import UPN_OTHER_NAME
from etymon.pki.status import StatusEvidence, StatusKind
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.wire import der

CARD_POLICY = "2.999.7.13"
CARD_UUID = UUID("f81d4fae-7dec-41d0-a765-00a0c91e6bf6")

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Certified:
    """A certificate with its key, and what it needs to issue, list and answer."""

    certificate: x509.Certificate
    key: Key
    parent: "Certified | None" = None
    serials: list[int] = field(default_factory=list)

    @property
    def name(self) -> x509.Name:
        return self.certificate.subject

    def issue(
        self,
        now: datetime,
        name: str = "Cardholder",
        *,
        subject_key: Key | None = None,
        authority: bool = False,
        path_length: int | None = None,
        policies: Collection[str] = (CARD_POLICY,),
        purposes: Collection[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        digital_signature: bool = True,
        starts: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=365),
        hash_algorithm: hashes.HashAlgorithm | None = None,
        ocsp_url: str | None = None,
        crl_url: str | list[str] | None = None,
        upn: str | None = None,
        extra: Collection[tuple[x509.ExtensionType, bool]] = (),
    ) -> "Certified":
        subject_key = subject_key or key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.name)
            .public_key(subject_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + starts)
            .not_valid_after(now + ends)
            .add_extension(
                _usage(digital_signature=digital_signature and not authority, signing=authority), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if authority:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        elif purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
        if policies:
            items = [x509.PolicyInformation(x509.ObjectIdentifier(policy), None) for policy in policies]
            builder = builder.add_extension(x509.CertificatePolicies(items), critical=False)
        if not authority:
            names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"urn:uuid:{CARD_UUID}")]
            if upn is not None:
                names.append(x509.OtherName(UPN_OTHER_NAME, der.encode(0x0C, upn.encode())))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if ocsp_url is not None:
            location = x509.UniformResourceIdentifier(ocsp_url)
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, location)
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
        if crl_url is not None:
            urls = [crl_url] if isinstance(crl_url, str) else crl_url
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(url) for url in urls], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        algorithm = hash_algorithm or hashes.SHA256()
        certificate = builder.sign(self.key, algorithm)  # type: ignore[arg-type]  # weak hashes are asked for on purpose
        self.serials.append(certificate.serial_number)
        return Certified(certificate, subject_key, self)

    def responder(self, now: datetime, *, no_check: bool = True, signing: bool = True) -> "Certified":
        purpose = ExtendedKeyUsageOID.OCSP_SIGNING if signing else ExtendedKeyUsageOID.CLIENT_AUTH
        extra = [(x509.OCSPNoCheck(), False)] if no_check else []
        return self.issue(now, "Responder", purposes=(purpose,), extra=extra)

    def crl(
        self,
        now: datetime,
        *revoked: x509.Certificate,
        signer: Key | None = None,
        lasts: timedelta = timedelta(days=1),
        extra: Collection[tuple[x509.ExtensionType, bool]] = (),
        entry_extra: Collection[tuple[x509.ExtensionType, bool]] = (),
    ) -> bytes:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(now)
            .next_update(now + lasts)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        for certificate in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
            for extension, critical in entry_extra:
                entry = entry.add_extension(extension, critical=critical)
            builder = builder.add_revoked_certificate(entry.build())

        return builder.sign(signer or self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def ocsp_answer(
        self,
        certificate: x509.Certificate,
        now: datetime,
        *,
        status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
        signer: "Certified | None" = None,
        lasts: timedelta | None = timedelta(hours=1),
        nonce: bytes | None = None,
        algorithm: hashes.HashAlgorithm | None = None,
    ) -> bytes:

        signer = signer or self
        revoked = status is ocsp.OCSPCertStatus.REVOKED
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=certificate,
            issuer=self.certificate,
            algorithm=algorithm or hashes.SHA1(),  # noqa: S303 - what clients ask under
            cert_status=status,
            this_update=now,
            next_update=now + lasts if lasts else None,
            revocation_time=now if revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        if signer is not self:
            builder = builder.certificates([signer.certificate])
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def root(now: datetime, name: str = "Card Root", own_key: Key | None = None) -> Certified:
    """Return a self-signed authority."""
    own_key = own_key or key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(own_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=4000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=False, signing=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()), critical=False)
        .sign(own_key, hashes.SHA256())
    )
    return Certified(certificate, own_key)


def entry(
    anchor: Certified,
    *intermediates: Certified,
    kind: TrustKind = TrustKind.CARD,
    name: str = "agency-cards",
    policies: Collection[str] = (CARD_POLICY,),
    identifier: IdentifierKind = IdentifierKind.UUID,
    upn_suffixes: tuple[str, ...] = (),
    status_hosts: Collection[str] = (),
) -> TrustEntry:
    """Return the entry that trusts an anchor."""
    return TrustEntry(
        name=name,
        kind=kind,
        anchors=(anchor.certificate,),
        intermediates=tuple(found.certificate for found in intermediates),
        policies=frozenset(policies),
        identifier=identifier,
        upn_suffixes=upn_suffixes,
        status_hosts=frozenset(status_hosts),
    )


class AllGood:
    """A source to which nothing was ever revoked; it remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[x509.Certificate, x509.Certificate]] = []

    def status(self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime) -> StatusEvidence:
        self.asked.append((certificate, issuer))
        return StatusEvidence(StatusKind.CRL, "http://status.example/crl", b"", at, at + timedelta(days=1))


def _usage(*, digital_signature: bool, signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=not digital_signature and not signing,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signing,
        crl_sign=signing,
        encipher_only=False,
        decipher_only=False,
    )


def with_null_parameters(issuer: Certified) -> bytes:
    """Return an authority's self-signed certificate like one DoD root's: NULL where ecdsa-with-SHA256 has nothing."""
    plain = der.object_identifier("1.2.840.10045.4.3.2")
    encoded = issuer.certificate.public_bytes(Encoding.DER)
    tbs, _, _ = der.elements(der.only(encoded, der.SEQUENCE).content)
    odd = der.sequence(plain, der.null())
    odd_tbs = der.sequence(tbs.content.replace(der.sequence(plain), odd))
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signature = issuer.key.sign(odd_tbs, ec.ECDSA(hashes.SHA256()))
    return der.sequence(odd_tbs, odd, der.bit_string(signature))
