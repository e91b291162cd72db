# SPDX-License-Identifier: Apache-2.0
"""Key attestation: whether a key was made in, and cannot leave, a module that its maker vouches for (Android).

`verify` judges what no policy can forgive: chain, key, challenge, origin. `require` judges what a policy asks for.
Only the list that the hardware enforces counts.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.kernel.errors import DecodeError
from etymon.kernel.secret import same
from etymon.pki import attestation_chain
from etymon.pki.algorithms import PublicKey
from etymon.pki.attestation_chain import AttestationTrust, NotAttested
from etymon.pki.certificate import public_key, spki
from etymon.wire import key_description
from etymon.wire.authorization_list import AuthorizationList, VerifiedBootState
from etymon.wire.key_description import ApplicationId, KeyDescription, SecurityLevel

LONGEST_CHALLENGE_BYTES: Final = 128

GENERATED: Final = 0
DECRYPT: Final = 1
SIGN: Final = 2
RSA: Final = 1
EC: Final = 3
DEVICE_IDS: Final = (
    "attestationIdBrand",
    "attestationIdDevice",
    "attestationIdProduct",
    "attestationIdManufacturer",
    "attestationIdModel",
    "attestationIdSerial",
    "attestationIdImei",
    "attestationIdSecondImei",
    "attestationIdMeid",
)
"""What a device's hardware may say of which device it is."""
CURVES: Final = {"secp256r1": 1, "secp384r1": 2}
KEY_MINT: Final = 100
"""From this attestation version on, what attests lives where the key lives."""

LARGEST_PATCH_LEVEL: Final = 2**63 - 1
"""What tables hold; the format would let one bit more through."""


