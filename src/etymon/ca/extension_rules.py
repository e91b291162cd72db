# SPDX-License-Identifier: Apache-2.0
"""Which extensions a certificate has, may have and must not have, from its profile (profiles v2.2 §2, P-7)."""

from collections.abc import Mapping
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from etymon.ca.lint import Linted
from etymon.ca.policies import is_below
from etymon.ca.profile import BasicConstraints, CertificateProfile, Presence
from etymon.ca.purposes import PIV_INTERIM

Rule: TypeAlias = tuple[Presence, bool | None]
"""Whether the extension stands there, and whether it is critical then; None: either way."""

_LISTED_ARCS: Final = ("2.5.29", "1.3.6.1.5.5.7.1", "1.3.6.1.5.5.7.48", PIV_INTERIM.dotted_string)
"""Extensions of the standards. Those that a profile does not list must not appear; private ones may, not critical."""


def is_ours_to_list(oid: x509.ObjectIdentifier) -> bool:
    """Say whether an extension is one that profiles list, so that not being listed forbids it."""
    return any(is_below(oid.dotted_string, arc) for arc in _LISTED_ARCS)


def rules_for(linted: Linted) -> Mapping[x509.ObjectIdentifier, Rule]:
    """Return the rule of each extension; what has no rule must not stand there."""
    profile, foreign = linted.profile, linted.foreign
    rules: dict[x509.ObjectIdentifier, Rule] = {
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: (Presence.REQUIRED, False),
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: (_unless(absent=profile.self_signed), False),
        ExtensionOID.KEY_USAGE: (Presence.REQUIRED, True),
        ExtensionOID.BASIC_CONSTRAINTS: _basic_constraints(profile, foreign=foreign),
        ExtensionOID.EXTENDED_KEY_USAGE: _extended_key_usage(profile, foreign=foreign),
        ExtensionOID.CERTIFICATE_POLICIES: (_policies(linted), False),
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: _alternative_names(linted),
        ExtensionOID.CRL_DISTRIBUTION_POINTS: (_unless(absent=not profile.crl_distribution_point), False),
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS: (
            profile.ca_issuers if foreign else _unless(absent=profile.ca_issuers is Presence.ABSENT),
            False,
        ),
        ExtensionOID.SUBJECT_INFORMATION_ACCESS: (_repository(profile, foreign=foreign), False),
        ExtensionOID.OCSP_NO_CHECK: (_unless(absent=not profile.ocsp_no_check), False),
    }
    if foreign:
        rules |= {further.oid: (further.presence, further.critical) for further in profile.further_extensions}
    return rules


def _unless(*, absent: bool) -> Presence:
    return Presence.ABSENT if absent else Presence.REQUIRED


def _basic_constraints(profile: CertificateProfile, *, foreign: bool) -> Rule:
    if profile.basic_constraints is not BasicConstraints.ABSENT:
        return Presence.REQUIRED, True if profile.is_authority else (None if foreign else False)
    return (Presence.OPTIONAL if foreign and profile.optional_basic_constraints else Presence.ABSENT), None


def _extended_key_usage(profile: CertificateProfile, *, foreign: bool) -> Rule:
    critical = profile.extended_key_usage_critical
    stands = bool(profile.extended_key_usage) or (foreign and profile.other_purposes)
    return _unless(absent=not stands), bool(critical) if not foreign else critical


def _policies(linted: Linted) -> Presence:
    if linted.profile.self_signed:
        return Presence.ABSENT
    return Presence.REQUIRED if linted.foreign else _unless(absent=not linted.policies)


def _alternative_names(linted: Linted) -> Rule:
    profile = linted.profile
    presence = profile.alternative_names
    if linted.foreign and presence is Presence.ABSENT and profile.other_names:
        presence = Presence.OPTIONAL
    nameless = linted.foreign and not linted.certificate.subject.rdns
    return presence, None if nameless else False  # critical where it is the only name (RFC 5280 §4.2.1.6)


def _repository(profile: CertificateProfile, *, foreign: bool) -> Presence:
    if foreign:
        return profile.ca_repository
    return _unless(absent=profile.ca_repository is not Presence.REQUIRED)
