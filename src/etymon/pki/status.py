# SPDX-License-Identifier: Apache-2.0
"""Whether a certificate is revoked: the seam, and the source that asks the certificate's own issuer over HTTP."""

import enum
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from etymon.kernel.entropy import Entropy
from etymon.pki import revocation_data
from etymon.pki.certificate import extension, spki_sha256
from etymon.pki.errors import NotTrusted
from etymon.pki.revocation_data import VerifiedCRL
from etymon.pki.status_hosts import StatusHosts

OCSP_LIMIT_BYTES: Final = 100 * 1000
CRL_LIMIT_BYTES: Final = 10 * 1000 * 1000
MOST_ADDRESSES: Final = 3
"""Addresses of one kind in a certificate that are tried."""

MOST_CACHED_LISTS: Final = 64


class StatusKind(enum.Enum):
    """Where a status comes from."""

    OCSP = "ocsp"
    CRL = "crl"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class StatusEvidence:
    """Why a certificate counts as not revoked; `der` is the raw answer, to be kept with what it allowed."""

    kind: StatusKind
    url: str | None
    der: bytes = field(repr=False)
    this_update: datetime
    next_update: datetime | None


class StatusSource(Protocol):
    """Says whether a certificate is revoked."""

    def status(self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime) -> StatusEvidence:
        """Return evidence that `certificate` is not revoked at `at`, or raise `NotTrusted`: unknown means no."""
        ...


class RevocationLists(Protocol):
    """Fetches whole lists, for whoever looks at many certificates of one issuer."""

    def list_address(self, certificate: x509.Certificate) -> str:
        """Return where the list that has `certificate` in its scope may be fetched; empty where there is none."""
        ...

    def revocation_list(self, url: str, issuer: x509.Certificate, *, at: datetime) -> VerifiedCRL | None:
        """Return the list at an address, fetched now; None where nothing usable comes."""
        ...


class NoRevocationLists:
    """For deployments that ask for each certificate."""

    def list_address(self, certificate: x509.Certificate) -> str:  # noqa: ARG002 - the seam's signature
        """Return none."""
        return ""

    def revocation_list(self, url: str, issuer: x509.Certificate, *, at: datetime) -> VerifiedCRL | None:  # noqa: ARG002 - the seam's signature
        """Return none."""
        return None


class CRLCache:
    """Verified CRLs by address, until their nextUpdate; shared between validations and threads."""

    def __init__(self) -> None:
        self._lists: dict[str, VerifiedCRL] = {}
        self._lock = threading.Lock()

    def find(self, url: str, issuer: x509.Certificate, at: datetime) -> VerifiedCRL | None:
        """Return the list of an address if it is still current and this issuer signed it."""
        with self._lock:
            found = self._lists.get(url)
        if found is None or not found.this_update <= at < found.next_update:
            return None
        return found if found.issuer_spki_sha256 == spki_sha256(issuer) else None

    def keep(self, url: str, revocation_list: VerifiedCRL) -> None:
        """Keep a list; when there are too many, the one that ends first goes."""
        with self._lock:
            self._lists[url] = revocation_list
            if len(self._lists) > MOST_CACHED_LISTS:
                del self._lists[min(self._lists, key=lambda key: self._lists[key].next_update)]


class HTTPStatusSource:
    """OCSP first, then the CRL, at the addresses in the certificate, and only at hosts that were named here.

    `hosts` are `host` (any port) or `host:port`, lower-case. An authoritative answer of either kind ends the
    search; an unreachable, unreadable, unverifiable or outdated one moves on to the next.

    A source is for one validation and made for it: its time to ask is over some seconds later (`Patience`).
    """

    def __init__(self, hosts: frozenset[str], asked: StatusHosts, entropy: Entropy, cache: CRLCache) -> None:
        self._hosts = hosts
        self._asked = asked
        self._until = asked.deadline()
        self._entropy = entropy
        self._cache = cache

    def status(self, certificate: x509.Certificate, issuer: x509.Certificate, *, at: datetime) -> StatusEvidence:
        """Return the evidence of the first source that answers."""
        for url in self._permitted(_ocsp_addresses(certificate)):
            evidence = self._ask(url, certificate, issuer, at)
            if evidence is not None:
                return evidence
        for url in self._permitted(_crl_addresses(certificate)):
            evidence = self._look_up(url, certificate, issuer, at)
            if evidence is not None:
                return evidence
        raise NotTrusted(
            "status_unavailable",
            "Whether this certificate was revoked cannot be found out right now. Try again in a few minutes.",
        )

    def _ask(
        self, url: str, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime
    ) -> StatusEvidence | None:
        nonce = self._entropy.octets(16)
        request = revocation_data.ocsp_request(certificate, issuer, nonce)
        body = self._asked.fetch(url, OCSP_LIMIT_BYTES, until=self._until, ocsp_request=request)
        answer = revocation_data.judge_ocsp(body, certificate, issuer, nonce=nonce, at=at) if body else None
        if body is None or answer is None:
            return None
        return StatusEvidence(StatusKind.OCSP, url, body, answer.this_update, answer.next_update)

    def _look_up(
        self, url: str, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime
    ) -> StatusEvidence | None:
        found = self._cache.find(url, issuer, at)
        if found is None:
            body = self._asked.fetch(url, CRL_LIMIT_BYTES, until=self._until)
            found = revocation_data.verify_crl(body, issuer, at=at) if body else None
            if found is None:
                return None
            self._cache.keep(url, found)
        if not revocation_data.covers(found, certificate, url):
            return None
        revocation_data.require_not_listed(found, certificate)
        return StatusEvidence(StatusKind.CRL, url, found.der, found.this_update, found.next_update)

    def list_address(self, certificate: x509.Certificate) -> str:
        """Return the first address of a CRL in the certificate whose host is named here; empty where there is none."""
        return next(iter(self._permitted(_crl_addresses(certificate))), "")

    def revocation_list(self, url: str, issuer: x509.Certificate, *, at: datetime) -> VerifiedCRL | None:
        """Fetch a list, whether or not an older one is known; it has to be for the certificates of people."""
        body = self._asked.fetch(url, CRL_LIMIT_BYTES, until=self._until) if self._is_permitted(url) else None
        found = revocation_data.verify_crl(body, issuer, at=at) if body else None
        if found is None or not revocation_data.covers_cards(found, url):
            return None
        self._cache.keep(url, found)
        return found

    def _permitted(self, urls: Iterator[str]) -> list[str]:
        return [url for url in urls if self._is_permitted(url)][:MOST_ADDRESSES]

    def _is_permitted(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (ValueError, KeyError):
            return False
        host = (parts.hostname or "").lower()
        named = f"[{host}]" if ":" in host else host
        return parts.username is None and bool({named, f"{named}:{port}"} & self._hosts)


def names_responder(certificate: x509.Certificate) -> bool:
    """Say whether a certificate names an OCSP responder."""
    return any(_ocsp_addresses(certificate))


def _ocsp_addresses(certificate: x509.Certificate) -> Iterator[str]:
    found = extension(certificate, x509.AuthorityInformationAccess)
    for access in found.value if found else ():
        if access.access_method == AuthorityInformationAccessOID.OCSP and isinstance(
            access.access_location, x509.UniformResourceIdentifier
        ):
            yield access.access_location.value


def _crl_addresses(certificate: x509.Certificate) -> Iterator[str]:
    found = extension(certificate, x509.CRLDistributionPoints)
    for point in found.value if found else ():
        if point.reasons is None and point.crl_issuer is None:
            for name in point.full_name or ():
                if isinstance(name, x509.UniformResourceIdentifier):
                    yield name.value
