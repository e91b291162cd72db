# SPDX-License-Identifier: Apache-2.0
"""Which certificates a CRL speaks for: distribution points against the CRL's own word (RFC 5280 §6.3.3 (b) and (d))."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.x509 import ReasonFlags

from etymon.pki.names import canonical

ALL_REASONS: Final = frozenset(ReasonFlags) - {ReasonFlags.unspecified, ReasonFlags.remove_from_crl}
"""What must be covered before a certificate counts as not revoked (§6.3.3, the end)."""


@dataclass(frozen=True, slots=True)
class Point:
    """A distribution point of a certificate; empty `crl_issuers` mean the certificate's issuer."""

    names: frozenset[str]
    crl_issuers: frozenset[str]
    reasons: frozenset[ReasonFlags]


@dataclass(frozen=True, slots=True)
class Scope:
    """A CRL's issuing distribution point; `names` is empty where it names none."""

    names: frozenset[str] = frozenset()
    indirect: bool = False
    only_user: bool = False
    only_ca: bool = False
    only_attribute: bool = False
    reasons: frozenset[ReasonFlags] = ALL_REASONS


def points(extensions: x509.Extensions, issuer: x509.Name) -> tuple[Point, ...]:
    """Return a certificate's points, and at last the one that stands for any other CRL of its issuer."""
    return (*_declared(extensions, issuer), Point(frozenset({_directory(issuer)}), frozenset(), ALL_REASONS))


def _declared(extensions: x509.Extensions, issuer: x509.Name) -> Iterable[Point]:
    try:
        found = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return
    for point in found:
        crl_issuers = [name.value for name in point.crl_issuer or () if isinstance(name, x509.DirectoryName)]
        base = crl_issuers[0] if crl_issuers else issuer
        names = _names(point.full_name, point.relative_name, base)
        yield Point(
            names or frozenset(map(_directory, crl_issuers)),
            frozenset(map(canonical, crl_issuers)),
            ALL_REASONS if point.reasons is None else point.reasons & ALL_REASONS,
        )


def scope(extensions: x509.Extensions, issuer: x509.Name) -> Scope:
    """Return what a CRL says it is for."""
    try:
        found = extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return Scope()
    return Scope(
        _names(found.full_name, found.relative_name, issuer),
        found.indirect_crl,
        found.only_contains_user_certs,
        found.only_contains_ca_certs,
        found.only_contains_attribute_certs,
        ALL_REASONS if found.only_some_reasons is None else found.only_some_reasons & ALL_REASONS,
    )


def covered(
    point: Point, crl_scope: Scope, *, crl_issuer: str, certificate_issuer: str, is_authority: bool
) -> frozenset[ReasonFlags]:
    """Return the reasons for which the CRL speaks for a certificate by way of one of its points; none if not at all."""
    if point.crl_issuers:
        if crl_issuer not in point.crl_issuers or not crl_scope.indirect:
            return frozenset()
    elif crl_issuer != certificate_issuer:
        return frozenset()
    if crl_scope.names and not crl_scope.names & point.names:
        return frozenset()
    if crl_scope.only_attribute or (crl_scope.only_user and is_authority) or (crl_scope.only_ca and not is_authority):
        return frozenset()
    return crl_scope.reasons & point.reasons


def _names(
    full: Iterable[x509.GeneralName] | None, relative: x509.RelativeDistinguishedName | None, base: x509.Name
) -> frozenset[str]:
    if relative is not None:
        return frozenset({_directory(x509.Name([*base.rdns, relative]))})
    return frozenset(map(_general, full or ()))


def _general(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DirectoryName):
        return _directory(name.value)
    return f"{type(name).__name__}:{name.value}"


def _directory(name: x509.Name) -> str:
    return f"directory:{canonical(name)}"
