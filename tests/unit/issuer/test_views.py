# SPDX-License-Identifier: Apache-2.0
"""What pages show of a derivation."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from etymon.ca.model import Authority
from etymon.issuer.http.views import derivation_view, qr_image, without_replaced
from etymon.issuer.model import (
    Credential,
    CredentialState,
    Derivation,
    DerivationState,
    DeviceDescription,
    Purpose,
    RedeemedLink,
)
from etymon.kernel.secret import Secret
from support.card_issuer import authority
from support.qr_reader import scan

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ID = uuid.UUID(int=1)
S = DerivationState

DERIVATION = Derivation(
    id=ID,
    state=S.BEGUN,
    person=ID,
    rule=ID,
    proof=ID,
    session=ID,
    purposes=tuple(Purpose),
    duties_version="1",
    begun_at=NOW,
    begun_from="",
    expires_at=NOW + timedelta(minutes=10),
    undo=ID,
)
AUTHORITY = Authority(
    "derived",
    "derived-root",
    authority("Derived CA").certificate,
    profiles=frozenset(),
    policies=(),
    revocations=0,
    created_at=NOW,
    revoked_at=NOW,
)
LINK = RedeemedLink(None, DeviceDescription("Google", "", "SN"), b"key", bytes(32), "012345", NOW, "")


def credential(state: CredentialState, *, ends: timedelta = timedelta(days=1)) -> Credential:
    issued = state is not CredentialState.PLANNED
    return Credential(
        id=ID,
        derivation=ID,
        purpose=Purpose.AUTHENTICATION,
        person=ID,
        device_trust_entry=None,
        device_thumbprint=None,
        certificate=ID,
        escrowed_key=None,
        state=state,
        planned_at=NOW,
        serial_number="a1" if issued else None,
        not_after=NOW + ends if issued else None,
    )


@pytest.mark.parametrize("state", [S.BEGUN, S.REDEEMED, S.CONFIRMED])
def test_what_is_late_shows_as_expired_before_a_worker_says_so(state: DerivationState) -> None:
    waiting = replace(DERIVATION, state=state)
    assert derivation_view(waiting, [], NOW, revoked={}).state is state
    assert derivation_view(waiting, [], NOW + timedelta(minutes=10), revoked={}).state is S.EXPIRED


def test_what_was_issued_stays_when_the_authorization_is_over() -> None:
    issuing = replace(DERIVATION, state=S.ISSUING)
    assert derivation_view(issuing, [], NOW + timedelta(days=1), revoked={}).state is S.ISSUING


def test_every_purpose_has_a_line() -> None:
    view = derivation_view(replace(DERIVATION, state=S.ISSUING), [credential(CredentialState.ACTIVE)], NOW, revoked={})
    assert [(row.purpose, row.state) for row in view.credentials] == [
        (Purpose.AUTHENTICATION, "active"),
        (Purpose.SIGNATURE, "waiting"),
        (Purpose.ENCRYPTION, "waiting"),
    ]
    assert view.progress == "issuing:1"


def test_a_phone_that_says_little_is_shown_with_what_it_says() -> None:
    view = derivation_view(replace(DERIVATION, state=S.REDEEMED, link=LINK), [], NOW, revoked={})
    assert (view.device, view.serial_number, view.digits, view.managed) == ("Google", "SN", "012345", False)
    assert derivation_view(DERIVATION, [], NOW, revoked={}).device == ""


@pytest.mark.parametrize(
    ("found", "live"),
    [
        ([credential(CredentialState.ACTIVE)], True),
        ([credential(CredentialState.ACTIVE, ends=-timedelta(seconds=1))], False),
        ([credential(CredentialState.HELD)], True),
        ([credential(CredentialState.HELD, ends=-timedelta(seconds=1))], False),
        ([credential(CredentialState.ENDED)], False),
        ([], False),
    ],
)
def test_a_device_is_live_while_a_certificate_is(found: list[Credential], *, live: bool) -> None:
    assert derivation_view(replace(DERIVATION, state=S.COMPLETED), found, NOW, revoked={}).is_live is live


@pytest.mark.parametrize(
    ("older", "newer", "shown"),
    [
        (CredentialState.ENDED, CredentialState.ACTIVE, "active"),
        (CredentialState.ACTIVE, CredentialState.ENDED, "active"),  # a rekey that was given up
        (CredentialState.HELD, CredentialState.ENDED, "held"),
        (CredentialState.ACTIVE, CredentialState.PLANNED, "active"),
    ],
)
def test_of_several_certificates_for_a_purpose_the_one_of_use_is_shown(
    older: CredentialState, newer: CredentialState, shown: str
) -> None:
    found = [credential(older), replace(credential(newer), planned_at=NOW + timedelta(hours=1))]
    for order in (found, found[::-1]):
        view = derivation_view(replace(DERIVATION, state=S.COMPLETED), order, NOW, revoked={})
        assert (view.credentials[0].state, view.is_live) == (shown, True)


def test_a_hold_is_shown_with_its_end_and_whose_it_is() -> None:
    held = replace(credential(CredentialState.HELD), held_until=NOW + timedelta(hours=1), held_by=DERIVATION.person)
    completed = replace(DERIVATION, state=S.COMPLETED)
    view = derivation_view(completed, [held], NOW, revoked={})
    assert (view.held_until, view.is_held_by_officer) == (NOW + timedelta(hours=1), False)
    assert derivation_view(completed, [replace(held, held_by=uuid.UUID(int=7))], NOW, revoked={}).is_held_by_officer
    assert derivation_view(completed, [held], NOW + timedelta(hours=1), revoked={}).held_until is None
    later = replace(held, held_until=NOW + timedelta(hours=2))
    for found in ([held, later], [later, held]):  # from the first end on, not all of it comes back
        assert derivation_view(completed, found, NOW, revoked={}).held_until == NOW + timedelta(hours=1)


def test_the_code_is_read_back_from_its_picture() -> None:
    text = "https://issuer.example:8443/issuer/link#v=1&l=x&s=y&p=z"
    image = qr_image(Secret(text))
    assert scan(str(image)) == text
    assert "style=" not in image  # the page's policy would drop it


def test_what_a_revoked_authority_certified_is_shown_unless_something_better_is_there() -> None:
    worthless = replace(credential(CredentialState.HELD), id=uuid.UUID(int=7), held_until=NOW + timedelta(hours=1))
    revoked = {worthless.id: AUTHORITY}
    completed = replace(DERIVATION, state=S.COMPLETED)
    view = derivation_view(completed, [worthless], NOW, revoked=revoked)
    assert (view.credentials[0].state, view.worthless_since) == ("authority_revoked", NOW)
    assert (view.is_live, view.held_until, view.progress) == (True, None, "completed:0")
    assert not derivation_view(completed, [worthless], NOW + timedelta(days=1), revoked=revoked).is_live
    view = derivation_view(completed, [worthless, credential(CredentialState.ENDED)], NOW, revoked=revoked)
    assert view.credentials[0].state == "authority_revoked"
    view = derivation_view(completed, [worthless, credential(CredentialState.ACTIVE)], NOW, revoked=revoked)
    assert (view.credentials[0].state, view.worthless_since) == ("active", None)


def test_a_phone_that_was_set_up_anew_is_shown_once() -> None:
    worthless = replace(credential(CredentialState.ACTIVE), id=uuid.UUID(int=7))
    revoked, completed = {worthless.id: AUTHORITY}, replace(DERIVATION, state=S.COMPLETED, link=LINK)
    old = derivation_view(completed, [worthless], NOW, revoked=revoked)
    new = derivation_view(completed, [credential(CredentialState.ACTIVE)], NOW, revoked=revoked)
    other, nameless = replace(new, serial_number="SN-2"), replace(old, serial_number="")
    assert without_replaced([new, old]) == [new]
    assert without_replaced([other, old]) == [other, old]
    assert without_replaced([replace(new, serial_number=""), nameless]) == [replace(new, serial_number=""), nameless]
    assert without_replaced([replace(new, is_live=False), old]) == [replace(new, is_live=False), old]
