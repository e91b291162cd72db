# SPDX-License-Identifier: Apache-2.0
"""Distinguished names in a form in which equal names are equal texts (RFC 5280 §7.1)."""

from functools import lru_cache
from typing import Final

from asn1crypto import x509 as asn1_x509
from cryptography import x509

LIBRARY_FAILURES: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, NotImplementedError)
"""What asn1crypto, and path validation above it, raise for what they cannot read: no error of theirs is promised."""


@lru_cache(maxsize=1024)
def canonical_octets(encoded: bytes) -> str:
    """Return the canonical text of a DER Name; raises what the library does for what it cannot read."""
    name: str = asn1_x509.Name.load(encoded).hashable
    return name


def canonical(name: x509.Name) -> str:
    """Return the canonical text of a name."""
    return canonical_octets(name.public_bytes())
