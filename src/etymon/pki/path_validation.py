# SPDX-License-Identifier: Apache-2.0
"""Certification path validation (RFC 5280 §6.1) against a trust entry, with policies and revocation, fail closed.

Paths are built from the entry's own anchors and intermediates; nothing is fetched for them. The library walks the
path (signatures, validity, names, constraints, policies); kind, usage, keys and status are judged here.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from cryptography import x509
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    NotYetValidError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.policy_decl import PKIXValidationParams
from pyhanko_certvalidator.validate import async_validate_path

from etymon.kernel.errors import Malformed
from etymon.pki import leaf_checks
from etymon.pki.certificate import to_der
from etymon.pki.errors import NotTrusted
from etymon.pki.path_building import LIBRARY_FAILURES, drive, paths, validation_context
from etymon.pki.status import StatusEvidence, StatusSource
from etymon.pki.trust_entry import TrustEntry

CLIENT_AUTHENTICATION: Final = "1.3.6.1.5.5.7.3.2"


@dataclass(frozen=True, slots=True)
class ValidatedPath:
    """A path that was validated: who it names, under which policies, and on what evidence.

    `certificates` run from the leaf to the anchor; `evidence` has one entry for each but the anchor; `policies`
    are the accepted ones the path holds for, in the entry's domain; `identifier` is of the entry's kind.
    """

    certificates: tuple[x509.Certificate, ...]
    policies: frozenset[str]
    entry_name: str
    identifier: str
    evidence: tuple[StatusEvidence, ...]
    validated_at: datetime

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that was presented."""
        return self.certificates[0]


def validate(
    leaf: x509.Certificate,
    entry: TrustEntry,
    *,
    at: datetime,
    status: StatusSource,
    required_eku: str = CLIENT_AUTHENTICATION,
    other_entries: Collection[TrustEntry] = (),
) -> ValidatedPath:
    """Validate a presented certificate at a moment, or raise `NotTrusted` with a code and what to do next.

    A certificate that one of `other_entries` accepts and this one does not is refused as `wrong_certificate_kind`.
    """
    try:
        certificates, policies = _walk(leaf, entry, at)
    except NotTrusted as refused:
        if refused.code in {"untrusted_root", "wrong_policy"} and _is_accepted_elsewhere(leaf, other_entries, at):
            raise NotTrusted(
                "wrong_certificate_kind",
                "This certificate is of another kind than the one asked for here. Choose the right one.",
                entry=entry.name,
            ) from refused
        raise
    try:
        leaf_checks.check_usage(leaf, required_eku)
        leaf_checks.check_key(leaf)
        identifier = leaf_checks.identify(leaf, entry)
        evidence = tuple(status.status(found, issuer, at=at) for found, issuer in pairwise(certificates))
    except Malformed as exc:
        raise NotTrusted("path_invalid", exc.detail, entry=entry.name) from exc
    return ValidatedPath(certificates, policies, entry.name, identifier, evidence, at)


def _walk(
    leaf: x509.Certificate, entry: TrustEntry, at: datetime
) -> tuple[tuple[x509.Certificate, ...], frozenset[str]]:
    """Return the first valid path and its policies; the refusal that got furthest otherwise."""
    known = {to_der(found): found for found in (leaf, *entry.intermediates, *entry.anchors)}
    context = validation_context(entry, at)
    refusal: NotTrusted | None = None
    for path in paths(context, to_der(leaf)):
        try:
            drive(async_validate_path(context, path, _parameters(entry)))
        except ValidationError as exc:
            refusal = refusal or _refusal(exc, entry, context, path)
        except LIBRARY_FAILURES as exc:
            refusal = refusal or NotTrusted(
                "path_invalid", "A certificate of the path cannot be read.", entry=entry.name
            )
            refusal.__cause__ = exc
        else:
            return _result(path, entry, known)
    raise refusal or NotTrusted(
        "untrusted_root",
        "This certificate does not come from an issuer that is trusted here. Choose another certificate.",
        entry=entry.name,
    )


def _parameters(entry: TrustEntry) -> PKIXValidationParams:
    if not entry.policies:
        return PKIXValidationParams()
    return PKIXValidationParams(
        user_initial_policy_set=entry.policies, initial_explicit_policy=True, initial_any_policy_inhibit=True
    )


def _result(
    path: ValidationPath, entry: TrustEntry, known: dict[bytes, x509.Certificate]
) -> tuple[tuple[x509.Certificate, ...], frozenset[str]]:
    certificates = tuple(known[found.dump()] for found in reversed(list(path.iter_certs(include_root=True))))
    found = frozenset(str(policy.user_domain_policy_id) for policy in path.qualified_policies() or ())
    if entry.policies and not found & entry.policies:
        raise _wrong_policy(entry)
    return certificates, found & entry.policies if entry.policies else found


def _refusal(exc: ValidationError, entry: TrustEntry, context: ValidationContext, path: ValidationPath) -> NotTrusted:
    """Say why a path was refused, in our words."""
    if isinstance(exc, ExpiredError):
        return NotTrusted(
            "expired", "This certificate, or its issuer's, has expired. Renew the credential.", entry=entry.name
        )
    if isinstance(exc, NotYetValidError):
        return NotTrusted(
            "not_yet_valid", "This certificate is not valid yet. Check the clock, or try again later.", entry=entry.name
        )
    if isinstance(exc, DisallowedAlgorithmError):
        return NotTrusted(
            "weak_key",
            "A key or signature of this certificate's path is too weak. Ask for a new one.",
            entry=entry.name,
        )
    try:
        drive(async_validate_path(context, path, PKIXValidationParams()))
    except (ValidationError, *LIBRARY_FAILURES):
        return NotTrusted(
            "path_invalid",
            "This certificate does not follow from its issuers. Choose another one, or tell the help desk.",
            entry=entry.name,
            reason=str(exc)[:200],
        )
    return _wrong_policy(entry)


def _wrong_policy(entry: TrustEntry) -> NotTrusted:
    return NotTrusted(
        "wrong_policy",
        "This certificate was issued under another policy than the one asked for here. "
        "Choose the authentication certificate of your card.",
        entry=entry.name,
    )


def _is_accepted_elsewhere(leaf: x509.Certificate, others: Collection[TrustEntry], at: datetime) -> bool:
    for other in others:
        try:
            _walk(leaf, other, at)
        except NotTrusted as refused:
            if refused.code in {"expired", "not_yet_valid"}:
                return True
        else:
            return True
    return False
