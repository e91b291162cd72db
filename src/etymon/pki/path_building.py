# SPDX-License-Identifier: Apache-2.0
"""A trust entry as the path validation library's own objects, and the paths that can be built from it."""

import threading
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from asn1crypto import algos, keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pyhanko_certvalidator.authority import AuthorityWithCert, TrustAnchor, TrustQualifiers
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import PathBuildingError
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import (
    NO_REVOCATION,
    AlgorithmUsageConstraint,
    AlgorithmUsagePolicy,
    CertRevTrustPolicy,
)
from pyhanko_certvalidator.registry import CertificateRegistry, SimpleTrustManager

from etymon.kernel.errors import Malformed
from etymon.pki import key_policy
from etymon.pki.certificate import to_der
from etymon.pki.errors import NotTrusted
from etymon.pki.trust_entry import TrustEntry

MOST_PATHS: Final = 8
"""Candidate paths that are tried; an entry with cross-certificates has a few."""

LONGEST_PATH: Final = 8
"""Certificates between leaf and anchor, both included."""

MOST_READ_ENTRIES: Final = 32

LIBRARY_FAILURES: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, NotImplementedError)
"""What the library raises for certificates it cannot read: its parser promises no error of its own."""

_SIGNATURES: Final = frozenset({"rsassa_pkcs1v15", "rsassa_pss", "ecdsa"})
_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})

Result = TypeVar("Result")


def paths(context: ValidationContext, leaf: bytes) -> Iterable[ValidationPath]:
    """Yield candidate paths, at most `MOST_PATHS`, each with a leaf, an anchor, and a bounded length."""
    candidates = context.path_builder.async_build_paths_lazy(asn1_x509.Certificate.load(leaf, strict=True))
    for _ in range(MOST_PATHS):
        try:
            path: ValidationPath = drive(candidates.__anext__())
        except (StopAsyncIteration, PathBuildingError):
            return
        except LIBRARY_FAILURES as exc:
            raise NotTrusted("path_invalid", "A certificate of the path cannot be read.") from exc
        if 1 <= path.pkix_len < LONGEST_PATH:
            yield path


def drive(awaitable: Awaitable[Result]) -> Result:
    """Run a coroutine that waits for nothing: without fetching, the library's never do."""
    waiting = awaitable.__await__()
    try:
        next(waiting)
    except StopIteration as finished:
        result: Result = finished.value
        return result
    message = "path validation waited for something, though nothing is fetched"
    raise RuntimeError(message)


def validation_context(entry: TrustEntry, at: datetime) -> ValidationContext:
    """Return the library's view of an entry at a moment: its anchors and intermediates, and nothing fetched."""
    material = _material(entry)
    registry = CertificateRegistry()
    registry.register_multiple(material.intermediates)
    return ValidationContext(
        trust_manager=material.anchors,
        certificate_registry=registry,
        moment=at,
        allow_fetching=False,
        revinfo_policy=CertRevTrustPolicy(NO_REVOCATION),
        algorithm_usage_policy=_ALLOWED_ALGORITHMS,
        time_tolerance=timedelta(0),
    )


@dataclass(frozen=True, slots=True)
class _Material:
    """An entry's certificates as the library's own objects."""

    anchors: SimpleTrustManager
    intermediates: tuple[asn1_x509.Certificate, ...]


class _ReadEntries(threading.local):
    """Entries this thread read before.

    The library's objects parse themselves while they are looked at, so that no two threads may share them.
    """

    def __init__(self) -> None:
        self.materials: dict[TrustEntry, _Material] = {}


_read_entries: Final = _ReadEntries()


def _material(entry: TrustEntry) -> _Material:
    materials = _read_entries.materials
    if entry not in materials:
        if len(materials) >= MOST_READ_ENTRIES:
            materials.clear()
        materials[entry] = _Material(
            SimpleTrustManager.build(trust_roots=[_anchor(found) for found in entry.anchors]),
            tuple(asn1_x509.Certificate.load(to_der(found)) for found in entry.intermediates),
        )
    return materials[entry]


def _anchor(certificate: x509.Certificate) -> TrustAnchor:
    """Return an anchor that counts only while its own certificate is valid, which RFC 5280 leaves to us."""
    qualifiers = TrustQualifiers(
        valid_from=certificate.not_valid_before_utc, valid_until=certificate.not_valid_after_utc
    )
    return TrustAnchor(AuthorityWithCert(asn1_x509.Certificate.load(to_der(certificate))), qualifiers)


class _AllowedAlgorithms(AlgorithmUsagePolicy):
    """What may sign a certificate of a path: an allow-list (Common Policy profiles v2.2, P-2; V-8)."""

    def digest_algorithm_allowed(
        self, algo: algos.DigestAlgorithm, moment: datetime | None
    ) -> AlgorithmUsageConstraint:
        """Allow SHA-2 from 256 bits."""
        del moment
        return AlgorithmUsageConstraint(algo["algorithm"].native in _HASHES)

    def signature_algorithm_allowed(
        self, algo: algos.SignedDigestAlgorithm, moment: datetime | None, public_key: keys.PublicKeyInfo | None
    ) -> AlgorithmUsageConstraint:
        """Allow RSA and ECDSA with SHA-2 and a key that is strong enough."""
        del moment
        try:
            allowed = algo.signature_algo in _SIGNATURES and algo.hash_algo in _HASHES
            if allowed and public_key is not None:
                key_policy.check_issuer(load_der_public_key(public_key.dump()))
        except (ValueError, UnsupportedAlgorithm, Malformed):
            allowed = False
        return AlgorithmUsageConstraint(allowed)


_ALLOWED_ALGORITHMS: Final = _AllowedAlgorithms()
