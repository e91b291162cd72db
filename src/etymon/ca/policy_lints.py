# SPDX-License-Identifier: Apache-2.0
"""The lints that look at certificate policies (profiles v2.2; SP 800-157 §3; RFC 5280 §4.2.1.4)."""

from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from etymon.ca.lint import Lint, Linted, lint
from etymon.ca.policies import DEPLOYMENT_POLICIES, EXAMPLE_ARC, HARDWARE_POLICIES, is_below, is_federal, recognised

ANY_POLICY: Final = "2.5.29.32.0"


@lint("policies_as_configured", "P-11", "profiles v2.2; SP 800-157 §3 (exactly one for derived credentials)")
def _policies(linted: Linted) -> Iterator[str]:
    found = _asserted(linted)
    if linted.profile.self_signed:
        return
    if not linted.foreign and set(found) != set(linted.policies):
        yield "the policies are not the configured ones"
    if not linted.foreign and not linted.profile.asserts_all_policies and len(found) != 1:
        yield "the certificate does not have exactly one policy"
    if len(set(found)) != len(found):
        yield "a policy stands twice"
    if not linted.profile.is_authority and ANY_POLICY in found:
        yield "anyPolicy is asserted"


@lint("policies_known", "P-22", "profiles v2.2; SP 800-157 §3; Common Policy 1.2")
def _known(linted: Linted) -> Iterator[str]:
    """Judge somebody else's policies: this profile's, how many of them, and none that is for another profile."""
    profile = linted.profile
    if not linted.foreign or profile.policy is None:
        return
    accepted = recognised(profile.policy) | set(linted.policies)
    found = _asserted(linted)
    fitting = [policy for policy in found if policy in accepted]
    if not fitting:
        yield f"no policy is one for {profile.name}: it asserts {', '.join(found) or 'none'}"
        return
    if len(fitting) > 1 and not profile.several_policies:
        yield f"more than one policy is for {profile.name}"
    for other in (policy for policy in found if policy not in accepted):
        if not profile.other_policies or is_federal(other) or is_below(other, EXAMPLE_ARC):
            yield f"the policy {other} is not one for {profile.name}"


@lint("policies_among_issuers", "RFC5280-6.1.3", "RFC 5280 §6.1.3; profiles v2.2, delegated OCSP responder")
def _among_issuers(linted: Linted) -> Iterator[str]:
    if linted.issuer is None or linted.profile.self_signed:
        return
    found, issuers = set(_asserted(linted)), _policies_of(linted.issuer)
    passed_on = ANY_POLICY in issuers or (linted.profile.is_authority and not linted.foreign)
    if not passed_on and not found <= issuers:
        yield "a policy is not among the issuer's"
    if linted.profile.ocsp_no_check and not issuers - {ANY_POLICY} <= found:
        yield "the responder does not assert every policy it answers for"


@lint("hardware_is_not_claimed", "C-5", "Common Policy 3.2.3.1, 6.2.1; SP 800-157 §2.1, §3")
def _hardware(linted: Linted) -> Iterator[str]:
    """What a deployment issues is on software keys, for people whom no biometric identified, whatever is configured."""
    if linted.foreign or linted.profile.policy not in DEPLOYMENT_POLICIES:
        return
    for policy in HARDWARE_POLICIES.intersection(_asserted(linted)):
        yield f"the policy {policy} is one of keys in validated hardware"


@lint("policy_qualifiers_are_addresses", "P-11", "RFC 5280 §4.2.1.4; profiles v2.2 §2")
def _qualifiers(linted: Linted) -> Iterator[str]:
    for item in linted.extension(x509.CertificatePolicies) or ():
        if any(not isinstance(qualifier, str) for qualifier in item.policy_qualifiers or ()):
            yield f"the policy {item.policy_identifier.dotted_string} has a qualifier other than the address of a CPS"


def _asserted(linted: Linted) -> list[str]:
    return [item.policy_identifier.dotted_string for item in linted.extension(x509.CertificatePolicies) or ()]


def _policies_of(issuer: x509.Certificate) -> frozenset[str]:
    """Return an issuer's policies; a self-signed one, which is an anchor, limits nothing."""
    if issuer.issuer == issuer.subject:
        return frozenset({ANY_POLICY})
    for found in issuer.extensions:
        if found.oid == ExtensionOID.CERTIFICATE_POLICIES and isinstance(found.value, x509.CertificatePolicies):
            return frozenset(item.policy_identifier.dotted_string for item in found.value)
    return frozenset()


POLICY_LINTS: Final[tuple[Lint, ...]] = (_policies, _known, _among_issuers, _hardware, _qualifiers)
"""Every lint of this module."""
