# SPDX-License-Identifier: Apache-2.0
"""JSON documents of our own protocols: what is read, what is malformed."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import Malformed
from etymon.web import documents
from etymon.web.documents import Document
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
        documents.read_versioned(request(json.dumps({"protocol": protocol}).encode()))


READERS: list[tuple[Callable[[Document], object], object]] = [
    (lambda document: documents.text(document, "a", limit=3), "abcd"),
    (lambda document: documents.text(document, "a", limit=3), "a\ud800"),
    (lambda document: documents.line(document, "a", limit=3), "a\x00"),
    (lambda document: documents.line(document, "a", limit=3), "a\n"),
    (lambda document: documents.line(document, "a", limit=3), "abcd"),
    (lambda document: documents.text(document, "a", limit=3), 7),
    (lambda document: documents.text(document, "a", limit=3), None),
    (lambda document: documents.identifier(document["a"], "a"), "x"),
    (lambda document: documents.octets(document, "a", limit=3), "AAAAAAAAAAAA"),
    (lambda document: documents.octets(document, "a", limit=30), "AA-_"),
    (lambda document: documents.octets(document, "a", limit=30), "AAA"),
    (lambda document: documents.member(document, "a"), []),
    (lambda document: documents.number(document, "a", largest=5), 6),
    (lambda document: documents.number(document, "a", largest=5), -1),
    (lambda document: documents.number(document, "a", largest=5), True),
    (lambda document: documents.thumbprint(document["a"], "a"), "AB" * 32),
    (lambda document: documents.thumbprint(document["a"], "a"), "zz" * 32),
    (lambda document: documents.thumbprint(document["a"], "a"), "ab" * 31),
    (lambda document: documents.thumbprint(document["a"], "a"), 7),
    (lambda document: documents.members(document, "a", most=1), {}),
    (lambda document: documents.members(document, "a", most=1), [{}, {}]),
    (lambda document: documents.members(document, "a", most=1), [1]),
    (lambda document: documents.moment(document, "a"), "2026-11-23"),
    (lambda document: documents.moment(document, "a"), "2026-13-23T05:07:08Z"),
    (lambda document: documents.moment(document, "a"), "0001-01-01T00:00:00+23:59"),
]


@pytest.mark.parametrize(("reader", "value"), READERS)
def test_what_does_not_fit_is_malformed(reader: Callable[[Document], object], value: object) -> None:
    with pytest.raises(Malformed, match="malformed"):
        reader({"a": value})


def test_what_may_be_left_out_has_a_value() -> None:
    assert documents.text({}, "a", limit=3, default="") == ""
    assert documents.member({}, "a") is None
    assert documents.members({}, "a", most=1) is None
    assert documents.number({}, "a", largest=5) == 0


def test_times_are_written_in_utc_to_the_second() -> None:
    moment = datetime(2026, 11, 23, 6, 7, 8, 900_000, timezone(timedelta(hours=1)))
    assert documents.shown_time(moment) == "2026-11-23T05:07:08Z"
    assert documents.shown_time(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00Z"
    assert documents.moment({"a": "2026-11-23T06:07:08.9+01:00"}, "a") == moment
