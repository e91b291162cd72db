# SPDX-License-Identifier: Apache-2.0
"""Looking for a value in whatever form somebody might have written it."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def forms(value: bytes) -> frozenset[bytes]:
    """Return a value as bytes, hex, decimal and base64, wherever in a longer text it begins."""
    found = {value, value.hex().encode(), value.hex().upper().encode()}
    if len(value) >= 16:
        found.add(str(int.from_bytes(value, "big")).encode())
    for before in range(3):
        whole = base64.b64encode(bytes(before) + value)
        begins = -(-before * 8 // 6)  # the first character that depends on the value alone
        ends = (before + len(value)) * 8 // 6
        inner = whole[begins:ends]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return frozenset(form for form in found if len(form) >= 8)


def leaked(secrets: Mapping[str, bytes], places: Mapping[str, bytes]) -> set[tuple[str, str]]:
    """Return which secret was found in which place."""
    return {
        (secret, place)
        for secret, value in secrets.items()
        for form in forms(value)
        for place, content in places.items()
        if form in content
    }


def files(directory: Path) -> Mapping[str, bytes]:
    """Return the content of every file below a directory."""
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def numbers(name: str, key: PrivateKey) -> Iterator[tuple[str, bytes]]:
    """Return the numbers that make a private key private."""
    if isinstance(key, rsa.RSAPrivateKey):
        private = key.private_numbers()
        parts = {"p": private.p, "q": private.q, "d": private.d, "dp": private.dmp1, "dq": private.dmq1}
    else:
        parts = {"d": key.private_numbers().private_value}
    for part, number in parts.items():
        yield f"{name} {part}", number.to_bytes((number.bit_length() + 7) // 8, "big")


def texts(values: Iterable[str]) -> Mapping[str, bytes]:
    """Return texts as what to look for; each is its own name."""
    return {value: value.encode() for value in values}
