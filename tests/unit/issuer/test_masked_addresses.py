# SPDX-License-Identifier: Apache-2.0
import pytest

from etymon.issuer.redemption import masked


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
