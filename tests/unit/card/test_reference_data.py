# SPDX-License-Identifier: Apache-2.0
"""PIN and PUK: every status word, and counters that last before anything is compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.card.applet import PIVApplet
from etymon.card.state import CardState, manufacture
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Malformed
from etymon.kernel.secret import Secret
from support.card_edge import (
    NEW_PIN_BLOCK,
    PIN_BLOCK,
    PUK_BLOCK,
    STATUS,
    VERIFY,
    WRONG_PIN_BLOCK,
    WRONG_PUK_BLOCK,
    WRONG_VERIFY,
    Bench,
    bench,
)

CHANGE = "00240080 10"
CHANGE_PUK = "00240081 10"
RESET = "002C0080 10"


def _blocked() -> Bench:
    card = bench()
    for left in ("63C2", "63C1", "63C0"):
        assert card.send(WRONG_VERIFY) == left
    return card


def test_the_right_pin_is_verified_and_stays_so() -> None:
    card = bench()
    assert card.send(STATUS) == "63C3"
    assert card.send(VERIFY) == "9000"
    assert card.send(STATUS) == "9000"
    assert card.send("0020008000") == "9000"


def test_a_wrong_pin_ends_what_a_right_one_began() -> None:
    card = bench()
    card.send(VERIFY)
    assert card.send(WRONG_VERIFY) == "63C2"
    assert card.send(STATUS) == "63C2"


def test_the_right_pin_gives_all_tries_back() -> None:
    card = bench()
    card.send(WRONG_VERIFY)
    card.send(VERIFY)
    card.applet.reset()
    assert card.send(STATUS) == "63C3"


def test_after_the_last_try_the_right_pin_is_not_even_compared() -> None:
    card = _blocked()
    before = len(card.persisted)
    assert card.send(VERIFY) == "6983"
    assert card.send(STATUS) == "6983"
    assert card.send(CHANGE, PIN_BLOCK, NEW_PIN_BLOCK) == "6983"
    assert len(card.persisted) == before


def test_logging_out_forgets_the_pin_and_costs_nothing() -> None:
    card = bench()
    card.send(VERIFY)
    assert card.send("0020FF80") == "9000"
    assert card.send(STATUS) == "63C3"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("00200180", "6A86"),
        ("00200180 08" + PIN_BLOCK, "6A86"),
        ("00200000", "6A88"),  # Global PIN: the discovery object does not name it
        ("00200000 08" + PIN_BLOCK, "6A88"),
        ("00200081 08" + PUK_BLOCK, "6A88"),  # the PUK is not verified
        ("00200096", "6A88"),
        ("0020FF81", "6A88"),
        ("0020FF80 08" + PIN_BLOCK, "6A80"),
        ("00200080 06 313432353336", "6A80"),
        ("00200080 07 313432353336FF", "6A80"),
        ("00200080 09 313432353336FFFFFF", "6A80"),
        ("00200080 08 3134323533FFFFFF", "6A80"),  # five digits
        ("00200080 08 31343235334139FF", "6A80"),  # a letter
        ("00200080 08 3134323533FF36FF", "6A80"),  # a digit behind the padding
        ("00200080 08 3134323533360000", "6A80"),  # padded with zero
        ("00200080 08 FFFFFFFFFFFFFFFF", "6A80"),
        ("00240180 10" + PIN_BLOCK + NEW_PIN_BLOCK, "6A86"),
        ("00240000 10" + PIN_BLOCK + NEW_PIN_BLOCK, "6A88"),
        ("002C0180 10" + PUK_BLOCK + NEW_PIN_BLOCK, "6A86"),
        ("002C0081 10" + PUK_BLOCK + NEW_PIN_BLOCK, "6A88"),
        ("00240080", "6A80"),
        ("00240080 08" + PIN_BLOCK, "6A80"),
        ("002C0080 08" + PUK_BLOCK, "6A80"),
        ("00240080 10" + PIN_BLOCK + "3131313131FFFFFF", "6A80"),  # the new PIN is ill-formed
        ("00240080 10" + "3131313131FFFFFF" + NEW_PIN_BLOCK, "6A80"),  # the old one is
        ("00240080 10" + WRONG_PIN_BLOCK + "3131313131FFFFFF", "6A80"),
        ("002C0080 10" + PUK_BLOCK + "3131313131FFFFFF", "6A80"),
        ("002C0080 10" + WRONG_PUK_BLOCK + "3131313131FFFFFF", "6A80"),
    ],
)
def test_a_malformed_command_changes_nothing(command: str, answer: str) -> None:
    card = bench()
    card.send(VERIFY)
    before = list(card.persisted)
    assert card.send(command) == answer
    assert card.send(STATUS) == "9000"
    assert card.persisted == before


def test_a_changed_pin_replaces_the_old_one_and_is_verified() -> None:
    card = bench()
    card.send(WRONG_VERIFY)
    assert card.send(CHANGE, PIN_BLOCK, NEW_PIN_BLOCK) == "9000"
    assert card.send(STATUS) == "9000"
    assert card.send(VERIFY) == "63C2"
    assert card.send("00200080 08", NEW_PIN_BLOCK) == "9000"


def test_changing_with_a_wrong_pin_costs_a_try_and_the_status() -> None:
    card = bench()
    card.send(VERIFY)
    assert card.send(CHANGE, WRONG_PIN_BLOCK, NEW_PIN_BLOCK) == "63C2"
    assert card.send(STATUS) == "63C2"
    assert card.send(VERIFY) == "9000"


def test_the_puk_unblocks_the_pin_but_does_not_verify_it() -> None:
    card = _blocked()
    assert card.send(RESET, PUK_BLOCK, NEW_PIN_BLOCK) == "9000"
    assert card.send(STATUS) == "63C3"
    assert card.send("00200080 08", NEW_PIN_BLOCK) == "9000"


def test_resetting_keeps_a_verified_pin_verified() -> None:
    card = bench()
    card.send(VERIFY)
    card.send(RESET, PUK_BLOCK, NEW_PIN_BLOCK)
    assert card.send(STATUS) == "9000"


def test_a_wrong_puk_costs_a_try_and_in_the_end_blocks() -> None:
    card = bench()
    card.send(VERIFY)
    for left in ("63C2", "63C1", "63C0"):
        assert card.send(RESET, WRONG_PUK_BLOCK, NEW_PIN_BLOCK) == left
    assert card.send(RESET, PUK_BLOCK, NEW_PIN_BLOCK) == "6983"
    assert card.send(CHANGE_PUK, PUK_BLOCK, "4142434445464748") == "6983"
    assert card.send(STATUS) == "63C3"
    assert card.send(VERIFY) == "9000"


def test_a_changed_puk_may_be_any_eight_bytes() -> None:
    card = bench()
    card.send(CHANGE_PUK, WRONG_PUK_BLOCK, "00FF00FF00FF00FF")
    assert card.send(CHANGE_PUK, PUK_BLOCK, "00FF00FF00FF00FF") == "9000"
    assert card.send(STATUS) == "63C3"
    assert card.send(RESET, PUK_BLOCK, NEW_PIN_BLOCK) == "63C2"
    assert card.send(RESET, "00FF00FF00FF00FF", NEW_PIN_BLOCK) == "9000"


@pytest.mark.parametrize(
    ("command", "read"),
    [(VERIFY, "pin"), (CHANGE + PIN_BLOCK + NEW_PIN_BLOCK, "pin"), (RESET + PUK_BLOCK + NEW_PIN_BLOCK, "puk")],
)
def test_a_try_is_counted_and_lasting_before_it_is_compared(command: str, read: str) -> None:
    # Whatever the comparison says, the first state persisted has one try less: power lost here gives no try back.
    for wrong in (False, True):
        card = bench()
        text = command.replace(PIN_BLOCK, WRONG_PIN_BLOCK, 1).replace(PUK_BLOCK, WRONG_PUK_BLOCK, 1)
        card.send(text if wrong else command)
        assert getattr(card.persisted[0], read).remaining == 2
        assert getattr(card.persisted[-1], read).remaining == (2 if wrong else 3)


class FullDisk(Exception):
    """Stands for a process killed at the moment of writing."""


@pytest.mark.parametrize("command", [VERIFY, WRONG_VERIFY, RESET + PUK_BLOCK + NEW_PIN_BLOCK])
def test_what_cannot_be_stored_is_not_compared(command: str) -> None:
    def full(_: CardState) -> None:
        raise OSError

    state = manufacture(pin=Secret("142536"), puk=Secret("87654321"), entropy=SystemEntropy())
    card = Bench(PIVApplet(state, full, SystemEntropy()))
    assert card.send(command) == "6581"
    assert card.send(STATUS) == "63C3"


def test_a_card_pulled_while_comparing_has_counted_the_try() -> None:
    kept: list[CardState] = []

    def pulled(state: CardState) -> None:
        kept.append(state)
        raise FullDisk

    state = manufacture(pin=Secret("142536"), puk=Secret("87654321"), entropy=SystemEntropy())
    card = Bench(PIVApplet(state, pulled, SystemEntropy()))
    with pytest.raises(FullDisk):
        card.send(VERIFY)
    again = Bench(PIVApplet(kept[-1], kept.append, SystemEntropy()))
    assert again.send(STATUS) == "63C2"


@given(st.lists(st.sampled_from([VERIFY, WRONG_VERIFY, STATUS, "reset"]), max_size=25))
def test_the_counter_is_what_a_simple_model_says(steps: list[str]) -> None:
    card = bench()
    remaining, verified = 3, False
    for step in steps:
        if step == "reset":
            card.applet.reset()
            verified = False
        elif step == STATUS:
            blocked = "6983" if not remaining else f"63C{remaining}"
            assert card.send(step) == ("9000" if verified else blocked)
        elif not remaining:
            assert card.send(step) == "6983"
        elif step == VERIFY:
            assert card.send(step) == "9000"
            remaining, verified = 3, True
        else:
            remaining, verified = remaining - 1, False
            assert card.send(step) == f"63C{remaining}"


@pytest.mark.parametrize("tries", [0, 11])
def test_a_card_allows_one_to_ten_tries(tries: int) -> None:
    with pytest.raises(Malformed):
        bench(tries=tries)


def test_ten_tries_are_told_in_one_digit() -> None:
    assert bench(tries=10).send(STATUS) == "63CA"


@pytest.mark.parametrize("pin", ["12345", "123456789", "12345a", "", "١٢٣٤٥٦", "12345 "])
def test_a_pin_has_six_to_eight_digits(pin: str) -> None:
    with pytest.raises(Malformed, match="pin_format"):
        manufacture(pin=Secret(pin), puk=Secret("87654321"), entropy=SystemEntropy())


@pytest.mark.parametrize("puk", ["1234567", "123456789", "ääääääää"])
def test_a_puk_has_eight_characters(puk: str) -> None:
    with pytest.raises(Malformed, match="puk_format"):
        manufacture(pin=Secret("142536"), puk=Secret(puk), entropy=SystemEntropy())
