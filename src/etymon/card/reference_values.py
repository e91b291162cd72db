# SPDX-License-Identifier: Apache-2.0
"""Form of PIN and PUK on the card edge: eight bytes (SP 800-73-5 part 2 §2.4.3)."""

from typing import Final

from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret

BLOCK_BYTES: Final = 8
PIN_LEAST_DIGITS: Final = 6
_PADDING: Final = b"\xff"


def pin_block(pin: Secret[str]) -> Secret[bytes]:
    """Return a PIN of six to eight digits, padded to eight bytes."""
    text = pin.reveal()
    block = text.encode("ascii", "replace").ljust(BLOCK_BYTES, _PADDING)
    if not is_pin_block(block) or not text.isascii():
        raise Malformed("pin_format", "A PIN has six to eight decimal digits.")
    return Secret(block)


def puk_block(puk: Secret[str]) -> Secret[bytes]:
    """Return a PUK of eight ASCII characters as bytes; the card takes any eight bytes."""
    text = puk.reveal()
    if len(text) != BLOCK_BYTES or not text.isascii():
        raise Malformed("puk_format", "A PUK has eight ASCII characters.")
    return Secret(text.encode("ascii"))


def is_pin_block(block: bytes) -> bool:
    """Whether eight bytes are six to eight ASCII digits followed by nothing but FF."""
    digits = block.rstrip(_PADDING)
    return len(block) == BLOCK_BYTES and len(digits) >= PIN_LEAST_DIGITS and digits.isdigit()
