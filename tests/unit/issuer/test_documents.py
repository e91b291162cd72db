# SPDX-License-Identifier: Apache-2.0
"""JSON documents of the issuer's protocols: what is read, what is malformed."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.issuer.http import documents
from etymon.issuer.http.documents import Document
from etymon.issuer.redemption import masked
from etymon.kernel.errors import Malformed
from etymon.web.exchange import Request


def request(body: bytes) -> Request:
    return Request("POST", "/", {}, {}, {}, {}, body, None, "")


@given(st.binary(max_size=200))
def test_any_body_is_an_object_or_malformed(body: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(documents.read(request(body)), dict)


def test_members_that_are_not_known_are_left_alone() -> None:
    assert documents.read(request(b'{"protocol": 1, "later": {"a": []}}'))["protocol"] == 1


@pytest.mark.parametrize("protocol", [0, 2, 1.5, "1", None, True, [1]])
def test_only_version_one_is_spoken(protocol: object) -> None:
    with pytest.raises(Malformed, match="unsupported_version"):
        documents.require_version({"protocol": protocol})


READERS: list[tuple[Callable[[Document], object], object]] = [
    (lambda document: documents.text(document, "a", limit=3), "abcd"),
    (lambda document: documents.text(document, "a", limit=3), "a\x00"),
    (lambda document: documents.text(document, "a", limit=3), 7),
    (lambda document: documents.text(document, "a", limit=3), None),
    (lambda document: documents.identifier(document, "a"), "x"),
    (lambda document: documents.octets(document, "a", limit=3), "AAAAAAAAAAAA"),
    (lambda document: documents.octets(document, "a", limit=30), "AA-_"),
    (lambda document: documents.octets(document, "a", limit=30), "AAA"),
    (lambda document: documents.member(document, "a"), []),
    (lambda document: documents.number(document, "a", largest=5), 6),
    (lambda document: documents.number(document, "a", largest=5), -1),
    (lambda document: documents.number(document, "a", largest=5), True),
    (lambda document: documents.thumbprint(str(document["a"]), "a"), "AB" * 32),
    (lambda document: documents.thumbprint(str(document["a"]), "a"), "zz" * 32),
    (lambda document: documents.thumbprint(str(document["a"]), "a"), "ab" * 31),
]


@pytest.mark.parametrize(("reader", "value"), READERS)
def test_what_does_not_fit_is_malformed(reader: Callable[[Document], object], value: object) -> None:
    with pytest.raises(Malformed, match="malformed"):
        reader({"a": value})


def test_what_may_be_left_out_has_a_value() -> None:
    assert documents.text({}, "a", limit=3, default="") == ""
    assert documents.member({}, "a") == {}
    assert documents.number({}, "a", largest=5) == 0


def test_times_are_written_in_utc_to_the_second() -> None:
    moment = datetime(2026, 11, 23, 6, 7, 8, 900_000, timezone(timedelta(hours=1)))
    assert documents.moment(moment) == "2026-11-23T05:07:08Z"
    assert documents.moment(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00Z"
    assert documents.moment(None) is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("alice@agency.example", "a…e@agency.example"),
        ("abc@agency.example", "a…c@agency.example"),
        ("ab@agency.example", "…@agency.example"),
        ("a@agency.example", "…@agency.example"),
    ],
)
def test_a_mail_address_is_shown_by_its_ends(address: str, shown: str) -> None:
    assert masked(address) == shown
