# SPDX-License-Identifier: Apache-2.0
"""The kind of encryption key that a rule names, from escrow to the phone."""

from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.phone.state import Purpose
from support.whole_site import LONG_KEYS, WholeSite


def test_a_rule_for_long_encryption_keys_is_served_to_the_phone(site: WholeSite) -> None:
    held = site.phone_of("courier", group=LONG_KEYS)
    key = held.credential(Purpose.ENCRYPTION).certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072
