# SPDX-License-Identifier: Apache-2.0
"""The simulated phone's key attestation: chains in the form of Android's, from a root in software.

There is no secure hardware here, and the certificates say so in their names. Whoever names the root of a maker of
simulated phones believes what a program says of itself: for trying, never for anything of value.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.phone.record import decode, encode
from etymon.pki.algorithms import PublicKey
from etymon.pki.certificate import to_der
from etymon.pki.key_attestation import CURVES, DECRYPT, EC, GENERATED, RSA, SIGN
from etymon.wire import key_description
from etymon.wire.authorization_list import AuthorizationList, RootOfTrust, Value, VerifiedBootState
from etymon.wire.key_description import ApplicationId, KeyDescription, SecurityLevel

MAKER: Final = "Simulated phones (software, no hardware)"
VERSION: Final = 300
VERIFY: Final = 3
LIFETIME: Final = timedelta(days=20 * 365)
FROM_A_DEVICE: Final = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2048, 1, 1, tzinfo=UTC))
"""What devices write into attested certificates: they have no clock they trust."""


@dataclass(frozen=True, slots=True)
class Attester:
    """What a phone leaves the factory with: attestation key, the certificates above it, what it says of itself."""

    private_key: Secret[bytes]
    chain: tuple[bytes, ...]
    manufacturer: str
    model: str
    level: int = SecurityLevel.TRUSTED_ENVIRONMENT
    device_locked: bool = True

    def attest(self, key: PublicKey, challenge: bytes, *, decrypts: bool) -> tuple[bytes, ...]:
        """Return a chain for a key that was just made here, its own certificate first."""
        signer = serialization.load_der_private_key(self.private_key.reveal(), None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise Unavailable("key_damaged", "The phone's attestation key is damaged. Start with a new phone.")
        issuer = x509.load_der_x509_certificate(self.chain[0])
        builder = _certificate(_named("Android Keystore Key"), key, issuer.subject, FROM_A_DEVICE).add_extension(
            x509.UnrecognizedExtension(
                x509.ObjectIdentifier(key_description.EXTENSION),
                key_description.encode(self._description(key, challenge, decrypts=decrypts)),
            ),
            critical=False,
        )
        return (to_der(builder.sign(signer, hashes.SHA256())), *self.chain)

    def written(self) -> bytes:
        """Return what is kept in a sealed file."""
        return encode(self)

    @classmethod
    def read(cls, octets: bytes) -> Self:
        """Read what `written` wrote."""
        return decode(cls, octets)

    def _description(self, key: PublicKey, challenge: bytes, *, decrypts: bool) -> KeyDescription:
        level = SecurityLevel(self.level)
        hardware: dict[str, Value] = {
            "purpose": (DECRYPT, SIGN) if decrypts else (SIGN, VERIFY),
            "keySize": key.key_size,
            "noAuthRequired": True,
            "origin": GENERATED,
            "rootOfTrust": RootOfTrust(bytes(32), self.device_locked, _boot_state(self), bytes(32)),
            "attestationIdManufacturer": self.manufacturer.encode(),
            "attestationIdModel": self.model.encode(),
        }
        if isinstance(key, ec.EllipticCurvePublicKey):
            hardware |= {"algorithm": EC, "ecCurve": CURVES[key.curve.name]}
        else:
            hardware |= {"algorithm": RSA, "rsaPublicExponent": key.public_numbers().e}
        application = ApplicationId((("AndroidSystem", 1),), ())
        software: dict[str, Value] = {
            "attestationApplicationId": key_description.encode_application_id(application),
        }
        return KeyDescription(
            VERSION, level, VERSION, level, challenge, b"", AuthorizationList(software), AuthorizationList(hardware)
        )


class PhoneMaker:
    """A factory of simulated phones. Its keys are in memory and nowhere else: when it closes, nobody can make more."""

    def __init__(self, now: datetime) -> None:
        """Make a root that is valid from `now` on, and what stands between it and the phones."""
        dates = (now.replace(microsecond=0), now.replace(microsecond=0) + LIFETIME)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _named(f"Attestation root, {MAKER}")
        self.root = _certificate(name, key.public_key(), name, dates, authority=True).sign(key, hashes.SHA256())
        self._dates = dates
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _named(f"Attestation CA, {MAKER}")
        builder = _certificate(subject, self._key.public_key(), name, dates, authority=True)
        self._intermediate = builder.sign(key, hashes.SHA256())

    def attester(self, manufacturer: str, model: str) -> Attester:
        """Return what a new phone attests with."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, MAKER),
                x509.NameAttribute(NameOID.TITLE, "TEE (simulated)"),
            ]
        )
        builder = _certificate(subject, key.public_key(), self._intermediate.subject, self._dates, authority=True)
        made = builder.sign(self._key, hashes.SHA256())
        plain = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        chain = tuple(map(to_der, (made, self._intermediate, self.root)))
        return Attester(Secret(plain), chain, manufacturer, model)


def _boot_state(attester: Attester) -> VerifiedBootState:
    return VerifiedBootState.VERIFIED if attester.device_locked else VerifiedBootState.UNVERIFIED


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name, key: PublicKey, issuer: x509.Name, dates: tuple[datetime, datetime], *, authority: bool = False
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
