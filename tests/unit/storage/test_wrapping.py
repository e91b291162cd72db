# SPDX-License-Identifier: Apache-2.0
"""Stored secrets open with their key, in their row, for their purpose, and not otherwise."""

from uuid import UUID

import pytest

from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import DigestKey, Secret
from etymon.storage.wrapping import unwrap, wrap

KEY = DigestKey(Secret(bytes(32)))
ROW = UUID(int=1)
VALUE = Secret("MFRGGZDFMZTWQ2LKNNWG23TP")


def test_a_secret_comes_back_and_looks_different_each_time() -> None:
    first, second = (wrap(KEY, SystemEntropy(), "purpose", ROW, VALUE) for _ in range(2))
    assert unwrap(KEY, "purpose", ROW, first) == unwrap(KEY, "purpose", ROW, second) == VALUE
    assert first != second
    assert VALUE.reveal().encode() not in first


@pytest.mark.parametrize(
    ("key", "purpose", "row", "change"),
    [
        (DigestKey(Secret(bytes(31) + b"\x01")), "purpose", ROW, 0),
        (KEY, "another", ROW, 0),
        (KEY, "purpose", UUID(int=2), 0),
        (KEY, "purpose", ROW, 1),
    ],
)
def test_nothing_else_opens_it(key: DigestKey, purpose: str, row: UUID, change: int) -> None:
    wrapped = wrap(KEY, SystemEntropy(), "purpose", ROW, VALUE)
    changed = wrapped[:-1] + bytes([wrapped[-1] ^ change])
    assert unwrap(key, purpose, row, changed) is None
