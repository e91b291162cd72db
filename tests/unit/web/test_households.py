# SPDX-License-Identifier: Apache-2.0
"""As whom an address is counted."""

import pytest

from etymon.web.rate_limits import household


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_whoever_has_a_whole_network_is_counted_once(address: str, counted_as: str) -> None:
    assert household(address) == counted_as
