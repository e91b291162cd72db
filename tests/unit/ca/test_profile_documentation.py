# SPDX-License-Identifier: Apache-2.0
"""docs/certificate-profiles.md shows the profiles as they are, the lints as they are, and no other."""

from pathlib import Path

from etymon.ca import purposes
from etymon.ca.certificate_lint import FOREIGN_LINTS
from etymon.ca.crl_lints import LIST_LINTS
from etymon.ca.policies import EXAMPLE_POLICY_OIDS, FEDERAL_POLICY_OIDS, recognised
from etymon.ca.profile import BasicConstraints, CertificateProfile, KeyUsageBit, Presence
from etymon.ca.profiles import PROFILES
from etymon.pki.algorithms import KeyType

PAGE = Path(__file__).parents[3] / "docs" / "certificate-profiles.md"

BITS = {
    KeyUsageBit.DIGITAL_SIGNATURE: "digitalSignature",
    KeyUsageBit.NON_REPUDIATION: "nonRepudiation",
    KeyUsageBit.KEY_ENCIPHERMENT: "keyEncipherment",
    KeyUsageBit.KEY_AGREEMENT: "keyAgreement",
    KeyUsageBit.CERTIFICATE_SIGNING: "keyCertSign",
    KeyUsageBit.CRL_SIGNING: "cRLSign",
}
MARKS = {Presence.REQUIRED: "R", Presence.FRESH: "R, made here", Presence.OPTIONAL: "O"}
PURPOSES = {
    purposes.CLIENT_AUTHENTICATION: "clientAuth",
    purposes.SERVER_AUTHENTICATION: "serverAuth",
    purposes.EMAIL_PROTECTION: "emailProtection",
    purposes.OCSP_SIGNING: "OCSPSigning",
    purposes.SECURE_SHELL_CLIENT: "secureShellClient",
    purposes.KEY_GENERATION_AUTHORITY: "cmKGA",
    purposes.CERTIFICATE_REQUEST_AGENT: "certificateRequestAgent",
    purposes.PKINIT_CLIENT: "pkinit-KPClientAuth",
    purposes.SMART_CARD_LOGON: "msSmartcardLogon",
    purposes.DOCUMENT_SIGNING: "msDocumentSigning",
    purposes.PIV_CARD_AUTHENTICATION: "id-PIV-cardAuth",
    purposes.PIV_CONTENT_SIGNING: "id-PIV-content-signing",
    purposes.PIV_I_CONTENT_SIGNING: "id-fpki-pivi-content-signing",
}


def _usage(profile: CertificateProfile) -> str:
    written = [profile.key_usage_for(KeyType.RSA3072)]
    if profile.key_usage_elliptic is not None:
        written.append(profile.key_usage_elliptic)
    told = " or ".join(" ".join(BITS[bit] for bit in KeyUsageBit if bit in bits) for bits in written)
    optional = " ".join(BITS[bit] for bit in KeyUsageBit if bit in profile.optional_key_usage)
    return f"any of {optional}" if optional else told


def _purposes(profile: CertificateProfile) -> str:
    required = [oid for oid in profile.extended_key_usage if oid not in profile.optional_purposes]
    told = ", ".join(PURPOSES[oid] for oid in required)
    optional = sorted(PURPOSES[oid] for oid in profile.optional_purposes)
    told += f" (O: {', '.join(optional)})" if optional else ""
    told += " and others" if profile.other_purposes else ""
    return (told.strip() or "-") + (", critical" if profile.extended_key_usage_critical else "")


def _names(profile: CertificateProfile) -> str:
    kinds = ("uuid", "fascn", "upn", "mail", "dns", "ip", "security_identifier")
    shown = {"security_identifier": "sid"}
    told = [
        f"{shown.get(kind, kind)} {MARKS[getattr(profile, kind)]}" for kind in kinds if getattr(profile, kind) in MARKS
    ]
    told += ["others O"] if profile.other_names else []
    return "; ".join(told) or "-"


def _policy(profile: CertificateProfile) -> str:
    if profile.self_signed:
        return "-"
    if profile.asserts_all_policies:
        return "its authority's" if profile.ocsp_no_check else "those it passes on"
    count = "one or more of" if profile.several_policies else "one of"
    return f"{count} `{profile.policy}`" + ("" if profile.other_policies else ", no other")


def _constraints(profile: CertificateProfile) -> str:
    told = {
        BasicConstraints.ABSENT: "cA FALSE, O" if profile.optional_basic_constraints else "-",
        BasicConstraints.END_ENTITY: "cA FALSE",
        BasicConstraints.AUTHORITY: "cA",
        BasicConstraints.LAST_AUTHORITY: "cA, pathLen 0",
    }
    return told[profile.basic_constraints]


def _lifetime(profile: CertificateProfile) -> str:
    days = profile.lifetime.days
    told = f"{days // 365} years".replace("1 years", "1 year") if days % 365 == 0 else f"{days} days"
    told += f"; key {profile.private_key_lifetime.days // 365} years" if profile.private_key_lifetime else ""
    return told + ("; within the card's" if profile.within_card else "")


def _rows() -> list[str]:
    rows = []
    for profile in PROFILES.values():
        cells = (_usage, _purposes, _policy, _names, _constraints, _lifetime)
        judged_only = "" if profile.minted else " (judged only)"
        rows.append(f"| `{profile.name}`{judged_only} | " + " | ".join(cell(profile) for cell in cells) + " |")
    return rows


def _policies() -> list[str]:
    return [
        f"| `{name}` | {example} | {FEDERAL_POLICY_OIDS[name]} | "
        + (", ".join(sorted(recognised(name) - {example, FEDERAL_POLICY_OIDS[name]})) or "-")
        + " |"
        for name, example in EXAMPLE_POLICY_OIDS.items()
    ]


def _lints() -> list[str]:
    certificates = [(rule.code, rule.requirement, rule.source) for rule in FOREIGN_LINTS]
    lists = [(rule.code, rule.requirement, rule.source) for rule in LIST_LINTS]
    return [f"| `{code}` | {requirement} | {source} |" for code, requirement, source in (*certificates, *lists)]


def test_the_page_shows_every_profile_policy_and_lint() -> None:
    shown = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert "\n".join(shown) == "\n".join([*_rows(), *_policies(), *_lints()])
