# SPDX-License-Identifier: Apache-2.0
"""A card issuer for tests: a root, a card CA, a content signer, and cards made by personalization.

Certificates follow the PIV profiles as far as the card, its readers and TLS look at them; they are minted under the
example arc 2.999. Times are the machine's, because outside judges read it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from etymon.card.applet import PIVApplet
from etymon.card.client import PIVClient
from etymon.card.content_signing import ContentSigner
from etymon.card.external_key import SoftwareKey
from etymon.card.personalization import USUAL_ALGORITHMS, Cardholder, CertificateRequest, personalize
from etymon.card.private_keys import CardPrivateKey
from etymon.card.state import CardState, ManagementKey, manufacture
from etymon.card.transport import CardTransport, LocalTransport
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.wire import fascn
from etymon.wire.fascn import FASCN
from etymon.wire.piv import Algorithm, KeyReference

PIN = Secret("142536")
PUK = Secret("87654321")
ENTROPY = SystemEntropy()

_CARD_AUTHENTICATION = ObjectIdentifier("2.16.840.1.101.3.6.8")
_CONTENT_SIGNING = ObjectIdentifier("2.16.840.1.101.3.6.7")
_POLICIES = {
    KeyReference.AUTHENTICATION: "2.999.1.13",
    KeyReference.SIGNATURE: "2.999.1.7",
    KeyReference.KEY_MANAGEMENT: "2.999.1.7",
    KeyReference.CARD_AUTHENTICATION: "2.999.1.17",
}


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def issue(self, builder: x509.CertificateBuilder, *, end: datetime | None = None) -> x509.Certificate:
        now = datetime.now(UTC).replace(microsecond=0)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        return (
            builder.issuer_name(self.certificate.subject)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(end or now + timedelta(days=365))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def authority(name: str, parent: Authority | None = None) -> Authority:
    """Return a new CA, self-signed or below `parent`."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name(name))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    now = datetime.now(UTC).replace(microsecond=0)
    end = now + timedelta(days=3650)
    if parent:
        return Authority(parent.issue(builder, end=end), key)
    certificate = (
        builder.issuer_name(common_name(name))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def server_certificate(
    issuer: Authority, *, dns: tuple[str, ...] = (), addresses: tuple[str, ...] = ()
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return a TLS server's certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
    names += [x509.IPAddress(ip_address(address)) for address in addresses]
    builder = (
        x509.CertificateBuilder()
        .subject_name(common_name("Test server"))
        .public_key(key.public_key())
        .add_extension(key_usage("digital_signature"), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return issuer.issue(builder, end=datetime.now(UTC) + timedelta(days=30)), key


class CardIssuer:
    """Makes cards."""

    def __init__(self, content_signing_key: CardPrivateKey | None = None) -> None:
        self.root = authority("Test Card Root")
        self.issuing = authority("Test Card CA", self.root)
        key = content_signing_key or ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name("Test Content Signer"))
            .public_key(key.public_key())
            .add_extension(key_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_CONTENT_SIGNING]), critical=True)
        )
        end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3000)
        self.content_signer = ContentSigner(self.issuing.issue(builder, end=end), SoftwareKey(key))

    def certify(self, request: CertificateRequest) -> x509.Certificate:
        csr = x509.load_der_x509_csr(request.csr)
        assert csr.is_signature_valid
        slot, holder = request.slot, request.cardholder
        builder = x509.CertificateBuilder().subject_name(csr.subject).public_key(csr.public_key())
        builder = builder.add_extension(_usage(request), critical=True)
        builder = builder.add_extension(
            x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier(_POLICIES[slot]), None)]),
            critical=False,
        )
        names: list[x509.GeneralName] = []
        if slot in {KeyReference.AUTHENTICATION, KeyReference.CARD_AUTHENTICATION}:
            names = [fascn_name(request.fascn), x509.UniformResourceIdentifier(f"urn:uuid:{request.card_uuid}")]
        if slot is KeyReference.AUTHENTICATION and holder.user_principal_name:
            names.append(upn_name(holder.user_principal_name))
        if slot in {KeyReference.SIGNATURE, KeyReference.KEY_MANAGEMENT} and holder.mail:
            names.append(x509.RFC822Name(holder.mail))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        purposes, critical = _purposes(slot)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=critical)
        return self.issuing.issue(builder)

    def card(
        self,
        cardholder: Cardholder | None = None,
        *,
        algorithms: Mapping[KeyReference, Algorithm] = USUAL_ALGORITHMS,
        uuid: UUID | None = None,
        persist: Callable[[CardState], None] = lambda _: None,
        wrap: Callable[[CardTransport], CardTransport] = lambda transport: transport,
    ) -> "IssuedCard":
        """Return a personalized card; `wrap` sees every APDU of its making."""
        management_key = ManagementKey(Algorithm.AES_256, Secret(ENTROPY.octets(32)))
        state = manufacture(pin=Secret("000000"), puk=PUK, entropy=ENTROPY, management_key=management_key)
        applet = PIVApplet(state, persist, ENTROPY)
        card_uuid = uuid or uuid4()
        certificates = personalize(
            PIVClient(wrap(LocalTransport(applet))),
            cardholder=cardholder or Cardholder("Alice Adams", "alice@example.org", "alice@example.org"),
            fascn=fascn.non_federal(),
            uuid=card_uuid,
            pin=PIN,
            puk=PUK,
            management_key=management_key,
            certify=self.certify,
            content_signer=self.content_signer,
            expires=date.today() + timedelta(days=1000),  # noqa: DTZ011 - a card ends on a day
            algorithms=algorithms,
        )
        applet.reset()
        return IssuedCard(applet, certificates, card_uuid, management_key)


@dataclass(frozen=True, slots=True)
class IssuedCard:
    """A card and what its issuer knows of it."""

    applet: PIVApplet
    certificates: Mapping[KeyReference, x509.Certificate]
    uuid: UUID
    management_key: ManagementKey

    @property
    def client(self) -> PIVClient:
        return PIVClient(LocalTransport(self.applet))


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def key_usage(*granted: str) -> x509.KeyUsage:
    bits = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{bit: bit in granted for bit in bits})


def fascn_name(value: FASCN) -> x509.OtherName:
    return x509.OtherName(ObjectIdentifier("2.16.840.1.101.3.6.6"), b"\x04\x19" + fascn.encode(value))


def upn_name(value: str) -> x509.OtherName:
    text = value.encode()
    return x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), bytes([0x0C, len(text)]) + text)


def _usage(request: CertificateRequest) -> x509.KeyUsage:
    if request.slot is KeyReference.SIGNATURE:
        return key_usage("digital_signature", "content_commitment")
    if request.slot is KeyReference.KEY_MANAGEMENT:
        is_ec = isinstance(request.public_key, ec.EllipticCurvePublicKey)
        return key_usage("key_agreement" if is_ec else "key_encipherment")
    return key_usage("digital_signature")


def _purposes(slot: KeyReference) -> tuple[list[ObjectIdentifier], bool]:
    if slot is KeyReference.AUTHENTICATION:
        return [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SMARTCARD_LOGON], False
    if slot is KeyReference.CARD_AUTHENTICATION:
        return [_CARD_AUTHENTICATION], True
    return [ExtendedKeyUsageOID.EMAIL_PROTECTION], False
