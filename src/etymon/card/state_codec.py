# SPDX-License-Identifier: Apache-2.0
"""A card's state as bytes and back; these bytes hold private keys and only ever leave encrypted."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from etymon.card.private_keys import CardPrivateKey
from etymon.card.state import CardState, ManagementKey, ReferenceData
from etymon.kernel.errors import DecodeError, Malformed
from etymon.kernel.secret import Secret
from etymon.wire.piv import Algorithm

VERSION: Final = 1


def encode(state: CardState) -> bytes:
    """Return the state; private keys as PKCS#8 (RFC 5958)."""
    document = {
        "version": VERSION,
        "pin": _reference(state.pin),
        "puk": _reference(state.puk),
        "management_key": {
            "algorithm": int(state.management_key.algorithm),
            "value": _text(state.management_key.value.reveal()),
        },
        "keys": {f"{reference:02X}": _text(_pkcs8(key)) for reference, key in state.keys.items()},
        "objects": {f"{tag:X}": _text(content) for tag, content in state.objects.items()},
    }
    return json.dumps(document, sort_keys=True).encode()


def decode(data: bytes) -> CardState:
    """Read what `encode` wrote; raises `DecodeError` for anything else."""
    try:
        document = json.loads(data)
        if document["version"] != VERSION:
            raise DecodeError("card_version", f"This card file is not of version {VERSION}.")
        state = CardState(
            pin=_read_reference(document["pin"]),
            puk=_read_reference(document["puk"]),
            management_key=ManagementKey(
                Algorithm(document["management_key"]["algorithm"]),
                Secret(_octets(document["management_key"]["value"])),
            ),
            objects={int(tag, 16): _octets(value) for tag, value in document["objects"].items()},
        )
        for reference, value in document["keys"].items():
            state = state.with_key(int(reference, 16), _private_key(_octets(value)))
    except (ValueError, TypeError, KeyError, AttributeError, Malformed) as exc:
        if isinstance(exc, DecodeError):
            raise
        raise DecodeError("card_state", "The card file does not hold a card.") from exc
    return state


def _reference(data: ReferenceData) -> dict[str, str | int]:
    return {"value": _text(data.value.reveal()), "remaining": data.remaining, "maximum": data.maximum}


def _read_reference(document: Mapping[str, Any]) -> ReferenceData:
    return ReferenceData(Secret(_octets(document["value"])), int(document["remaining"]), int(document["maximum"]))


def _pkcs8(key: CardPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _private_key(der: bytes) -> CardPrivateKey:
    key = load_der_private_key(der, None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise DecodeError("card_key_type", "The card file holds a key that no PIV card holds.")
    return key


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _octets(value: str) -> bytes:
    return base64.b64decode(value, validate=True)
