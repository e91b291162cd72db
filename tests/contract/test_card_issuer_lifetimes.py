# SPDX-License-Identifier: Apache-2.0
"""A card issuer's content signing key signs for three years, and nothing on a card outlives the card."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etymon.card.personalization import Cardholder
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Expired
from etymon.kernel.secret import Secret
from etymon.server.card_issuer import CardIssuer
from support.clock import TurnedClock

SECRET = Secret("for this test alone")


def test_a_content_signer_that_signed_for_three_years_makes_no_further_card(tmp_path: Path) -> None:
    clock = TurnedClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    issuer = CardIssuer.create(
        tmp_path / "cards",
        SECRET,
        "Card Agency",
        clock=clock,
        entropy=SystemEntropy(),
        status_url="http://status.agency.example",
    )
    holder = Cardholder("Alice Adams", "alice@agency.example", "alice@agency.example")

    def make(name: str) -> datetime:
        made = issuer.make_card(
            tmp_path / name, holder, passphrase=SECRET, pin=Secret("142536"), puk=Secret("87654321")
        )
        return made.authentication.not_valid_after_utc

    assert make("first.card") <= clock.now() + timedelta(days=3 * 365)
    clock.advance(timedelta(days=3 * 365))
    issuer.seal()
    with pytest.raises(Expired, match="content_signer_over"):
        make("second.card")
    assert not (tmp_path / "second.card").exists()
