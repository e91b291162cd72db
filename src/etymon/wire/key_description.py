# SPDX-License-Identifier: Apache-2.0
"""What Android's key attestation says of a key: the KeyDescription extension (Keymaster 2 to KeyMint 4 and later)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from etymon.kernel.errors import DecodeError
from etymon.wire import der
from etymon.wire.authorization_list import (
    AuthorizationList,
    decode_list,
    encode_list,
    malformed,
    to_enumerated,
    to_number,
)

EXTENSION: Final = "1.3.6.1.4.1.11129.2.1.17"
LIMIT_BYTES: Final = 8 * 1024


class SecurityLevel(IntEnum):
    """Where a key, or what attests it, lives."""

    SOFTWARE = 0
    TRUSTED_ENVIRONMENT = 1
    STRONG_BOX = 2


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """An attested key. Only what stands in `hardware_enforced` is vouched for by the secure world."""

    attestation_version: int
    attestation_security_level: SecurityLevel
    keymaster_version: int
    keymaster_security_level: SecurityLevel
    challenge: bytes
    unique_id: bytes
    software_enforced: AuthorizationList
    hardware_enforced: AuthorizationList


@dataclass(frozen=True, slots=True)
class ApplicationId:
    """Who had a key made: packages with their versions, and the SHA-256 of the certificates that signed them."""

    packages: tuple[tuple[str, int], ...]
    signature_digests: tuple[bytes, ...]


def decode(data: bytes) -> KeyDescription:
    """Read the value of the extension; raises `DecodeError`."""
    if len(data) > LIMIT_BYTES:
        raise DecodeError("key_description_too_large", f"A key description has at most {LIMIT_BYTES} bytes.")
    parts = der.elements(der.only(data, der.SEQUENCE).content)
    if len(parts) != 8:
        raise malformed("It has eight members.")
    version = to_number(parts[0])
    return KeyDescription(
        attestation_version=version,
        attestation_security_level=to_enumerated(SecurityLevel, parts[1]),
        keymaster_version=to_number(parts[2]),
        keymaster_security_level=to_enumerated(SecurityLevel, parts[3]),
        challenge=der.expect(parts[4], der.OCTET_STRING).content,
        unique_id=der.expect(parts[5], der.OCTET_STRING).content,
        software_enforced=decode_list(parts[6], version),
        hardware_enforced=decode_list(parts[7], version),
    )


def encode(description: KeyDescription) -> bytes:
    """Return the value of the extension, tags in ascending order."""
    return der.sequence(
        der.integer(description.attestation_version),
        der.enumerated(description.attestation_security_level),
        der.integer(description.keymaster_version),
        der.enumerated(description.keymaster_security_level),
        der.octet_string(description.challenge),
        der.octet_string(description.unique_id),
        encode_list(description.software_enforced),
        encode_list(description.hardware_enforced),
    )


def decode_application_id(data: bytes) -> ApplicationId:
    """Read the content of attestationApplicationId; raises `DecodeError`."""
    members = der.elements(der.only(data, der.SEQUENCE).content)
    if len(members) != 2:
        raise malformed("An application id has packages and digests.")
    packages: list[tuple[str, int]] = []
    for package in der.elements(der.expect(members[0], der.SET).content):
        parts = der.elements(der.expect(package, der.SEQUENCE).content)
        if len(parts) != 2:
            raise malformed("A package has a name and a version.")
        try:
            name = der.expect(parts[0], der.OCTET_STRING).content.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise malformed("A package's name is UTF-8.") from exc
        packages.append((name, to_number(parts[1])))
    digests = der.elements(der.expect(members[1], der.SET).content)
    return ApplicationId(tuple(packages), tuple(der.expect(each, der.OCTET_STRING).content for each in digests))


def encode_application_id(application: ApplicationId) -> bytes:
    """Return the content of attestationApplicationId."""
    packages = b"".join(
        der.sequence(der.octet_string(name.encode("utf-8")), der.integer(version))
        for name, version in application.packages
    )
    digests = b"".join(map(der.octet_string, application.signature_digests))
    return der.sequence(der.encode(der.SET, packages), der.encode(der.SET, digests))