@dataclass(frozen=True, slots=True)
class AttestedKey:
    """What an attestation proves of a key. Texts are empty, and numbers None, where it does not say them."""

    certificate: x509.Certificate
    description: KeyDescription
    security_level: SecurityLevel
    """The lower one of what attests and what keeps the key."""

    @property
    def device_locked(self) -> bool:
        """Whether the secure world says that only the maker's system, or the owner's, can be booted."""
        root = self.description.hardware_enforced.root_of_trust
        return root is not None and root.device_locked

    @property
    def boot_state(self) -> VerifiedBootState | None:
        """What the boot loader found, as the secure world says it."""
        root = self.description.hardware_enforced.root_of_trust
        return root.verified_boot_state if root else None

    @property
    def manufacturer(self) -> str:
        """Who made the device, if that is attested."""
        return self._text("attestationIdManufacturer")

    @property
    def model(self) -> str:
        """The device's model, if that is attested."""
        return self._text("attestationIdModel")

    @property
    def os_patch_level(self) -> int | None:
        """Year and month of the system's security patches."""
        return self.description.hardware_enforced.number("osPatchLevel")

    @property
    def unknown_tags(self) -> tuple[int, ...]:
        """Tags of the hardware's list that nobody has published."""
        return tuple(number for number, _ in self.description.hardware_enforced.unknown)

    def require_same_device(self, other: "AttestedKey") -> None:
        """Raise `NotAttested` where both keys' hardware names its device, and not the same one."""
        mine, theirs = self.description.hardware_enforced, other.description.hardware_enforced
        for name in DEVICE_IDS:
            here, there = mine.octets(name), theirs.octets(name)
            if here is not None and there is not None and here != there:
                raise NotAttested("attestation_other_device", "The key is in another device than the keys before it.")

    def _text(self, name: str) -> str:
        return (self.description.hardware_enforced.octets(name) or b"").decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a policy asks of an attested key."""

    security_level: SecurityLevel = SecurityLevel.TRUSTED_ENVIRONMENT
    verified_boot: bool = True


def verify(
    encoded: Sequence[bytes],
    trust: AttestationTrust,
    at: datetime,
    *,
    challenges: Collection[bytes] | None,
    key: PublicKey | None = None,
    purposes: Collection[int] = (),
) -> AttestedKey:
    """Return what a chain of DER certificates, leaf first, proves of the key it is for; raises `NotAttested`.

    It must be made for one of `challenges`. None there or for `key` asks for none in particular; `purposes` must be
    among those the hardware allows.
    """
    chain = attestation_chain.verify(encoded, trust, at)
    leaf, description = chain.leaf, chain.description
    if key is not None and spki(leaf) != spki(key):
        raise NotAttested("attestation_wrong_key", "The attestation is for another key than the one that is asked for.")
    if challenges is not None and not any(same(description.challenge, given) for given in challenges):
        raise NotAttested("attestation_wrong_challenge", "The key was not made for this request. Make a new key.")
    enforced = description.hardware_enforced
    if description.keymaster_security_level is SecurityLevel.SOFTWARE:
        enforced = description.software_enforced  # there is no hardware: its list is empty, and the level says so
    _require_described(public_key(leaf), enforced)
    if (description.hardware_enforced.number("osPatchLevel") or 0) > LARGEST_PATCH_LEVEL:
        raise NotAttested("attestation_malformed", "The patch level of the attestation is no year and month.")
    if enforced.number("origin") != GENERATED:
        raise NotAttested("attestation_not_generated", "The key was brought into the module, not made there.")
    if not enforced.numbers("purpose").issuperset(purposes):
        raise NotAttested("attestation_wrong_purpose", "The key was not made for this use.")
    if "allApplications" in enforced.values or "allApplications" in description.software_enforced.values:
        raise NotAttested("attestation_all_applications", "Every application of the device may use the key.")
    levels = {description.attestation_security_level, description.keymaster_security_level}
    if description.attestation_version >= KEY_MINT and len(levels) > 1:
        raise NotAttested("attestation_security_level", "Another module attests than the one that keeps the key.")
    return _attested(leaf, description)


def read(encoded: Sequence[bytes]) -> AttestedKey:
    """Return what a chain says of a key that `verify` took before; judges nothing. Raises `NotAttested` for garbage."""
    chain = attestation_chain.read(encoded)
    return _attested(chain.leaf, chain.description)


def require(attested: AttestedKey, wanted: Requirements) -> None:
    """Return if an attested key is what a policy asks for; raises `NotAttested`."""
    if attested.security_level < wanted.security_level:
        raise NotAttested(
            "attestation_security_level",
            f"The key lives in {attested.security_level.name.lower().replace('_', ' ')}, which is less than is asked "
            f"for: {wanted.security_level.name.lower().replace('_', ' ')}.",
        )
    verified = attested.device_locked and attested.boot_state is VerifiedBootState.VERIFIED
    if wanted.verified_boot and not verified:
        raise NotAttested(
            "attestation_boot_state",
            "The device's boot loader is unlocked, or what it booted is not its maker's system.",
        )


def _attested(leaf: x509.Certificate, description: KeyDescription) -> AttestedKey:
    levels = (description.attestation_security_level, description.keymaster_security_level)
    return AttestedKey(leaf, description, min(levels))


def application_id(attested: AttestedKey) -> ApplicationId:
    """Return who had the key made, as the device's system says it; raises `NotAttested`."""
    octets = attested.description.software_enforced.octets("attestationApplicationId")
    if octets is None:
        return ApplicationId((), ())
    try:
        return key_description.decode_application_id(octets)
    except DecodeError as exc:
        raise NotAttested("attestation_malformed", exc.detail) from exc


def _require_described(key: PublicKey, enforced: AuthorizationList) -> None:
    """Refuse a description of another kind of key than the certificate's."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        # ecCurve came with Keymaster 2's successors; keySize is said by all
        described = enforced.number("algorithm") == EC and enforced.number("ecCurve") in {None, CURVES[key.curve.name]}
    else:
        described = enforced.number("algorithm") == RSA
    if not described or enforced.number("keySize") not in {None, key.key_size}:
        raise NotAttested(
            "attestation_key_mismatch", "The attestation describes another kind of key than it certifies."
        )
