# SPDX-License-Identifier: Apache-2.0
"""A maker of phones: attestation chains as devices send them, written with an encoder that is not the product's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

KEY_DESCRIPTION: Final = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.17")
PROVISIONING: Final = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.30")
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

SOFTWARE, TEE, STRONG_BOX = 0, 1, 2
BOOT_KEY: Final = bytes(range(32))
VERIFIED, SELF_SIGNED, UNVERIFIED = 0, 1, 2


def element(tag: int, content: bytes, *, constructed: bool = False, context: bool = False) -> bytes:
    """Encode one element of BER with definite length; tags from 31 on take several bytes (X.690 §8.1.2.4)."""
    first = (0x80 if context else 0) | (0x20 if constructed else 0)
    if tag < 31:
        head = bytes([first | tag])
    else:
        low, high = tag & 0x7F, tag >> 7
        head = bytes([first | 31, *([0x80 | high] if high else []), low])
    size = len(content)
    if size < 128:
        return head + bytes([size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return head + bytes([0x80 | len(octets)]) + octets + content


def integer(value: int) -> bytes:
    return element(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    return element(4, content)


def enumerated(value: int) -> bytes:
    return element(10, bytes([value]))


def set_of(*members: bytes) -> bytes:
    return element(17, b"".join(members), constructed=True)


def sequence(*members: bytes) -> bytes:
    return element(16, b"".join(members), constructed=True)


def null() -> bytes:
    return element(5, b"")


def tagged(listed: Mapping[int, bytes]) -> bytes:
    """Encode an AuthorizationList in the order of the mapping."""
    return sequence(*(element(tag, value, constructed=True, context=True) for tag, value in listed.items()))


def root_of_trust(*, locked: bool = True, state: int = VERIFIED, version: int = 300) -> bytes:
    hashed = [octets(bytes(32))] if version >= 3 else []
    return sequence(octets(BOOT_KEY), element(1, b"\xff" if locked else b"\x00"), enumerated(state), *hashed)


def hardware_of(
    key: PublicKey, *, version: int = 300, purposes: tuple[int, ...] = (2, 3), **boot: Any
) -> dict[int, bytes]:
    """Return what the secure world says of a key that was made there."""
    is_ec = isinstance(key, ec.EllipticCurvePublicKey)
    kind = {2: integer(3)} if is_ec else {2: integer(1)}
    size = key.curve.key_size if isinstance(key, ec.EllipticCurvePublicKey) else key.key_size
    curve = {10: integer(1 if size == 256 else 2)} if is_ec else {200: integer(65537)}
    return {
        1: set_of(*map(integer, purposes)),
        **kind,
        3: integer(size),
        5: set_of(integer(4)),
        **curve,
        503: null(),
        702: integer(0),
        704: root_of_trust(version=version, **boot),
        705: integer(140000),
        706: integer(202609),
        716: octets(b"Etymon"),
        717: octets(b"Simulated"),
    }


def application(name: str = "AndroidSystem") -> bytes:
    return octets(sequence(set_of(sequence(octets(name.encode()), integer(1))), set_of()))


def description(
    hardware: Mapping[int, bytes],
    *,
    challenge: bytes = b"challenge",
    version: int = 300,
    level: int = TEE,
    keymaster_level: int | None = None,
    software: Mapping[int, bytes] | None = None,
) -> bytes:
    """Encode a KeyDescription."""
    listed = {701: integer(1_790_000_000_000), 709: application()} if software is None else software
    return sequence(
        integer(version),
        enumerated(level),
        integer(version),
        enumerated(level if keymaster_level is None else keymaster_level),
        octets(challenge),
        octets(b""),
        tagged(listed),
        tagged(hardware),
    )


@dataclass
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def name(**parts: str) -> x509.Name:
    oids = {
        "cn": NameOID.COMMON_NAME,
        "o": NameOID.ORGANIZATION_NAME,
        "title": NameOID.TITLE,
        "sn": NameOID.SERIAL_NUMBER,
    }
    return x509.Name([x509.NameAttribute(oids[part], value) for part, value in parts.items()])


def certified(
    subject: x509.Name,
    key: PublicKey,
    issuer: Issued | PrivateKey,
    *,
    begins: datetime,
    lifetime: timedelta = timedelta(days=3650),
    authority: bool | None = True,
    serial: int | None = None,
    extensions: Mapping[x509.ObjectIdentifier, bytes] | None = None,
) -> x509.Certificate:
    """Return a certificate by an issuer, or by the key itself."""
    signer, by = (issuer.key, issuer.certificate.subject) if isinstance(issuer, Issued) else (issuer, subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key)
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + lifetime)
    )
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    for oid, value in (extensions or {}).items():
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
    return builder.sign(signer, hashes.SHA256())


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Maker:
    """Root, intermediate and one phone's attestation key. `factory` keys never expire here, others do."""

    now: datetime
    factory: bool = False
    root: Issued = field(init=False)
    intermediate: Issued = field(init=False)
    attestation: Issued = field(init=False)

    def __post_init__(self) -> None:
        begins = self.now - timedelta(days=30)
        key = ec_key()
        self.root = Issued(certified(name(cn="Test attestation root"), key.public_key(), key, begins=begins), key)
        key = ec_key()
        made = certified(name(cn="Test CA2", o="Test"), key.public_key(), self.root, begins=begins)
        self.intermediate = Issued(made, key)
        key = ec_key()
        subject = name(title="TEE", sn="0123456789abcdef") if self.factory else name(o="TEE", cn="0123456789abcdef")
        provisioned = {} if self.factory else {PROVISIONING: bytes.fromhex("a1010a")}
        made = certified(
            subject,
            key.public_key(),
            self.intermediate,
            begins=begins,
            lifetime=timedelta(days=60),
            extensions=provisioned,
        )
        self.attestation = Issued(made, key)

    def leaf(self, key: PublicKey, extension: bytes | None, *, by: Issued | None = None) -> bytes:
        """Certify a key, with an extension that describes it, at a date that a device without a clock writes."""
        found = {} if extension is None else {KEY_DESCRIPTION: extension}
        subject, begins = name(cn="Android Keystore Key"), datetime(1970, 1, 1, tzinfo=UTC)
        made = certified(
            subject, key, by or self.attestation, begins=begins, authority=None, serial=1, extensions=found
        )
        return made.public_bytes(Encoding.DER)

    @property
    def issuers(self) -> tuple[bytes, ...]:
        return (self.attestation.der, self.intermediate.der, self.root.der)

    def chain(self, key: PublicKey, extension: bytes | None = None, **said: Any) -> tuple[bytes, ...]:
        """Return a chain for a key, the leaf first."""
        return (self.leaf(key, extension or description(hardware_of(key), **said)), *self.issuers)


def pem(chain: tuple[bytes, ...]) -> bytes:
    """Return certificates as a file."""
    return b"".join(x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in chain)
