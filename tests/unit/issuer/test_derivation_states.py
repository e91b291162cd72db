# SPDX-License-Identifier: Apache-2.0
"""The moves of derivations and credentials, and what a rule may say."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.issuer.model import (
    AUTHORIZING,
    CREDENTIAL_MOVES,
    DERIVATION_MOVES,
    LONGEST_LIFETIME,
    OPEN,
    CredentialState,
    DerivationState,
    IssuanceRule,
    Purpose,
)
from etymon.kernel.errors import Malformed
from etymon.pki.algorithms import KeyType

S = DerivationState


@pytest.mark.parametrize("moves", [DERIVATION_MOVES, CREDENTIAL_MOVES])
def test_every_state_says_where_it_leads(moves: Mapping[StrEnum, frozenset[StrEnum]]) -> None:
    (kind,) = {type(state) for state in moves}
    assert set(moves) == set(kind)


@given(st.lists(st.sampled_from(list(DerivationState)), max_size=12))
def test_a_derivation_never_comes_back_and_is_confirmed_only_after_redemption(wanted: list[DerivationState]) -> None:
    """Random wishes, of which only the allowed ones are granted."""
    path = [S.BEGUN]
    for state in wanted:
        if state in DERIVATION_MOVES[path[-1]]:
            path.append(state)
    assert len(set(path)) == len(path)
    for later, earlier in ((S.CONFIRMED, S.REDEEMED), (S.ISSUING, S.CONFIRMED), (S.COMPLETED, S.ISSUING)):
        assert later not in path or earlier in path[: path.index(later)]


def test_what_is_over_stays_over() -> None:
    over = set(DerivationState) - OPEN
    assert over == {S.EXPIRED, S.DENIED, S.ENDED}
    assert not any(DERIVATION_MOVES[state] for state in over)
    assert not CREDENTIAL_MOVES[CredentialState.ENDED]
    assert all(S.ENDED in DERIVATION_MOVES[state] for state in OPEN)


def test_nothing_is_issued_before_the_card_session_confirmed() -> None:
    assert not {S.BEGUN, S.REDEEMED} & AUTHORIZING


RULE = IssuanceRule(
    id=uuid.UUID(int=1),
    name="staff",
    groups=frozenset({uuid.UUID(int=2)}),
    purposes=tuple(Purpose),
    lifetime=timedelta(days=365),
    created_by=uuid.UUID(int=3),
    created_at=datetime(2026, 11, 1, tzinfo=UTC),
)


def test_a_rule_reaches_its_limits() -> None:
    changed = replace(RULE, lifetime=LONGEST_LIFETIME, most_derivations=100, instructions_url="https://help.example/")
    assert changed.lifetime == timedelta(days=1095)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a" * 101},
        {"name": "two\nlines"},
        {"groups": frozenset()},
        {"purposes": ()},
        {"purposes": (Purpose.SIGNATURE,)},
        {"purposes": (Purpose.AUTHENTICATION, Purpose.AUTHENTICATION)},
        {"lifetime": LONGEST_LIFETIME + timedelta(seconds=1)},
        {"lifetime": timedelta(hours=23)},
        {"key_types": frozenset()},
        {"key_types": frozenset({KeyType.RSA4096})},
        {"encryption_key_type": KeyType.RSA4096},
        {"most_derivations": 0},
        {"most_derivations": 101},
        {"instructions_url": "http://help.example/"},
    ],
    ids=str,
)
def test_a_rule_that_goes_too_far_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match="malformed_issuance_rule"):
        replace(RULE, **change)
