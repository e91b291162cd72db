# SPDX-License-Identifier: Apache-2.0
"""The password beside the QR code, where a rule asks for one: every refusal of link.md, on both engines."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from etymon.audit.model import Outcome
from etymon.issuer import follow_ups
from etymon.issuer.initial_issuance import Begun
from etymon.issuer.link_secret import PASSWORD_DIGITS
from etymon.issuer.model import DerivationState
from etymon.issuer.redemption import Linked
from etymon.issuer.tables import derivations
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Expired, NotPermitted
from etymon.kernel.secret import Secret
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.issuer_phone import Phone
from support.issuer_site import IssuerSite, scanned


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    site = IssuerSite(database, clock, entropy, tmp_path)
    site.save_rule(link_password=True)
    return site


def password(begun: Begun) -> str:
    assert begun.password is not None
    return begun.password.reveal()


def other(begun: Begun, by: int = 1) -> Secret[str]:
    """Return a password that is not this link's."""
    return Secret(f"{(int(password(begun)) + by) % 10**PASSWORD_DIGITS:0{PASSWORD_DIGITS}}")


def test_with_the_number_beside_the_code_a_phone_is_linked_and_authorized(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    assert password(begun).isdecimal()
    assert len(password(begun)) == scanned(begun).password_digits == PASSWORD_DIGITS
    assert site.redeem(phone, begun).digits
    site.confirm(session, begun, phone)
    assert site.authorization(phone, begun) is not None
    assert site.events("issuer:link:refused") == []


def test_a_rule_that_says_nothing_asks_for_no_password(site: IssuerSite) -> None:
    site.save_rule()
    begun = site.begin(site.present_card())
    assert begun.password is None
    assert scanned(begun).password_digits == 0
    assert site.redeem(site.phone(), begun, password=Secret("12345678")).digits, "nobody asked; it is not looked at"


def test_every_link_has_a_password_of_its_own(site: IssuerSite) -> None:
    session = site.present_card()
    numbers = {password(site.begin(session)) for _ in range(20)}
    assert len(numbers) == 20


def test_the_password_is_kept_only_within_the_digest_of_both(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    with site.database.snapshot() as tx:
        row = tx.execute(sa.select(derivations)).mappings().one()
    assert row["asks_password"]
    assert password(begun) not in repr(row)
    assert password(begun).encode() not in bytes(row["secret_digest"])
    own = site.deps.digest_key
    for purpose in ("issuer.link", "issuer.link-with-password"):  # neither can be tried without the other
        for value in (password(begun), scanned(begun).secret.reveal().hex()):
            assert bytes(row["secret_digest"]) != own.digest(purpose, value)


def test_the_password_prints_as_nothing(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    assert password(begun) not in repr(begun)


# ---- missing and wrong


def test_without_the_password_nothing_is_compared_and_nothing_counted(site: IssuerSite) -> None:
    begun, phone = site.begin(site.present_card()), site.phone()
    for secret in (scanned(begun).secret, Secret(bytes(16))):  # and the answer tells nothing about the secret
        for _ in range(6):
            with pytest.raises(NotPermitted, match="link_password_required"):
                site.redeem(phone, begun, password=None, secret=secret)
    assert site.derivation(begun).wrong_secrets == 0
    assert site.derivation(begun).link is None
    site.redeem(phone, begun)


def test_a_wrong_password_and_a_wrong_secret_get_the_same_answer(site: IssuerSite) -> None:
    told = []
    for changes in ({"password": True}, {"secret": Secret(bytes(16))}, {"password": True, "secret": Secret(bytes(16))}):
        begun = site.begin(site.present_card())
        wrong = {**changes, **({"password": other(begun)} if "password" in changes else {})}
        with pytest.raises(NotPermitted) as refusal:
            site.redeem(site.phone(), begun, **wrong)
        told.append((refusal.value.code, refusal.value.detail))
        assert site.derivation(begun).wrong_secrets == 1
    assert len(set(told)) == 1
    assert told[0][0] == "link_password_wrong"
    assert "4 tries are left" in told[0][1]
    assert {event.facts["code"] for event in site.events("issuer:link:refused")} == {"link_password_wrong"}


def test_five_wrong_ones_of_either_kind_end_the_link_and_then_the_right_one_is_refused(site: IssuerSite) -> None:
    begun, phone = site.begin(site.present_card()), site.phone()
    for number in range(1, 5):
        wrong = {"password": other(begun, number)} if number % 2 else {"secret": Secret(bytes(16))}
        with pytest.raises(NotPermitted, match="link_password_wrong"):
            site.redeem(phone, begun, **wrong)
    with pytest.raises(NotPermitted, match="link_denied"):
        site.redeem(phone, begun, password=other(begun, 5))
    assert site.derivation(begun).state is DerivationState.DENIED
    with pytest.raises(NotPermitted, match="link_denied"):
        site.redeem(phone, begun)
    assert site.derivation(begun).link is None
    refused = site.events("issuer:link:refused")
    assert sorted(str(event.facts["code"]) for event in refused) == ["link_denied"] + ["link_password_wrong"] * 5
    assert {event.outcome for event in refused} == {Outcome.FAILURE}
    assert len(site.events("issuer:link:denied")) == 1


def test_four_wrong_ones_leave_one_try(site: IssuerSite) -> None:
    begun, phone = site.begin(site.present_card()), site.phone()
    for number, left in enumerate(("4 tries are", "3 tries are", "2 tries are", "1 try is"), start=1):
        with pytest.raises(NotPermitted, match="link_password_wrong") as refusal:
            site.redeem(phone, begun, password=other(begun, number))
        assert f"{left} left" in refusal.value.detail
    assert site.redeem(phone, begun).digits


def test_the_password_of_another_link_is_a_wrong_one(site: IssuerSite) -> None:
    colleagues = site.begin(site.present_card(site.bound_card(site.colleague())))
    begun = site.begin(site.present_card())
    with pytest.raises(NotPermitted, match="link_password_wrong"):
        site.redeem(site.phone(), begun, password=colleagues.password)
    with pytest.raises(NotPermitted, match="link_password_wrong"):
        site.redeem(site.phone(), colleagues, password=begun.password)


def test_the_password_of_the_code_before_is_of_no_use(site: IssuerSite) -> None:
    session, phone = site.present_card(), site.phone()
    older = site.begin(session)
    newer = site.begin(session)
    with pytest.raises(NotPermitted, match="link_denied"):
        site.redeem(phone, older)
    with pytest.raises(NotPermitted, match="link_password_wrong"):
        site.redeem(phone, newer, password=older.password)


# ---- late, twice


def test_a_right_password_that_comes_late_is_refused_like_a_wrong_one(site: IssuerSite) -> None:
    begun, phone = site.begin(site.present_card()), site.phone()
    site.turn(minutes=10)
    for attempt in (begun.password, other(begun)):
        with pytest.raises(Expired, match="link_expired"):
            site.redeem(phone, begun, password=attempt)
    assert site.derivation(begun).wrong_secrets == 0
    follow_ups.sweep(site.deps)
    with pytest.raises(Expired, match="link_expired"):
        site.redeem(phone, begun)


def test_a_lost_answer_is_asked_for_again_with_the_password_until_it_is_confirmed(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    assert site.redeem(phone, begun) == site.redeem(phone, begun)
    with pytest.raises(NotPermitted, match="link_password_required"):
        site.redeem(phone, begun, password=None)
    site.confirm(session, begun, phone)
    with pytest.raises(Conflict, match="link_already_redeemed"):
        site.redeem(phone, begun)


def test_another_phone_that_knows_secret_and_password_comes_too_late(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    site.redeem(site.phone(), begun)
    with pytest.raises(Conflict, match="link_already_redeemed"):
        site.redeem(site.phone(), begun)


def test_a_link_of_a_rule_that_asks_for_a_password_meanwhile_is_not_finished(site: IssuerSite) -> None:
    site.save_rule()
    begun = site.begin(site.present_card())
    site.save_rule(link_password=True)
    with pytest.raises(NotPermitted, match="rule_withdrawn"):
        site.redeem(site.phone(), begun)


# ---- at once


def at_once(site: IssuerSite, begun: Begun, guesses: list[Secret[str]]) -> Counter[str]:
    """Have as many phones try a guess each at the same time; return how often which answer came."""
    together = threading.Barrier(len(guesses))
    phones = [site.phone() for _ in guesses]

    def guess(phone: Phone, attempt: Secret[str]) -> Linked | EtymonError:
        together.wait()
        try:
            return site.redeem(phone, begun, password=attempt)
        except EtymonError as refusal:
            return refusal

    with ThreadPoolExecutor(len(guesses)) as threads:
        answers = list(threads.map(guess, phones, guesses))
    return Counter(answer.code if isinstance(answer, EtymonError) else "linked" for answer in answers)


def test_of_many_wrong_passwords_at_once_five_are_tried(site: IssuerSite) -> None:
    begun = site.begin(site.present_card())
    answers = at_once(site, begun, [other(begun, number) for number in range(1, 13)])
    assert answers == {"link_password_wrong": 4, "link_denied": 8}
    assert site.derivation(begun).wrong_secrets == 5
    assert site.derivation(begun).state is DerivationState.DENIED


def test_no_number_of_tries_at_once_finds_the_password_after_the_fifth(site: IssuerSite) -> None:
    """The right one is among them: it wins if it was among the first five that were looked at, and else is refused."""
    for _ in range(4):
        begun = site.begin(site.present_card())
        wrong = [other(begun, number) for number in range(1, 12)]
        assert begun.password is not None
        answers = at_once(site, begun, [*wrong, begun.password])
        assert answers["linked"] <= 1
        assert answers["link_password_wrong"] == 4
        assert answers["link_denied"] == 8 - answers["linked"]
        assert site.derivation(begun).wrong_secrets == 5
        assert site.derivation(begun).state is DerivationState.DENIED, "wrong ones after it ended what it had won"
