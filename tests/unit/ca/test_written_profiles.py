# SPDX-License-Identifier: Apache-2.0
"""The profiles, written out once more from Common profiles v2.2 and FIPS 201-3: OIDs, bits and times as numbers."""

from typing import NamedTuple

from etymon.ca.profiles import EXAMPLE_POLICY_OIDS, PROFILES, BasicConstraints, CertificateProfile, Presence
from etymon.pki.algorithms import KeyType


class Written(NamedTuple):
    """What a profile holds: last arc of the policy, days, bits for RSA and for curves, purposes, whether critical."""

    policy: str | None
    days: int
    rsa_bits: set[str]
    curve_bits: set[str]
    purposes: list[str]
    purposes_critical: bool = False
    constraints: str = "absent"


CRITICAL = True
SIGNS = {"digital_signature"}
SIGNS_LETTERS = {"digital_signature", "content_commitment"}
CERTIFIES = {"key_cert_sign", "crl_sign"}
ENCRYPTS, AGREES = {"key_encipherment"}, {"key_agreement"}
SIGN_IN = ["1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.311.20.2.2"]
MAIL, DOCUMENTS = "1.3.6.1.5.5.7.3.4", "1.3.6.1.4.1.311.10.3.12"

WRITTEN = {
    "root-ca": Written(None, 7300, CERTIFIES, CERTIFIES, [], constraints="authority"),
    "intermediate-ca": Written(None, 5475, CERTIFIES, CERTIFIES, [], constraints="authority"),
    "issuing-ca": Written(None, 3650, CERTIFIES, CERTIFIES, [], constraints="last-authority"),
    "ocsp-responder": Written(None, 120, SIGNS, SIGNS, ["1.3.6.1.5.5.7.3.9"], CRITICAL, "end-entity"),
    "piv-authentication": Written("13", 1095, SIGNS, SIGNS, SIGN_IN),
    "card-authentication": Written("17", 1095, SIGNS, SIGNS, ["2.16.840.1.101.3.6.8"], CRITICAL),
    "piv-digital-signature": Written("6", 1095, SIGNS_LETTERS, SIGNS_LETTERS, [MAIL, DOCUMENTS]),
    "piv-key-management": Written("6", 1095, ENCRYPTS, AGREES, [MAIL]),
    "content-signing": Written("39", 3285, SIGNS, SIGNS, ["2.16.840.1.101.3.6.7"], CRITICAL),
    "derived-piv-authentication": Written("40", 1095, SIGNS, SIGNS, SIGN_IN),
    "derived-digital-signature": Written("6", 1095, SIGNS_LETTERS, SIGNS_LETTERS, [MAIL, DOCUMENTS]),
    "derived-key-management": Written("6", 1095, ENCRYPTS, AGREES, [MAIL]),
}


def stated(profile: CertificateProfile) -> Written:
    return Written(
        policy=EXAMPLE_POLICY_OIDS[profile.policy].removeprefix("2.999.1.") if profile.policy else None,
        days=profile.lifetime.days,
        rsa_bits={bit.value for bit in profile.key_usage_for(KeyType.RSA2048)},
        curve_bits={bit.value for bit in profile.key_usage_for(KeyType.P256)},
        purposes=list(profile.extended_key_usage),
        purposes_critical=bool(profile.extended_key_usage_critical),
        constraints=profile.basic_constraints.value,
    )


def test_every_profile_is_the_one_that_is_written() -> None:
    found = {name: stated(PROFILES[name]) for name in WRITTEN}
    assert found == WRITTEN


def test_names_stand_where_they_are_written() -> None:
    derived, card = PROFILES["derived-piv-authentication"], PROFILES["card-authentication"]
    assert (derived.uuid, derived.fascn) == (Presence.FRESH, Presence.ABSENT)
    assert (card.common_name, card.subject_serial_number) == (Presence.ABSENT, Presence.REQUIRED)
    assert {PROFILES[name].mail for name in WRITTEN if MAIL in PROFILES[name].extended_key_usage} == {Presence.REQUIRED}
    assert not PROFILES["ocsp-responder"].crl_distribution_point
    assert PROFILES["ocsp-responder"].ocsp_no_check
    assert {name for name in WRITTEN if PROFILES[name].is_authority} == {"root-ca", "intermediate-ca", "issuing-ca"}
    assert PROFILES["issuing-ca"].basic_constraints is BasicConstraints.LAST_AUTHORITY


def test_subscribers_have_the_keys_of_sp_800_78() -> None:
    wanted = {KeyType.P256, KeyType.P384, KeyType.RSA2048, KeyType.RSA3072}
    assert {PROFILES[name].key_types for name in WRITTEN if "piv" in name or "derived" in name} == {frozenset(wanted)}
