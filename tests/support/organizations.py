# SPDX-License-Identifier: Apache-2.0
"""Random organisations as files: what the examples have in common is that each could be somebody's."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st

from support import declared_pki

MADE_AT = datetime.now(UTC)
ROOTS = ("north.pem", "south.pem")
PEOPLE = tuple(f"{name}@agency.test" for name in ("ana", "ben", "cleo", "dai"))
GROUPS = ("Staff", "Field work", "Contractors")
TRUST = ("cards-north", "cards-south")

CARD_UUIDS = tuple(f"00000000-0000-4000-8000-00000000000{number}" for number in range(4))
"""Each person has one; cards that change hands have tests of their own."""
FACTS = st.sampled_from(("", "one", "another"))


def write_certificates(folder: Path) -> None:
    """Write the certificates and the logo that the files name."""
    for number, name in enumerate(ROOTS):
        root = declared_pki.root(MADE_AT, f"Root {number}")
        (folder / name).write_bytes(root.certificate.public_bytes(Encoding.PEM))
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    (folder / "wifi.txt").write_text("correct horse battery\n", "utf-8")
    (folder / "status.json").write_text('{"entries": {"ab": {"status": "REVOKED"}}}', "utf-8")


def written(folder: Path, organization: Mapping[str, Any], name: str = "organization.yaml") -> Path:
    """Write an organisation's file."""
    file = folder / name
    file.write_text(yaml.safe_dump(dict(organization), sort_keys=False, allow_unicode=True), "utf-8")
    return file


def _some(names: Sequence[str], *, least: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), unique=True, min_size=least)


def _trust_entry(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": st.just(name),
            "kind": st.just("card"),
            "anchors": _some(ROOTS, least=1),
            "policies": _some(("2.999.7.13", "2.999.7.14"), least=1),
            "identifier": st.just("uuid"),
            "statusHosts": _some(("crl.agency.test", "ocsp.agency.test:8080")),
        }
    )


@st.composite
def _users(draw: st.DrawFn) -> list[dict[str, Any]]:
    users = []
    for number, name in enumerate(PEOPLE):
        user: dict[str, Any] = {"userPrincipalName": name, "displayName": draw(st.sampled_from(("Ana", "Ben Ö.")))}
        if draw(st.booleans()):
            user |= {"mail": name, "otherMails": [f"{number}@other.test"] if draw(st.booleans()) else []}
        if draw(st.booleans()):
            entries = draw(_some(TRUST))
            user["cards"] = [{"trustEntry": entry, "identifier": CARD_UUIDS[number]} for entry in entries]
        users.append(user)
    return users


def _groups() -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.tuples(
        *(
            st.fixed_dictionaries({"name": st.just(name)}, optional={"description": FACTS, "members": _some(PEOPLE)})
            for name in GROUPS
        )
    ).map(list)


def _assigned(kind: str, name: str, values: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    to = st.one_of(_some(GROUPS), _some(("all users", "all devices")))
    common = {"type": st.just(kind), "name": st.just(name), "description": FACTS}
    assigned = st.fixed_dictionaries({"assignedTo": to, "except": _some(GROUPS, least=0).map(lambda some: some[:1])})
    return st.tuples(st.fixed_dictionaries(common | values), st.one_of(st.just({}), assigned)).map(
        lambda parts: parts[0] | _apart(parts[1])
    )


def _apart(assigned: dict[str, list[str]]) -> dict[str, list[str]]:
    """Leave nobody out who is named as assigned to."""
    if not assigned:
        return {}
    return assigned | {"except": [name for name in assigned["except"] if name not in assigned["assignedTo"]]}


def _configurations() -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.tuples(
        _assigned("trustedRoot", "Root of the north", {"certificate": st.sampled_from(ROOTS)}),
        _assigned("trustedRoot", "Root of the south", {"certificate": st.sampled_from(ROOTS)}),
        _assigned("derivedCredential", "Apps", {"apps": _some(("org.example.mail", "org.example.web"))}),
        _assigned(
            "wifi",
            "Office",
            {
                "ssid": st.sampled_from(("OFFICE", "Büro")),
                "serverNames": _some(("radius.agency.test", "agency.test"), least=1),
                "trustedRoots": _some(("Root of the north", "Root of the south"), least=1),
                "hidden": st.booleans(),
            },
        ),
        _assigned(
            "email",
            "Mail",
            {
                "accountName": st.just("Agency"),
                "host": st.sampled_from(("mail.agency.test", "mail.agency.test:993")),
                "signing": st.just("derived"),
                "signByDefault": st.booleans(),
                "encryption": st.sampled_from(("derived", "none")),
            },
        ),
    ).map(list)


def _enrollment_profiles() -> st.SearchStrategy[list[dict[str, Any]]]:
    network = st.fixed_dictionaries(
        {"ssid": st.sampled_from(("SETUP", "SETUP-2")), "passwordFile": st.just("wifi.txt"), "hidden": st.booleans()}
    )
    profile = st.fixed_dictionaries(
        {"name": st.just("Phones"), "description": FACTS},
        optional={
            "wifi": network,
            "tokenDays": st.integers(1, 365),
            "deviceNameTemplate": st.just("AGENCY-{{SERIAL}}"),
        },
    )
    return st.lists(profile, min_size=1, max_size=1)


def _issuance_rules() -> st.SearchStrategy[list[dict[str, Any]]]:
    further = _some(("signature", "encryption"))
    rule = st.fixed_dictionaries(
        {
            "name": st.sampled_from(("employees", "Alle & tous")),
            "groups": _some(GROUPS, least=1),
            "purposes": further.map(lambda some: ["authentication", *some]),
            "lifetimeDays": st.integers(1, 1095),
        },
        optional={
            "devicesPerPerson": st.integers(1, 5),
            "keyTypes": _some(("p256", "rsa2048"), least=1),
            "managedDevicesOnly": st.booleans(),
            "linkPassword": st.booleans(),
            "approval": st.sampled_from(("blanket", "secondPerson")),
            "deviceModels": _some(("Google/Pixel 9*", "Samsung/*")),
        },
    )
    return st.lists(rule, min_size=1, max_size=1)


def organizations() -> st.SearchStrategy[dict[str, Any]]:
    """Return organisations whose every name is described; sections may be absent, but for those referred to."""
    branding = st.fixed_dictionaries(
        {"color": st.sampled_from(("#0b5cad", "#7f1d1d"))}, optional={"logo": st.just("logo.png"), "support": FACTS}
    )
    issuer = st.fixed_dictionaries(
        {
            "displayName": st.sampled_from(("Agency issuer", "Issuer")),
            "url": st.just("https://issuer.agency.test:8443/issuer"),
            "notifications": _some(("companyPortal", "email")),
            "renewalThresholdPercentage": st.integers(1, 99),
        }
    )
    return st.fixed_dictionaries(
        {
            "organization": st.just("Test Agency"),
            "trustEntries": st.tuples(*map(_trust_entry, TRUST)).map(list),
            "users": _users(),
            "groups": _groups(),
        },
        optional={
            "branding": branding,
            "derivedCredential": issuer,
            "enrollmentProfiles": _enrollment_profiles(),
            "configurations": _configurations(),
            "issuanceRules": _issuance_rules(),
        },
    )
