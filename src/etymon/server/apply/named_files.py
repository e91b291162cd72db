# SPDX-License-Identifier: Apache-2.0
"""Files that an organisation's file names: certificates, a logo, a password. Paths are relative to that file."""

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from etymon.pki import attestation_status as status_lists
from etymon.pki import certificate as certificates
from etymon.pki.attestation_status import AttestationStatusList
from etymon.server.apply.resource import Binary

LARGEST_FILE_BYTES: Final = 512 * 1024
LOGO_TYPES: Final = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
"""Media types of logos by the octets that their files begin with."""


def content(file: Path) -> bytes:
    """Return a file's octets; raises Malformed."""
    try:
        with file.open("rb") as stream:
            octets = stream.read(LARGEST_FILE_BYTES + 1)
    except OSError as exc:
        raise Malformed("named_file", f"{file} cannot be read: {exc.strerror or exc}.") from exc
    if len(octets) > LARGEST_FILE_BYTES:
        raise Malformed("named_file", f"{file} is larger than {LARGEST_FILE_BYTES // 1024} kB.")
    return octets


def certificate(file: Path) -> x509.Certificate:
    """Return the one certificate of a file, PEM or DER; raises Malformed."""
    octets = content(file)
    try:
        found = certificates.load_many(octets)
    except Malformed as exc:
        raise Malformed("named_file", f"{file}: {exc.detail}") from exc
    if len(found) != 1:
        raise Malformed("named_file", f"{file} holds {len(found)} certificates; name a file that holds one.")
    return found[0]


def roots(files: Iterable[Path]) -> tuple[Binary, ...]:
    """Return the certificates of files that may hold several, in an order of their own; raises Malformed."""
    found: set[x509.Certificate] = set()
    for file in files:
        try:
            found.update(certificates.load_many(content(file)))
        except Malformed as exc:
            raise Malformed("named_file", f"{file}: {exc.detail}") from exc
    return tuple(sorted(map(certificate_value, found), key=lambda root: root.base64))


def attestation_status(file: Path) -> AttestationStatusList:
    """Return a maker's list of revoked attestation keys; raises Malformed."""
    try:
        return status_lists.load(content(file))
    except Malformed as exc:
        raise Malformed("named_file", f"{file}: {exc.detail}") from exc


def status_value(serial_numbers: Iterable[str]) -> Binary:
    """Return the serial numbers of a list as a value: told by how many they are."""
    listed = sorted(serial_numbers)
    return Binary(base64.b64encode("\n".join(listed).encode()).decode("ascii"), f"{len(listed)} revoked keys")


def serials(value: Binary) -> list[str]:
    """Return the serial numbers that `status_value` holds."""
    return base64.b64decode(value.base64).decode().split()


def logo(file: Path) -> tuple[str, Binary]:
    """Return a logo's media type and octets; raises Malformed unless it is PNG or JPEG."""
    octets = content(file)
    media_type = next((kind for start, kind in LOGO_TYPES.items() if octets.startswith(start)), None)
    if media_type is None:
        raise Malformed("named_file", f"{file} is neither PNG nor JPEG.")
    return media_type, image_value(media_type, octets)


def password(file: Path) -> Secret[str]:
    """Return a file's first line; raises Malformed when there is none."""
    try:
        lines = content(file).decode("utf-8").splitlines()
    except UnicodeDecodeError as exc:
        raise Malformed("named_file", f"{file} is not text in UTF-8.") from exc
    if not lines or not lines[0]:
        raise Malformed("named_file", f"{file} is empty; its first line is the password.")
    return Secret(lines[0])


def certificate_value(found: x509.Certificate) -> Binary:
    """Return a certificate as a value: told by its subject and the beginning of its SHA-256."""
    told = f"{found.subject.rfc4514_string()} (SHA-256 {certificates.thumbprint(found).hex()[:16]}…)"
    return Binary(base64.b64encode(found.public_bytes(Encoding.DER)).decode("ascii"), told)


def image_value(media_type: str, octets: bytes) -> Binary:
    """Return an image as a value."""
    return Binary(base64.b64encode(octets).decode("ascii"), f"{media_type}, {len(octets)} bytes")
