# SPDX-License-Identifier: Apache-2.0
import pytest

from etymon.audit.model import AuditEvent, Outcome
from etymon.kernel.secret import Secret


def event(**fields: object) -> AuditEvent:
    known: dict[str, object] = {"name": "issuer:derivation:approved", "actor": "person:1", "subject": "derivation:2"}
    return AuditEvent(**(known | fields))  # type: ignore[arg-type]  # some tests pass what the types forbid


def test_an_event_has_a_name_an_actor_and_a_subject() -> None:
    assert event().outcome is Outcome.SUCCESS
    assert event(facts={"serial_number": "01", "tries": 3, "final": True, "note": None}).facts["tries"] == 3


@pytest.mark.parametrize(
    "name", ["approved", "issuer:approved", "issuer:derivation:approved:twice", "Issuer:a:b", "a:b:", "a: b:c", ""]
)
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="context:subject:verb"):
        event(name=name)


@pytest.mark.parametrize("party", ["", "line\nfeed", "nul\x00", "x" * 301, "\ud800"])
def test_an_actor_or_subject_that_is_no_short_name_is_refused(party: str) -> None:
    with pytest.raises(ValueError, match=r"actor.*subject"):
        event(actor=party)
    with pytest.raises(ValueError, match=r"actor.*subject"):
        event(subject=party)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "pin",
        "puk",
        "access_token",
        "client_secret",
        "challenge",
        "user_code",
        "private_key",
    ],
)
def test_a_fact_named_like_a_secret_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="named like a secret"):
        event(facts={name: "1234"})


@pytest.mark.parametrize("name", ["pinned", "reason_code", "key_id", "tokenized"])
def test_a_fact_whose_name_only_resembles_one_is_kept(name: str) -> None:
    assert event(facts={name: "x"}).facts[name] == "x"


@pytest.mark.parametrize("value", [Secret("1234"), Secret(b"k"), b"bytes", ["list"], {"a": 1}, object()])
def test_a_secret_or_anything_but_a_scalar_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        event(facts={"value": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "-----BEGIN EC PRIVATE KEY-----\nMHcC"])
def test_a_value_that_cannot_be_kept_or_must_not_be_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="the fact 'value'"):
        event(facts={"value": value})


@pytest.mark.parametrize("name", ["Serial", "serial number", "", "a.b"])
def test_a_fact_name_that_is_not_snake_case_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="snake_case"):
        event(facts={name: 1})


def test_facts_do_not_change_after_the_event_was_made() -> None:
    facts: dict[str, object] = {"count": 1}
    made = event(facts=facts)
    facts["count"] = 2
    assert made.facts["count"] == 1
    with pytest.raises(TypeError):
        made.facts["count"] = 3  # type: ignore[index]  # what is refused


def test_more_facts_than_anybody_reads_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        event(facts={f"fact{number}": number for number in range(65)})
