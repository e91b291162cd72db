# SPDX-License-Identifier: Apache-2.0
"""Decide what a certificate will say: serial number, validity, names and policies, from profile and authority."""

from datetime import datetime, timedelta
from typing import Final

from etymon.ca import template
from etymon.ca.common_names import has_form
from etymon.ca.dependencies import Dependencies
from etymon.ca.lint import Linted, require_clean
from etymon.ca.lints import LINTS
from etymon.ca.model import SERIAL_BITS, Authority, IssuanceRequest, Validity
from etymon.ca.profile import CertificateProfile
from etymon.ca.template import Content, Issuer
from etymon.kernel.entropy import Entropy, random_id
from etymon.kernel.errors import Malformed, NotPermitted, Unavailable
from etymon.pki import key_policy
from etymon.pki.algorithms import KeyType, PublicKey, key_type

SHORTEST_LAST_LIFETIME: Final = timedelta(days=30)
"""A certificate that the end of 2030 cuts short lives at least this long, or is refused."""


def subscriber_content(
    deps: Dependencies, authority: Authority, profile: CertificateProfile, request: IssuanceRequest
) -> Content:
    """Return what is to be certified for `request`, with a fresh serial number and, where profiled, a fresh UUID."""
    public_key = permitted_key(deps, profile, request.key.public_key)
    _require_form(deps, profile, request.subject.common_name)
    if profile.within_card and request.not_after is None:
        raise Malformed("card_end_missing", "A certificate in a card ends with the card. Say when the card ends.")
    return Content(
        profile=profile,
        issuer=Issuer(authority.name, authority.certificate, deps.status_url),
        public_key=public_key,
        subject=request.subject,
        alternative=template.with_fresh_uuid(profile, request.alternative, random_id(deps.entropy)),
        validity=validity(deps.clock.now(), authority, profile, key_type(public_key), request.not_after),
        serial=fresh_serial(deps.entropy),
        policies=_policies(deps, authority, profile),
        algorithm=deps.signer(authority.name).algorithm,
    )


def _require_form(deps: Dependencies, profile: CertificateProfile, common_name: str | None) -> None:
    """Raise `common_name_form` for a person whose name the lint would find, so that it is told to who can change it."""
    if profile.names_a_person and not has_form(common_name or "", deps.common_name_forms):
        raise NotPermitted(
            "common_name_form",
            "Certificates here call people in forms that your name in the directory has not: "
            f"{', '.join(sorted(deps.common_name_forms))}. Ask whoever keeps the directory to change it.",
        )


def lint_clean_tbs(deps: Dependencies, content: Content) -> bytes:
    """Build and lint a draft and return the bytes that will be signed; `Unavailable` `lint_failed` otherwise."""
    drafted = template.draft(content)
    issuer = content.issuer.certificate if content.issuer else None
    linted = Linted(drafted, content.profile, issuer, content.policies, common_name_forms=deps.common_name_forms)
    require_clean(linted, LINTS, deps.lint_exceptions)
    return drafted.tbs_certificate_bytes


def permitted_key(deps: Dependencies, profile: CertificateProfile, public_key: PublicKey) -> PublicKey:
    """Return the key if policy and profile allow it; `Malformed` `weak_key` or `compromised_key` otherwise."""
    permitted = key_policy.check_for_certification(public_key)
    kind = key_type(permitted)
    if kind not in profile.key_types:
        raise Malformed("weak_key", f"A {profile.name} certificate is not made for a key of type {kind.value}.")
    deps.bad_keys.require_good(permitted)
    return permitted


def fresh_serial(entropy: Entropy) -> int:
    """Return 127 random bits; the rare number that would look short is drawn again."""
    while True:
        serial = int.from_bytes(entropy.octets(16), "big") >> (128 - SERIAL_BITS)
        if serial.bit_length() > SERIAL_BITS // 2:
            return serial


def validity(
    now: datetime,
    authority: Authority | None,
    profile: CertificateProfile,
    kind: KeyType,
    not_after: datetime | None,
) -> Validity:
    """Return the longest validity that profile, authority and key allow, or the shorter one that is asked for.

    A 2048-bit RSA key shortens it to the end of 2030; a month before, such keys are refused (Common Policy 6.1.5).
    """
    longest = Validity.starting(now, profile.lifetime)
    if not_after is not None and not_after > longest.not_after:
        raise NotPermitted("lifetime_too_long", f"{profile.name} certificates end by {longest.not_after:%Y-%m-%d}.")
    if kind is KeyType.RSA2048 and now > key_policy.RSA_2048_ENDS - SHORTEST_LAST_LIFETIME:
        raise key_policy.short_key_after_2030()
    ends = [not_after] if not_after is not None else []
    ends += [authority.certificate.not_valid_after_utc] if authority is not None else []
    ends += [key_policy.RSA_2048_ENDS] if kind is KeyType.RSA2048 else []
    for end in ends:
        longest = longest.ending(end)
    if longest.not_after <= now:
        raise NotPermitted("lifetime_over", "The certificate would have ended already. Ask for a later end.")
    return longest


def _policies(deps: Dependencies, authority: Authority, profile: CertificateProfile) -> tuple[str, ...]:
    if profile.asserts_all_policies:
        return authority.policies
    return (policy_oid(deps, profile.policy or ""),)


def policy_oid(deps: Dependencies, name: str) -> str:
    """Return the OID configured for a policy; `Unavailable` where there is none."""
    try:
        return deps.policy_oids[name]
    except KeyError:
        raise Unavailable("policy_not_configured", f"Configure the policy OID for {name} and try again.") from None
