# SPDX-License-Identifier: Apache-2.0
"""Phones for tests: a pause that turns the clock, a screen that remembers, pictures of codes, a stop at any write."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import segno
from cryptography import x509
from PIL import Image

from etymon.kernel.entropy import Entropy, SystemEntropy
from etymon.kernel.secret import Secret
from etymon.phone.device import Surroundings
from etymon.phone.key_store.opening import VaultKind
from etymon.phone.phone import Phone
from etymon.phone.screen import SecretRequest, SecretUse, View
from etymon.phone.state import Hardware
from support.clock import TurnedClock
from support.phone_keys import CHEAP, PIN
from support.phone_services import Services

HARDWARE: Final = Hardware(serial_number="SN-0001")


class TurningPause:
    """Lets time pass by turning the clock."""

    def __init__(self, clock: TurnedClock) -> None:
        self._clock = clock
        self.waited: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self._clock.advance(timedelta(seconds=seconds))


class Stopped(BaseException):
    """The phone lost its power. No handler of the phone's sees it."""


class StoppingEntropy:
    """Stops the phone at a draw of chance. Each write to disk draws its nonce first, so this stops before a write."""

    def __init__(self, draws: int) -> None:
        self._left = draws

    def octets(self, count: int) -> bytes:
        if self._left == 0:
            raise Stopped
        self._left -= 1
        return SystemEntropy().octets(count)


class RememberingScreen:
    """Keeps what was shown and answers with a secret; the first answers can be others. `numbers` are for codes."""

    def __init__(self, *answers: Secret[str], numbers: Iterable[str] = ()) -> None:
        self.shown: list[View] = []
        self.asked: list[SecretRequest] = []
        self._answers = list(answers)
        self._numbers = list(numbers)

    def show(self, view: View) -> None:
        self.shown.append(view)

    def ask_secret(self, request: SecretRequest) -> Secret[str]:
        self.asked.append(request)
        if request.use is SecretUse.LINK:
            return Secret(self._numbers.pop(0))
        return self._answers.pop(0) if self._answers else PIN

    @property
    def uses(self) -> list[SecretUse]:
        return [request.use for request in self.asked]


def surroundings(clock: TurnedClock | None = None, entropy: Entropy | None = None) -> Surroundings:
    clock = clock or TurnedClock()
    return Surroundings(clock, entropy or SystemEntropy(), TurningPause(clock), CHEAP)


@contextmanager
def new_phone(
    directory: Path,
    *,
    clock: TurnedClock | None = None,
    vault: VaultKind = VaultKind.SOFTWARE,
    roots: tuple[x509.Certificate, ...] = (),
) -> Iterator[Phone]:
    """Make a factory-new phone and close it after the block."""
    with Phone.new(directory, surroundings(clock), hardware=HARDWARE, vault=vault, roots=roots) as phone:
        yield phone


def enrolled(phone: Phone, services: Services) -> None:
    """Bring a new phone into the organisation."""
    phone.provision(picture(services.enrollment_code()))
    phone.enroll(lambda _: None)


def picture(text: Secret[str], *, turned: float = 0) -> bytes:
    """Return a PNG of a QR code, as a camera would see it."""
    return png(code(text).rotate(turned, expand=True, fillcolor=255))


def code(text: Secret[str]) -> Image.Image:
    drawn = io.BytesIO()
    segno.make(text.reveal(), error="m").save(drawn, kind="png", scale=6, border=4)
    return Image.open(drawn).convert("L")


def png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()
