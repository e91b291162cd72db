# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from etymon.kernel.secret import Secret
from etymon.phone.screen import (
    Comparison,
    ConsoleScreen,
    Installing,
    Instructions,
    Ready,
    SecretRequest,
    SecretUse,
    UserCode,
    View,
    Welcome,
    lines,
)
from etymon.phone.state import Notification, Organization, Purpose

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Keyboard:
    """Types what it was given, and keeps the lines on the screen."""

    def __init__(self, *typed: str) -> None:
        self.typed = list(typed)
        self.written: list[str] = []

    @property
    def screen(self) -> ConsoleScreen:
        return ConsoleScreen(self.written.append, lambda _: self.typed.pop(0))


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (UserCode("BCDF-GHJK", "https://h/idp/device", NOON), ["BCDF-GHJK", "https://h/idp/device"]),
        (Welcome(Organization("Agency")), ["Agency"]),
        (Instructions("Issuer", "https://h/issuer/", "https://help"), ["https://h/issuer/", "https://help"]),
        (Comparison("Alice", "a…e@x", "Issuer", "012345", NOON), ["Alice", "    012 345"]),
        (Installing(Purpose.SIGNATURE), ["signature"]),
        (Ready((Purpose.AUTHENTICATION, Purpose.SIGNATURE)), ["authentication, signature"]),
        (Notification(uuid4(), "Title", "Body", "open"), ["Title", "Body"]),
    ],
)
def test_a_view_says_what_it_has_to(view: View, said: list[str]) -> None:
    keyboard = Keyboard()
    keyboard.screen.show(view)
    assert keyboard.written == lines(view)
    assert all(any(word in line for line in keyboard.written) for word in said)


def test_the_number_beside_a_code_is_asked_for_with_its_length() -> None:
    prompts: list[str] = []

    def read(prompt: str) -> str:
        prompts.append(prompt)
        return "4839 2051"

    screen = ConsoleScreen(prompts.append, read)
    assert screen.ask_secret(SecretRequest(SecretUse.LINK, digits=8)) == Secret("4839 2051")
    assert screen.ask_secret(SecretRequest(SecretUse.LINK, "Not the number.", 8)) == Secret("4839 2051")
    asked = "Number beside the code on the computer (8 digits)"
    assert prompts == [asked, "Not the number.", asked]


def test_a_new_secret_is_typed_twice_and_an_old_one_once() -> None:
    keyboard = Keyboard("one-secret", "another-one", "one-secret", "one-secret", "old-secret")
    assert keyboard.screen.ask_secret(SecretRequest(SecretUse.CHOOSE)) == Secret("one-secret")
    assert keyboard.screen.ask_secret(SecretRequest(SecretUse.ENTER, "Wrong.")) == Secret("old-secret")
    assert keyboard.written == ["The two are not the same.", "Wrong."]
