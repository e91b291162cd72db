# SPDX-License-Identifier: Apache-2.0
"""What others send is one element of DER within bounds, or it is refused before a parser sees it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.wire import der
from etymon.wire.der_scan import Bounds, require_plain

BOUNDS = Bounds(4096, depth=8, elements=100)


def nested(depth: int) -> bytes:
    encoded = b""
    for _ in range(depth):
        encoded = der.sequence(encoded)
    return encoded


@pytest.mark.parametrize(
    "plain",
    [
        der.sequence(),
        der.integer(7),
        der.integer(-129),
        der.boolean(value=True),
        der.sequence(der.octet_string(bytes(300)), der.sequence(der.null()), der.boolean(value=False)),
        nested(8),
    ],
)
def test_der_within_bounds_passes(plain: bytes) -> None:
    require_plain(plain, BOUNDS)


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        ("der_cut_off", b""),
        ("der_cut_off", b"\x30"),
        ("der_cut_off", b"\x30\x03\x02\x01"),
        ("der_cut_off", b"\x30\x03\x02\x05\x01"),
        ("der_trailing_bytes", der.integer(1) + b"\x00"),
        ("der_trailing_bytes", der.sequence(der.integer(1)) + der.null()),
        ("der_too_large", der.octet_string(bytes(4096))),
        ("der_too_deep", nested(9)),
        ("der_too_many", der.sequence(*[der.null()] * 100)),
        ("der_length", b"\x30\x80\x00\x00"),
        ("der_length", b"\x04\x81\x7f" + bytes(127)),
        ("der_length", b"\x04\x82\x00\x80" + bytes(128)),
        ("der_length", b"\x04\x85\x00\x00\x00\x00\x01\x00"),
        ("der_tag", b"\x1f\x81\x00\x00"),
        ("der_tag", b"\x00\x00"),
        ("der_integer", b"\x02\x02\x00\x01"),
        ("der_integer", b"\x02\x02\xff\xff"),
        ("der_integer", b"\x02\x00"),
        ("der_boolean", b"\x01\x01\x01"),
    ],
)
def test_anything_else_is_refused(code: str, sent: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        require_plain(sent, BOUNDS)
    assert caught.value.code == code


def test_of_an_outline_only_the_frame_is_read() -> None:
    frame = Bounds(4096, depth=2, outline=True, elements=4)
    require_plain(der.sequence(der.sequence(der.sequence(*[der.null()] * 50))), frame)
    require_plain(der.sequence(der.sequence(der.sequence(b"\x30\x80"))), frame)
    with pytest.raises(DecodeError):
        require_plain(der.sequence(der.sequence(b"\x30\x80")), frame)


@given(st.binary(max_size=300))
def test_any_bytes_pass_or_are_a_decode_error(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        require_plain(data, BOUNDS)
        assert len(der.elements(data)) == 1
