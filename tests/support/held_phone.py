# SPDX-License-Identifier: Apache-2.0
"""A phone in somebody's hand: what its screen showed, and what is done about it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from etymon.card.tls import TLSIdentity
from etymon.kernel.secret import Secret
from etymon.phone.certificate_chain import without_roots
from etymon.phone.phone import Phone
from etymon.phone.profiles.desired_state import credential_entry
from etymon.phone.screen import SecretRequest, SecretUse, View
from etymon.phone.state import Notification, Purpose

V = TypeVar("V")


@dataclass
class HeldPhone:
    """A phone, the activation secret its person uses, and what it showed. `does` acts on what it shows, at once."""

    phone: Phone
    secret: Secret[str]
    seen: list[View] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    """What its person types when the phone asks for the number beside a code, one after the other."""
    problems: list[str] = field(default_factory=list)
    """What the phone said each time it asked."""
    does: Callable[[View], None] = lambda _: None

    def show(self, view: View) -> None:
        """See what the phone shows."""
        self.seen.append(view)
        self.does(view)

    def ask_secret(self, request: SecretRequest) -> Secret[str]:
        """Type the activation secret, or a number that a PC shows."""
        if request.use is SecretUse.LINK:
            self.problems.append(request.problem)
            return Secret(self.numbers.pop(0))
        return self.secret

    def shown(self, kind: type[V]) -> V:
        """Return the latest view of a kind."""
        return next(view for view in reversed(self.seen) if isinstance(view, kind))

    def check_in(self) -> None:
        """Check in and do what is asked."""
        self.phone.check_in(self.show)

    @property
    def notifications(self) -> list[Notification]:
        return [view for view in self.seen if isinstance(view, Notification)]

    @property
    def identity(self) -> TLSIdentity:
        """Return the device identity."""
        return self.phone.device.identity()

    def credential(self, purpose: Purpose = Purpose.AUTHENTICATION) -> TLSIdentity:
        """Return one certificate of the derived credential; its key works while the phone is unlocked."""
        entry = credential_entry(self.phone.device, purpose)
        assert entry is not None
        assert entry.certificate is not None
        return TLSIdentity(entry.certificate, self.phone.device.keys.handle(entry.alias), without_roots(entry.chain))

    def unlock(self) -> None:
        """Begin to use the derived credential; it stays open until the phone is switched off."""
        self.phone.unlock(self.secret)
