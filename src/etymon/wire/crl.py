# SPDX-License-Identifier: Apache-2.0
"""The signed part of a certificate revocation list (RFC 5280 §5.1), written entry by entry.

A list may have a hundred thousand entries, which the certificate library's builder would copy at each addition. Here an
entry is a few dozen bytes of one growing buffer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from etymon.wire import der

MEDIA_TYPE: Final = "application/pkix-crl"

_VERSION_2: Final = der.integer(1)
_REASON_CODE: Final = der.object_identifier("2.5.29.21")
_CRL_NUMBER: Final = der.object_identifier("2.5.29.20")
_AUTHORITY_KEY_IDENTIFIER: Final = der.object_identifier("2.5.29.35")
_UNSPECIFIED: Final = 0
_CONTEXT_0_PRIMITIVE: Final = 0x80


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One revoked certificate. `reason` is the CRLReason; 0, unspecified, is left out (RFC 5280 §5.3.1)."""

    serial: int
    revoked_at: datetime
    reason: int


@dataclass(frozen=True, slots=True)
class ListHead:
    """What stands around the entries. `algorithm` and `issuer` are DER: AlgorithmIdentifier and Name."""

    algorithm: bytes
    issuer: bytes
    authority_key_identifier: bytes
    number: int
    this_update: datetime
    next_update: datetime


@dataclass(frozen=True, slots=True)
class EncodedEntries:
    """The content of revokedCertificates, and how many entries that is."""

    content: bytes | bytearray
    count: int


def encode_entries(entries: Iterable[RevokedEntry]) -> EncodedEntries:
    """Write entries one after the other as they come."""
    content, count = bytearray(), 0
    for entry in entries:
        content += _entry(entry)
        count += 1
    return EncodedEntries(content, count)


def encode_tbs(head: ListHead, entries: EncodedEntries) -> bytes:
    """Return the TBSCertList: version 2, full and complete, without an issuing distribution point."""
    key_identifier = der.sequence(der.encode(_CONTEXT_0_PRIMITIVE, head.authority_key_identifier))
    extensions = der.sequence(
        der.sequence(_AUTHORITY_KEY_IDENTIFIER, der.octet_string(key_identifier)),
        der.sequence(_CRL_NUMBER, der.octet_string(der.integer(head.number))),
    )
    return der.sequence(
        _VERSION_2,
        head.algorithm,
        head.issuer,
        der.time(head.this_update),
        der.time(head.next_update),
        der.encode(der.SEQUENCE, entries.content) if entries.count else b"",
        der.explicit(0, extensions),
    )


def _entry(entry: RevokedEntry) -> bytes:
    reason = b""
    if entry.reason != _UNSPECIFIED:
        reason = der.sequence(der.sequence(_REASON_CODE, der.octet_string(der.enumerated(entry.reason))))
    return der.sequence(der.integer(entry.serial), der.time(entry.revoked_at), reason)
