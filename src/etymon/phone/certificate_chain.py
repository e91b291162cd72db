# SPDX-License-Identifier: Apache-2.0
"""Which certificate issued which. Whom a path is good for is judged by those who are shown it."""

from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from etymon.kernel.errors import NotPermitted

LONGEST_CHAIN: Final = 8


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Say whether name and signature of `certificate` are the issuer's."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def chain(leaf: x509.Certificate, known: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Return the issuers of `leaf` from its own upward; `NotPermitted` `unknown_authority` if its own is not known."""
    found = known_issuers(leaf, known)
    if not found:
        raise NotPermitted("unknown_authority", "The certificate was not issued by the issuer's authority.")
    return found


def known_issuers(leaf: x509.Certificate, known: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Return those issuers of `leaf`, from its own upward, that are known."""
    found: list[x509.Certificate] = []
    current = leaf
    while len(found) < LONGEST_CHAIN and current.issuer != current.subject:
        issuer = next((item for item in known if issued_by(current, item)), None)
        if issuer is None:
            break
        found.append(issuer)
        current = issuer
    return tuple(found)


def without_roots(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Return the issuers that are sent along: all but those who certify themselves (RFC 8446 §4.4.2)."""
    return tuple(issuer for issuer in certificates if issuer.subject != issuer.issuer)
