# SPDX-License-Identifier: Apache-2.0
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.phone.document import Document, base64_text, encode, time_text

READERS = ("text", "whole_number", "flag", "texts", "document", "documents", "uuid", "moment", "octets", "octet_list")

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_decode_error(data: bytes) -> None:
    try:
        Document.parse(data)
    except DecodeError:
        return
    assert isinstance(json.loads(data), dict)


@given(json_values, st.sampled_from(READERS))
def test_any_member_is_what_was_asked_for_or_a_decode_error(value: object, reader: str) -> None:
    document = Document.parse(encode({"member": value}))
    try:
        found = getattr(document, reader)("member")
    except DecodeError:
        return
    if reader in {"text", "whole_number", "flag"}:
        assert found == value


def test_times_are_read_with_any_offset_and_written_in_utc() -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    elsewhere = noon.astimezone(timezone(timedelta(hours=2)))
    assert time_text(elsewhere) == "2026-11-23T12:00:00Z"
    assert Document({"t": "2026-11-23T14:00:00+02:00"}).moment("t") == noon
    with pytest.raises(DecodeError):
        Document({"t": "2026-11-23T14:00:00"}).moment("t")


@given(st.binary(max_size=50))
def test_octets_come_back(octets: bytes) -> None:
    assert Document({"o": base64_text(octets)}).octets("o") == octets


def test_a_default_stands_for_a_missing_member_only() -> None:
    document = Document({"wrong": 1, "null": None})
    assert document.text("missing", "x") == "x"
    assert document.text("null", "x") == "x"
    assert "null" not in document
    assert document.texts("missing") == ()
    with pytest.raises(DecodeError):
        document.text("wrong", "x")


@pytest.mark.parametrize("number", [-1, 1.0, True, 2**53, "1"])
def test_a_number_that_is_not_whole_or_too_large_is_refused(number: object) -> None:
    with pytest.raises(DecodeError):
        Document({"n": number}).whole_number("n")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(DecodeError):
        Document.parse(b'{"a":' * 100_000)
