# SPDX-License-Identifier: Apache-2.0
"""Signed in for as long as the work takes: a token near its end is replaced by a new sign-in."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeAlias

from etymon.kernel.clock import Clock
from etymon.kernel.errors import NotPermitted
from etymon.kernel.secret import Secret
from etymon.server.apply.identity_provider import Granted

GOOD_FOR: Final = timedelta(minutes=1)
"""A token with less than this left is not used any more."""

SignIn: TypeAlias = Callable[[], Granted]
"""Signs a person in; raises NotPermitted or Unavailable."""


class SignedIn:
    """A person's access tokens."""

    def __init__(self, sign_in: SignIn, clock: Clock) -> None:
        self._sign_in = sign_in
        self._clock = clock
        self._granted: Granted | None = None

    def token(self) -> Secret[str]:
        """Return a token that is good for a minute at least. Raises NotPermitted when somebody else signs in."""
        return self._present().access_token

    def subject(self) -> str:
        """Return the subject identifier of who is signed in."""
        return self._present().subject

    def _present(self) -> Granted:
        before = self._granted
        if before is None or self._clock.now() >= before.expires_at - GOOD_FOR:
            granted = self._sign_in()
            if before is not None and granted.subject != before.subject:
                raise NotPermitted("somebody_else", "Somebody else signed in than at the start. Run the command again.")
            self._granted = before = granted
        return before
