# SPDX-License-Identifier: Apache-2.0
"""Reading an organisation's file: what it means, and how each fault is told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.errors import Malformed
from etymon.server.apply import reading
from etymon.server.apply.resource import Card, HeldRole, Kind, LeftOut, Link, Organization, Reference
from support import declared_pki

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CARD = "F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6"

TRUST = """
organization: Test Agency
trustEntries:
  - name: agency-cards
    kind: card
    anchors: [root.pem]
    policies: ["2.999.7.13"]
    identifier: uuid
"""
ONE_USER = "users:\n- userPrincipalName: a@b\n  displayName: A\n"


@pytest.fixture(scope="module")
def root() -> declared_pki.Certified:
    return declared_pki.root(NOW)


@pytest.fixture
def folder(tmp_path: Path, root: declared_pki.Certified) -> Path:
    (tmp_path / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    return tmp_path


def read(folder: Path, text: str) -> Organization:
    file = folder / "site.yaml"
    file.write_text(text, "utf-8")
    return reading.read(file)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(Malformed) as caught:
        read(folder, text)
    return caught.value.detail.replace(str(folder) + "/", "")


def test_an_absent_section_is_not_looked_at_and_an_empty_one_is_wanted_empty(folder: Path) -> None:
    found = read(folder, "organization: Test Agency\nusers: []\nbranding:\n")
    assert found.name == "Test Agency"
    assert found.sections == {Kind.USER: (), Kind.BRANDING: ()}


def test_absent_cards_roles_members_and_assignments_are_not_looked_at(folder: Path) -> None:
    found = read(
        folder,
        "organization: A\nusers: [{userPrincipalName: a@b, displayName: A}]\ngroups: [{name: G}]\n"
        "configurations: [{type: derivedCredential, name: C}]\n",
    )
    assert all(not resource.links for part in found.sections.values() for resource in part)


def test_a_card_is_named_by_its_identifier_in_the_spelling_of_path_validation(folder: Path) -> None:
    text = TRUST + (
        "rolesAuthority: letter 1/26\n"
        "users:\n  - userPrincipalName: alice@agency.test\n    displayName: Alice\n    roles: [auditor]\n"
        f"    cards: [{{trustEntry: agency-cards, identifier: {CARD}}}]\n"
    )
    (user,) = read(folder, text).sections[Kind.USER]
    assert user.links[Link.CARDS] == {Card("agency-cards", CARD.lower())}
    assert user.links[Link.ROLES] == {HeldRole("auditor")}


def test_whoever_holds_a_role_holds_it_on_somebodys_authority(folder: Path) -> None:
    one, text = (
        "rolesAuthority: letter 12/34",
        "organization: A\n%susers: [{userPrincipalName: a@b, displayName: A%s}]\n",
    )
    for role in ("operator", "auditor", "keyRecoveryAgent"):
        held = f", roles: [{role}]"
        for all_, own, expected in (("", f", {one}", "letter 12/34"), (f"{one}\n", "", "letter 12/34")):
            (user,) = read(folder, text % (all_, held + own)).sections[Kind.USER]
            assert user.roles_authority == expected
        (user,) = read(folder, text % (f"{one}\n", f"{held}, rolesAuthority: letter 2")).sections[Kind.USER]
        assert user.roles_authority == "letter 2", "what is said of one goes before what is said of all"
        for nobody in ("", ", rolesAuthority: ' '"):
            with pytest.raises(Malformed, match="name in rolesAuthority on whose authority a@b has roles"):
                read(folder, text % ("", held + nobody))


def test_a_card_is_named_by_its_certificate(folder: Path, root: declared_pki.Certified) -> None:
    leaf = root.issue(NOW, "Alice")
    (folder / "alice.pem").write_bytes(leaf.certificate.public_bytes(Encoding.PEM))
    text = TRUST + (
        "users:\n  - userPrincipalName: alice@agency.test\n    displayName: Alice\n"
        "    cards: [{trustEntry: agency-cards, certificate: alice.pem}]\n"
    )
    (user,) = read(folder, text).sections[Kind.USER]
    assert user.links[Link.CARDS] == {Card("agency-cards", str(declared_pki.CARD_UUID))}


def test_assignments_name_groups_everybody_and_who_is_left_out(folder: Path) -> None:
    text = (
        "organization: A\nconfigurations:\n  - type: derivedCredential\n    name: Apps\n    apps: [org.b, org.a]\n"
        "    assignedTo: [all users]\n    except: [Contractors]\n"
    )
    (found,) = read(folder, text).sections[Kind.CONFIGURATION]
    assert found.properties["apps"] == ("org.a", "org.b")
    contractors = Reference(Kind.GROUP, "contractors")
    assert found.links[Link.ASSIGNED_TO] == {Reference(Kind.GROUP, "all users"), LeftOut(contractors)}


def test_connectors_take_keys_of_every_kind_that_est_does(folder: Path) -> None:
    text = "organization: A\nconnectors: [{name: c, challengeSource: intune, lifetimeDays: 9%s}]\n"
    every = ("p256", "p384", "rsa2048", "rsa3072", "rsa4096")
    (connector,) = read(folder, text % f", keyTypes: [{', '.join(every)}]").sections[Kind.CONNECTOR]
    assert connector.properties["keyTypes"] == every
    (connector,) = read(folder, text % "").sections[Kind.CONNECTOR]
    assert connector.properties["keyTypes"] == every[2:], "the RSA ones, which SCEP's devices have"


def test_secrets_come_from_files_and_do_not_print(folder: Path) -> None:
    (folder / "wifi.txt").write_text("correct horse\n", "utf-8")
    text = "organization: A\nenrollmentProfiles: [{name: P, wifi: {ssid: SETUP, passwordFile: wifi.txt}}]\n"
    (found,) = read(folder, text).sections[Kind.ENROLLMENT_PROFILE]
    assert found.secrets["wifi.password"].reveal() == "correct horse"
    assert "correct horse" not in repr(found)


def test_branding_takes_the_organisations_name_and_reads_the_logo(folder: Path) -> None:
    (folder / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n....")
    (found,) = read(folder, "organization: Test Agency\nbranding: {logo: logo.png}\n").sections[Kind.BRANDING]
    assert found.name == "Test Agency"
    assert found.properties["logoType"] == "image/png"


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        ("organization: A\nuser: []\n", "line 2, user", "nothing called user belongs here"),
        ("organization: A\nusers:\n", "line 2, users", "write a list here"),
        ("users: []\n", "line 1, organization", "this is missing"),
        ("organization: 1234\n", "line 1, organization", "stands in quotes"),
        (
            "organization: A\nusers:\n  - userPrincipalName: a@b\n    displayName: A\n  - displayName: B\n",
            "line 5, users[1].userPrincipalName",
            "this is missing",
        ),
        (
            "organization: A\nusers: [{userPrincipalName: a@b, displayName: A, cards: [{trustEntry: t}]}]\n",
            "users[0].cards[0]",
            "by identifier or by certificate",
        ),
        (
            "organization: A\nusers: [{userPrincipalName: a@b, displayName: A, roles: [chief]}]\n",
            "users[0].roles[0]",
            "write one of 'administrator', 'officer', 'auditor', 'operator'",
        ),
        (
            "organization: A\nconfigurations:\n  - {type: vpn, name: C}\n",
            "line 3, configurations[0]",
            "one of trustedRoot, derivedCredential, wifi and email",
        ),
        (
            "organization: A\nconfigurations: [{type: wifi, name: C, serverNames: [a], trustedRoots: [R]}]\n",
            "configurations[0].ssid",
            "this is missing",
        ),
        ("- a\n- b\n", "line 1", "write names and values"),
        (
            "organization: A\nissuanceRules: [{name: R, groups: [], purposes: [authentication], lifetimeDays: 9}]\n",
            "issuanceRules[0].groups",
            "at least 1",
        ),
        (
            "organization: A\nconnectors: [{name: fleet, challengeSource: management, lifetimeDays: 9}]\n",
            "connectors[0]",
            "name the management client",
        ),
        (
            "organization: A\nconnectors: [{name: fleet, challengeSource: page, lifetimeDays: 9}]\n",
            "connectors[0]",
            "name a file with the page's password",
        ),
        (
            "organization: A\nconnectors: [{name: c, challengeSource: intune, lifetimeDays: 9, pagePasswordFile: f}]\n",
            "connectors[0]",
            "where challengeSource is page",
        ),
        (
            "organization: A\nconnectors: [{name: Fleet, challengeSource: intune, lifetimeDays: 9}]\n",
            "connectors[0].name",
            "match pattern",
        ),
    ],
)
def test_a_fault_is_told_with_its_place_and_what_to_write(folder: Path, text: str, place: str, advice: str) -> None:
    told = refusal(folder, text)
    assert told.startswith("site.yaml line")
    assert place in told
    assert advice in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("organization: A\norganization: B\n", "line 2: organization stands here twice"),
        ("organization: [\n", "is not YAML"),
        ("organization: A\n\tusers: []\n", "line 2"),
        ("a: !!python/object:os.system {}\n", "is not YAML"),
        ("[" * 40 + "]" * 40, "deeper than"),
        (
            "organization: A\ngroups: [{name: G}, {name: g}]\n",
            "line 2, groups[1]: the group g is described twice",
        ),
        ("organization: A\ngroups: [{name: All Users}]\n", "cannot be called All Users"),
        (
            "organization: A\nconfigurations: [{type: trustedRoot, name: R, certificate: nowhere.pem}]\n",
            "configurations[0]: nowhere.pem cannot be read",
        ),
        (
            TRUST.replace("root.pem", "gone.pem"),
            "trustEntries[0]: The certificate file gone.pem cannot be read",
        ),
        (
            "organization: A\nconfigurations: [{type: derivedCredential, name: C, except: [All users]}]",
            "Nobody would be left",
        ),
        ("organization: A\nconfigurations: [{type: derivedCredential, name: C, except: [G]}]", "Write assignedTo"),
        (
            "organization: A\nusers: [{userPrincipalName: a@b, displayName: A, otherMails: [a@b]}]",
            "otherMails go beside",
        ),
        (
            f"organization: A\n{ONE_USER}  cards: [{{trustEntry: t, certificate: root.pem}}]\n",
            "The trust entry t is not in this file",
        ),
        (
            f"{TRUST}{ONE_USER}  cards: [{{trustEntry: agency-cards, identifier: '12'}}]\n",
            "12 is not a UUID",
        ),
        (
            f"{TRUST}{ONE_USER}  cards: [{{trustEntry: agency-cards, certificate: root.pem}}]\n",
            "does not carry the identifier",
        ),
        ("organization: A\nbranding: {logo: root.pem}\n", "neither PNG nor JPEG"),
    ],
)
def test_what_cannot_be_used_is_refused(folder: Path, text: str, told: str) -> None:
    assert told in refusal(folder, text)


def test_a_file_that_is_not_there_not_text_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="cannot be read"):
        reading.read(tmp_path / "nowhere.yaml")
    (tmp_path / "octets.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(Malformed, match="not text"):
        reading.read(tmp_path / "octets.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (16 * 1024 * 1024 + 1))
    with pytest.raises(Malformed, match="larger"):
        reading.read(tmp_path / "large.yaml")


def test_an_empty_password_file_or_one_with_two_certificates_is_refused(folder: Path) -> None:
    (folder / "empty.txt").write_text("\n", "utf-8")
    text = "organization: A\nenrollmentProfiles: [{name: P, wifi: {ssid: S, passwordFile: empty.txt}}]\n"
    assert "its first line is the password" in refusal(folder, text)
    (folder / "two.pem").write_bytes((folder / "root.pem").read_bytes() * 2)
    text = "organization: A\nconfigurations: [{type: trustedRoot, name: R, certificate: two.pem}]\n"
    assert "holds 2 certificates" in refusal(folder, text)


def test_many_faults_are_told_at_once_and_not_without_end(folder: Path) -> None:
    told = refusal(folder, "organization: A\n" + "".join(f"slip{number}: 1\n" for number in range(30)))
    assert len(told.splitlines()) == 21
    assert "and 10 more faults" in told


def test_aliases_are_read_once(folder: Path) -> None:
    text = "organization: A\ngroups:\n  - {name: G, members: &all [a@b, c@d]}\n  - {name: H, members: *all}\n"
    first, second = read(folder, text).sections[Kind.GROUP]
    assert first.links == second.links
