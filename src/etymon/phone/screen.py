# SPDX-License-Identifier: Apache-2.0
"""What the phone shows and asks, as values that any screen can render: a terminal here, a page elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol, TypeAlias

from etymon.kernel.secret import Secret
from etymon.phone.state import Notification, Organization, Purpose


@dataclass(frozen=True, slots=True)
class UserCode:
    """Sign in from another device: open the address there and type the code."""

    code: str
    verification_uri: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Welcome:
    """The organisation asks for a derived credential; shown in its colours."""

    organization: Organization


@dataclass(frozen=True, slots=True)
class Instructions:
    """Where to go on a PC with the smart card, and the organisation's own instructions."""

    issuer: str
    self_service: str
    instructions: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compare the digits with the PC's, look whether the name is yours, and confirm on the PC."""

    person: str
    mail: str
    issuer: str
    digits: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Installing:
    """A certificate is on its way."""

    purpose: Purpose


@dataclass(frozen=True, slots=True)
class Ready:
    """The derived credential is set up."""

    purposes: tuple[Purpose, ...]


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """Keys and certificates were replaced by new ones; nobody had to do anything."""

    purposes: tuple[Purpose, ...]


View: TypeAlias = UserCode | Welcome | Instructions | Comparison | Installing | Ready | Rekeyed | Notification


class SecretUse(Enum):
    """Which secret is asked for, and why."""

    CHOOSE = "choose"
    """A new activation secret."""
    ENTER = "enter"
    """The activation secret."""
    LINK = "link"
    """The number beside the issuer's code, on the screen of the PC."""


@dataclass(frozen=True, slots=True)
class SecretRequest:
    """Ask for a secret; `problem` says what was wrong with the last answer, `digits` how long the number is."""

    use: SecretUse
    problem: str = ""
    digits: int = 0


class Screen(Protocol):
    """Shows views and asks for what only the person knows or sees."""

    def show(self, view: View) -> None:
        """Show a view in place of the one before."""
        ...

    def ask_secret(self, request: SecretRequest) -> Secret[str]:
        """Return what the person typed."""
        ...


class ConsoleScreen:
    """A screen of lines of text. `write` prints a line, `read_secret` asks without showing what is typed."""

    def __init__(self, write: Callable[[str], None], read_secret: Callable[[str], str]) -> None:
        self._write = write
        self._read_secret = read_secret

    def show(self, view: View) -> None:
        """Write the view's lines."""
        for line in lines(view):
            self._write(line)

    def ask_secret(self, request: SecretRequest) -> Secret[str]:
        """Ask for the secret; a new one is typed twice."""
        if request.problem:
            self._write(request.problem)
        if request.use is SecretUse.LINK:
            return Secret(self._read_secret(f"Number beside the code on the computer ({request.digits} digits)"))
        if request.use is SecretUse.ENTER:
            return Secret(self._read_secret("Activation secret"))
        while True:
            first = Secret(self._read_secret("Choose an activation secret (at least 6 characters)"))
            if first == Secret(self._read_secret("The same again")):
                return first
            self._write("The two are not the same.")


def lines(view: View) -> list[str]:  # noqa: PLR0911 - one return for each view
    """Return a view as text."""
    match view:
        case UserCode():
            return [
                "Sign in from another device.",
                f"Open {view.verification_uri} on a computer with your smart card and type this code:",
                f"    {view.code}",
            ]
        case Welcome():
            return [view.organization.display_name, "Set up your smart card on this phone."]
        case Instructions():
            return [
                f"On a computer with your smart card, open {view.self_service} ({view.issuer}).",
                *([f"Your organisation's instructions: {view.instructions}"] if view.instructions else []),
                "Then scan the code shown there.",
            ]
        case Comparison():
            return [
                f"{view.issuer}: {view.person}, {view.mail}",
                "Is this you, and does the computer show the same digits? Then confirm there.",
                f"    {view.digits[:3]} {view.digits[3:]}",
            ]
        case Installing():
            return [f"Getting your certificate for {view.purpose.value} …"]
        case Ready():
            return [f"Your derived credential is ready: {', '.join(item.value for item in view.purposes)}."]
        case Rekeyed():
            return [f"Your derived credential has new keys: {', '.join(item.value for item in view.purposes)}."]
        case Notification():
            return [view.title, view.body]
