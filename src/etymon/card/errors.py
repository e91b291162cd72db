# SPDX-License-Identifier: Apache-2.0
"""What a card says no to, for whoever uses one. Each error carries the status word the card answered with."""

from etymon.kernel.errors import EtymonError, NotFound, NotPermitted, Unavailable


class CardError(EtymonError):
    """The card refused a command; `status_word` is its answer, `tries_left` is known after a wrong PIN or PUK."""

    default_code = "card_refused"

    def __init__(
        self, code: str | None = None, detail: str = "", *, status_word: int, tries_left: int | None = None
    ) -> None:
        self.status_word = status_word
        self.tries_left = tries_left
        super().__init__(code, detail, status_word=f"{status_word:04X}", tries_left=tries_left)


class WrongPIN(CardError, NotPermitted):
    """The PIN or PUK was not the card's; `tries_left` says how many tries remain."""

    default_code = "wrong_pin"


class PINBlocked(CardError, NotPermitted):
    """No tries are left; the PIN is reset with the PUK, a blocked PUK means a new card."""

    default_code = "pin_blocked"


class CardNotPermitted(CardError, NotPermitted):
    """The PIN, or the card management key, has to be shown first."""

    default_code = "card_not_permitted"


class CardObjectNotFound(CardError, NotFound):
    """The card has no such data object, key or application."""

    default_code = "card_object_not_found"


class CardUnavailable(Unavailable):
    """The card cannot be reached, or answers with what no card should."""

    default_code = "card_unavailable"
