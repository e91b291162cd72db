# SPDX-License-Identifier: Apache-2.0
"""The block cipher of the card management key, for both sides (SP 800-73-5 part 2 appendix A.1)."""

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from etymon.card.state import ManagementKey
from etymon.wire.piv import Algorithm


def block_bytes(key: ManagementKey) -> int:
    """Return the length of a challenge."""
    return 8 if key.algorithm is Algorithm.TRIPLE_DES else 16


def encrypt(key: ManagementKey, block: bytes) -> bytes:
    """Return one block encrypted."""
    return _run(_cipher(key).encryptor(), block)


def decrypt(key: ManagementKey, block: bytes) -> bytes:
    """Return one block decrypted."""
    return _run(_cipher(key).decryptor(), block)


def _cipher(key: ManagementKey) -> Cipher[modes.ECB]:
    # ECB on one random block is what the standard's challenge and response are made of.
    value = key.value.reveal()
    algorithm = TripleDES(value) if key.algorithm is Algorithm.TRIPLE_DES else AES(value)
    return Cipher(algorithm, modes.ECB())  # noqa: S305 - see above


def _run(context: CipherContext, block: bytes) -> bytes:
    return context.update(block) + context.finalize()
