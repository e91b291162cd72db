# SPDX-License-Identifier: Apache-2.0
"""Looking for a value in whatever form somebody might have written it."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

SHORT_NUMBER: Final = 10
DIGEST: Final = re.compile(
    rb"(?<![0-9a-fA-F])(?:"
    + b"|".join(b"[0-9a-fA-F]{%d}" % length for length in (128, 96, 64, 40, 32))
    + rb")(?![0-9a-fA-F])"
)
"""A whole hexadecimal number as long as identifiers and digests are."""

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


def found(form: bytes, content: bytes) -> bool:
    """Return whether a form stands in a content.

    Eight digits come up by chance in some megabytes of digests: inside of one they do not count.
    """
    if form.isdigit() and len(form) <= SHORT_NUMBER and form in content:
        return form in DIGEST.sub(b" ", content)
    return form in content


def leaked(secrets: Mapping[str, bytes], places: Mapping[str, bytes]) -> set[tuple[str, str]]:
    """Return which secret was found in which place."""
    return {
        (secret, place)
        for secret, value in secrets.items()
        for form in forms(value)
        for place, content in places.items()
        if found(form, content)
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
