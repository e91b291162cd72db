# SPDX-License-Identifier: Apache-2.0
"""Names of the PIV card edge: application, keys, algorithms, data objects (SP 800-73-5 part 1, SP 800-78-5)."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

APPLICATION_ID: Final = bytes.fromhex("A000000308000010000100")
"""The PIV card application, version 1.0 (SP 800-73-5 part 1 §2.2)."""

REGISTERED_PROVIDER_ID: Final = APPLICATION_ID[:5]
CONTENT: Final = 0x53


class KeyReference(IntEnum):
    """Keys and reference data of a card (SP 800-73-5 part 1 table 4)."""

    GLOBAL_PIN = 0x00
    PIN = 0x80
    PUK = 0x81
    AUTHENTICATION = 0x9A
    MANAGEMENT = 0x9B
    SIGNATURE = 0x9C
    KEY_MANAGEMENT = 0x9D
    CARD_AUTHENTICATION = 0x9E


RETIRED_KEY_MANAGEMENT: Final = range(0x82, 0x96)
"""Key references of the twenty retired key management keys."""


class Algorithm(IntEnum):
    """Algorithm identifiers (SP 800-78-5 table 9)."""

    TRIPLE_DES_DEFAULT = 0x00
    TRIPLE_DES = 0x03
    RSA_3072 = 0x05
    RSA_2048 = 0x07
    AES_128 = 0x08
    AES_192 = 0x0A
    AES_256 = 0x0C
    P256 = 0x11
    P384 = 0x14


class ObjectTag(IntEnum):
    """Tags of the data objects (SP 800-73-5 part 1 table 3)."""

    CARD_CAPABILITY_CONTAINER = 0x5FC107
    CHUID = 0x5FC102
    AUTHENTICATION_CERTIFICATE = 0x5FC105
    FINGERPRINTS = 0x5FC103
    SECURITY_OBJECT = 0x5FC106
    FACIAL_IMAGE = 0x5FC108
    CARD_AUTHENTICATION_CERTIFICATE = 0x5FC101
    SIGNATURE_CERTIFICATE = 0x5FC10A
    KEY_MANAGEMENT_CERTIFICATE = 0x5FC10B
    PRINTED_INFORMATION = 0x5FC109
    DISCOVERY = 0x7E
    KEY_HISTORY = 0x5FC10C
    IRIS_IMAGES = 0x5FC121
    BIOMETRIC_TEMPLATES_GROUP = 0x7F61
    SECURE_MESSAGING_SIGNER = 0x5FC122
    PAIRING_CODE = 0x5FC123


RETIRED_CERTIFICATES: Final = range(0x5FC10D, 0x5FC121)
"""Tags of the certificates of the retired key management keys, in the order of their key references."""

OBJECT_TAGS: Final = frozenset(ObjectTag) | frozenset(RETIRED_CERTIFICATES)
UNWRAPPED_TAGS: Final = frozenset({ObjectTag.DISCOVERY, ObjectTag.BIOMETRIC_TEMPLATES_GROUP})
"""Objects that come in a tag of their own instead of `53` (SP 800-73-5 part 2 §3.1.2)."""

PIN_PROTECTED_TAGS: Final = frozenset(
    {
        ObjectTag.FINGERPRINTS,
        ObjectTag.FACIAL_IMAGE,
        ObjectTag.IRIS_IMAGES,
        ObjectTag.PRINTED_INFORMATION,
        ObjectTag.PAIRING_CODE,
    }
)
"""Objects read only after the PIN (SP 800-73-5 part 1 table 3)."""

CERTIFICATE_TAGS: Final[Mapping[int, int]] = {
    KeyReference.AUTHENTICATION: ObjectTag.AUTHENTICATION_CERTIFICATE,
    KeyReference.SIGNATURE: ObjectTag.SIGNATURE_CERTIFICATE,
    KeyReference.KEY_MANAGEMENT: ObjectTag.KEY_MANAGEMENT_CERTIFICATE,
    KeyReference.CARD_AUTHENTICATION: ObjectTag.CARD_AUTHENTICATION_CERTIFICATE,
    **dict(zip(RETIRED_KEY_MANAGEMENT, RETIRED_CERTIFICATES, strict=True)),
}
"""The data object that holds the certificate of each key."""

CONTAINER_IDS: Final[Mapping[int, int]] = {
    ObjectTag.CARD_CAPABILITY_CONTAINER: 0xDB00,
    ObjectTag.CHUID: 0x3000,
    ObjectTag.FINGERPRINTS: 0x6010,
    ObjectTag.FACIAL_IMAGE: 0x6030,
    ObjectTag.PRINTED_INFORMATION: 0x3001,
    ObjectTag.DISCOVERY: 0x6050,
    ObjectTag.KEY_HISTORY: 0x6060,
    ObjectTag.IRIS_IMAGES: 0x1015,
}
"""Container identifiers of the objects that a security object may cover (SP 800-73-5 part 1 table 3)."""
