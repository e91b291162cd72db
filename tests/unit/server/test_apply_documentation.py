# SPDX-License-Identifier: Apache-2.0
"""The page and the example say what the command takes."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from etymon.server.apply import document, reading
from etymon.server.apply.resource import Card, Kind, Link
from etymon.server.command_line.apply import apply
from etymon.server.trust_documents import TrustDocument
from support import declared_pki

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = REPOSITORY / "deploy" / "organization.example.yaml"
PAGE = (REPOSITORY / "docs" / "operations" / "organization-file.md").read_text("utf-8")
PARTS = [
    part
    for part in (*vars(document).values(), TrustDocument)
    if isinstance(part, type) and issubclass(part, BaseModel) and part is not BaseModel
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    now = datetime.now(UTC)
    for name in ("agency-root", "agency-card-ca", "agency-network-root", "android-attestation-roots", "bob"):
        made = declared_pki.root(now, name)
        place = tmp_path / ("cards" if name == "bob" else "certificates")
        place.mkdir(exist_ok=True)
        leaf = made.issue(now, name) if name == "bob" else made
        (place / f"{name}.pem").write_bytes(leaf.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "setup-wifi.txt").write_text("correct horse battery\n", "utf-8")
    (tmp_path / "secrets" / "fleet-page.txt").write_text("0123456789abcdef0123456789abcdef\n", "utf-8")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "organization.yaml").write_bytes(EXAMPLE.read_bytes())
    return tmp_path


def test_the_example_is_read_and_describes_every_section(folder: Path) -> None:
    text = (folder / "organization.yaml").read_text("utf-8")
    assert f'"{declared_pki.CARD_UUID}"' in text
    (folder / "organization.yaml").write_text(
        text.replace(str(declared_pki.CARD_UUID), "0" * 8 + "-0000-4000-8000-" + "0" * 12), "utf-8"
    )
    found = reading.read(folder / "organization.yaml")
    assert set(found.sections) == set(Kind)
    bob = next(user for user in found.sections[Kind.USER] if user.name.startswith("bob"))
    assert bob.links[Link.CARDS] == {Card("agency-cards", str(declared_pki.CARD_UUID))}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_the_page_names_every_field(part: type[BaseModel]) -> None:
    for name, field in part.model_fields.items():
        assert f"`{field.alias or to_camel(name)}`" in PAGE or f"### {field.alias}" in PAGE, name


def test_the_page_names_every_option() -> None:
    command = typer.main.get_command(_application())
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    assert options - {"--install-completion", "--show-completion"} == set(
        re.findall(r"`(--[a-z-]+)`", PAGE.partition("## Who")[0])
    )


def _application() -> typer.Typer:
    application = typer.Typer(add_completion=False)
    application.command()(apply)
    return application


def test_the_example_of_who_recovers_keys_is_read_as_it_stands_there(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "operations" / "key-recovery.md").read_text("utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "organization.yaml").write_text(example, "utf-8")
    users = reading.read(tmp_path / "organization.yaml").sections[Kind.USER]
    held = [(role.name, bool(user.roles_authority)) for user in users for role in user.links[Link.ROLES]]
    assert sorted(held) == [("keyRecoveryAgent", True)] * 2 + [("keyRecoveryOfficial", True)]


@pytest.mark.parametrize("page", ["README.md", "docs/operations/README.md"])
def test_what_a_page_links_to_is_there(page: str) -> None:
    file = REPOSITORY / page
    linked = [found.partition("#")[0] for found in re.findall(r"\]\(([^):]+)\)", file.read_text("utf-8"))]
    assert linked
    assert [found for found in linked if not (file.parent / found).exists()] == []
