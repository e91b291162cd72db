# SPDX-License-Identifier: Apache-2.0
import uuid

import pytest

from etymon.directory.model import Group, Person, check_identifier
from etymon.kernel.errors import Malformed

ID = uuid.UUID(int=1)


def person(**fields: object) -> Person:
    known: dict[str, object] = {
        "id": ID,
        "user_principal_name": "alice@example.test",
        "display_name": "Alice Example",
        "mail_addresses": ("alice@example.test",),
        "active": True,
    }
    return Person(**(known | fields))  # type: ignore[arg-type]  # the fields are named in the test


def test_a_person_of_any_language_is_accepted() -> None:
    assert person(user_principal_name="zoë@example.test", display_name="山田 太郎").active


@pytest.mark.parametrize(
    "name", ["", "alice", "alice@", "@host", "a b@host", "a@b@c", "a\u202e@host", "a" * 201 + "@b"]
)
def test_a_user_principal_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(Malformed) as refusal:
        person(user_principal_name=name)
    assert refusal.value.code == "user_principal_name"


@pytest.mark.parametrize("name", ["", "   ", "two\nlines", "x" * 201, "nul\x00"])
def test_a_name_that_is_no_single_line_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        person(display_name=name)
    with pytest.raises(Malformed):
        Group(ID, name)


@pytest.mark.parametrize(
    "addresses",
    [
        ("alice",),
        ("alice@example.test\nBcc: eve@example.test",),
        ("<alice@example.test>",),
        ("a@example.test, b@example.test",),
        ("alice@example.test", "ALICE@example.test"),
        tuple(f"a{number}@example.test" for number in range(11)),
        ("a" * 65 + "@example.test",),
    ],
)
def test_addresses_that_mail_could_be_misled_by_are_refused(addresses: tuple[str, ...]) -> None:
    with pytest.raises(Malformed) as refusal:
        person(mail_addresses=addresses)
    assert refusal.value.code == "mail_addresses"


@pytest.mark.parametrize("identifier", ["", "x" * 321, "line\nfeed", "nul\x00"])
def test_an_identifier_no_certificate_gives_is_refused(identifier: str) -> None:
    with pytest.raises(Malformed):
        check_identifier(identifier)
