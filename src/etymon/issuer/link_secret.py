# SPDX-License-Identifier: Apache-2.0
"""What a link is redeemed with: the secret in the QR code and, where the rule wants it, a password beside the code."""

from typing import Final

from etymon.issuer.dependencies import Dependencies
from etymon.kernel.entropy import Entropy, random_text
from etymon.kernel.secret import Secret
from etymon.wire import link_qr

PASSWORD_DIGITS: Final = 8
"""26.6 bits: five tries find one in twenty million. The 112 bits that a code sent without an account identifier needs
(SP 800-63B-4, external binding) are the secret's 128; the password comes on top."""


def new_secret(entropy: Entropy) -> Secret[bytes]:
    """Return the secret of a new link."""
    return Secret(entropy.octets(link_qr.SECRET_BYTES))


def new_password(entropy: Entropy) -> Secret[str]:
    """Return the password of a new link."""
    return Secret(random_text(entropy, "0123456789", PASSWORD_DIGITS))


def digest(deps: Dependencies, secret: Secret[bytes], password: Secret[str] | None) -> bytes:
    """Return what is kept of both.

    It is one digest of the two together: neither is right or wrong by itself, so no answer, and not the time it takes,
    tells which of them was wrong. A replica of a version without passwords refuses such a link's secret as wrong.
    """
    text = secret.reveal().hex()
    if password is None:
        return deps.digest_key.digest("issuer.link", text)
    return deps.digest_key.digest("issuer.link-with-password", f"{text}/{password.reveal()}")
