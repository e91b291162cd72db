# SPDX-License-Identifier: Apache-2.0
"""Confirming a link, the authorization that follows, and eligibility at every step, on both engines."""

from datetime import timedelta
from pathlib import Path

import pytest

from etymon.directory import bindings
from etymon.issuer import linking
from etymon.issuer.model import DerivationState, DeviceIdentity
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, Expired, NotFound, NotPermitted
from etymon.pki.certificate import thumbprint
from etymon.storage.database import Database
from etymon.wire import link_qr
from support import earlier_addresses
from support.clock import TurnedClock
from support.issuer_phone import Phone
from support.issuer_site import ADMINISTRATOR, PC, IssuerSite


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    return IssuerSite(database, clock, entropy, tmp_path)


# ---- confirming


def test_only_the_session_that_made_the_link_confirms(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    with pytest.raises(NotPermitted, match="other_card_session"):
        site.confirm(site.present_card(), begun, phone)
    assert site.derivation(begun).state is DerivationState.REDEEMED


def test_another_person_s_session_does_not_even_see_the_link(site: IssuerSite) -> None:
    begun, phone = site.begin(site.present_card()), site.phone()
    site.redeem(phone, begun)
    other = site.present_card(site.bound_card(site.colleague()))
    with pytest.raises(NotFound, match="derivation_unknown"):
        site.confirm(other, begun, phone)
    with pytest.raises(NotFound, match="derivation_unknown"):
        linking.deny(site.deps, other, begun.derivation.id, source=PC)


def test_a_link_is_not_confirmed_before_a_phone_has_redeemed_it(site: IssuerSite) -> None:
    session = site.present_card()
    begun = site.begin(session)
    with pytest.raises(Conflict, match="derivation_over"):
        site.confirm(session, begun, site.phone())


def test_what_is_confirmed_is_the_key_that_was_shown(site: IssuerSite) -> None:
    session = site.present_card()
    begun = site.begin(session)
    site.redeem(site.phone(), begun)
    with pytest.raises(Conflict, match="derivation_over"):
        site.confirm(session, begun, site.phone())


def test_a_proof_of_more_than_ten_minutes_confirms_nothing(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    site.turn(minutes=10)
    with pytest.raises(Expired, match="link_expired"):
        site.confirm(session, begun, phone)


def test_confirming_twice_tells_the_person_once(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    site.mail()
    site.confirm(session, begun, phone)
    site.confirm(session, begun, phone)
    (notice,) = site.mail()
    assert notice["to"] == ["alice@agency.example"]
    assert f"https://issuer.test:8443/issuer/undo/{site.derivation(begun).undo}" in notice["text"]
    assert "Google Pixel 9, serial number SN-42" in notice["text"]
    assert len(site.events("issuer:link:confirmed")) == 1


def test_every_address_of_the_person_is_told(site: IssuerSite) -> None:
    """SP 800-63B-4, 4.6: all addresses but postal ones."""
    addresses = ["carol@agency.example", "carol@home.example"]
    carol = site.person("carol", mail=addresses)
    site.join(carol)
    session = site.present_card(site.bound_card(carol))
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    site.mail()
    site.confirm(session, begun, phone)
    assert sorted(notice["to"] for notice in site.mail()) == [[address] for address in addresses]  # each by itself


def test_a_refused_phone_gets_nothing(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    linking.deny(site.deps, session, begun.derivation.id, source=PC)
    linking.deny(site.deps, session, begun.derivation.id, source=PC)
    with pytest.raises(NotPermitted, match="link_denied"):
        site.authorization(phone, begun)
    with pytest.raises(NotPermitted, match="link_denied"):
        site.confirm(session, begun, phone)
    assert len(site.events("issuer:link:denied")) == 1


def test_a_confirmed_link_cannot_be_refused_but_ended(site: IssuerSite) -> None:
    link = site.linked()
    with pytest.raises(Conflict, match="derivation_over"):
        linking.deny(site.deps, link.session, link.begun.derivation.id, source=PC)


# ---- the authorization


def test_the_authorization_is_for_the_key_that_was_linked(site: IssuerSite) -> None:
    link = site.linked()
    with pytest.raises(NotPermitted, match="link_proof_wrong"):
        site.authorization(Phone(link.phone.device, link.phone.device_key), link.begun)
    other = link_qr.authorization_message(site.alice.id)
    device = DeviceIdentity("device", thumbprint(link.phone.device), b"") if link.phone.device else None
    for proof in (link.phone.sign(other), b"", bytes(2000)):
        with pytest.raises(NotPermitted, match="link_proof_wrong"):
            linking.authorization(site.deps, link.begun.derivation.id, proof, device)


def test_the_authorization_is_for_the_device_that_was_linked(site: IssuerSite) -> None:
    link = site.linked()
    with pytest.raises(NotPermitted, match="other_device"):
        site.authorization(site.phone(key=link.phone.key), link.begun)
    with pytest.raises(NotPermitted, match="other_device"):
        site.authorization(Phone(None, key=link.phone.key), link.begun)


def test_the_authorization_lives_fifteen_minutes_from_confirmation(site: IssuerSite) -> None:
    link = site.linked()
    site.turn(minutes=15, microseconds=-1)
    assert site.authorization(link.phone, link.begun) is not None
    site.turn(microseconds=1)
    with pytest.raises(Expired, match="link_expired"):
        site.authorization(link.phone, link.begun)


def test_a_link_nobody_redeemed_has_no_authorization(site: IssuerSite) -> None:
    begun, phone = site.begin(site.present_card()), site.phone()
    with pytest.raises(NotFound, match="link_unknown"):
        site.authorization(phone, begun)


# ---- eligibility at every step


def test_an_account_that_ends_stops_every_step(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.end_account(site.alice)
    with pytest.raises(NotPermitted, match="not_eligible"):
        site.begin(session)
    with pytest.raises(NotPermitted, match="not_eligible"):
        site.redeem(phone, begun)
    with pytest.raises(NotPermitted, match="card_not_bound"):
        site.present_card()


def test_an_account_that_ends_after_redemption_stops_the_confirmation(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    site.end_account(site.alice)
    with pytest.raises(NotPermitted, match="not_eligible"):
        site.confirm(session, begun, phone)


def test_without_a_rule_nobody_begins(site: IssuerSite) -> None:
    site.withdraw_rule()
    with pytest.raises(NotPermitted, match="no_issuance_rule"):
        site.begin(site.present_card())


def test_a_rule_covers_only_its_groups(site: IssuerSite) -> None:
    outsider = site.person("oscar")
    with pytest.raises(NotPermitted, match="no_issuance_rule"):
        site.begin(site.present_card(site.bound_card(outsider)))


def test_what_began_under_a_rule_ends_with_it(site: IssuerSite) -> None:
    session = site.present_card()
    begun, phone = site.begin(session), site.phone()
    site.redeem(phone, begun)
    site.save_rule(lifetime=timedelta(days=30))
    with pytest.raises(NotPermitted, match="rule_withdrawn"):
        site.confirm(session, begun, phone)


def test_a_person_without_mail_address_is_not_eligible(site: IssuerSite) -> None:
    silent = site.person("silent", mail=[])
    site.join(silent)
    card = site.bound_card(silent)
    with pytest.raises(NotPermitted, match="not_eligible"):
        site.begin(site.present_card(card))
    earlier_addresses.give(site.database, silent.id)
    with pytest.raises(NotPermitted, match="not_eligible"):
        site.begin(site.present_card(card))


def test_the_duties_of_today_are_accepted_or_nothing_begins(site: IssuerSite) -> None:
    with pytest.raises(NotPermitted, match="duties_not_accepted"):
        site.begin(site.present_card(), version="2020-1")


def test_a_proof_of_five_minutes_begins_nothing(site: IssuerSite) -> None:
    session = site.present_card()
    site.turn(minutes=5)
    with pytest.raises(NotPermitted, match="card_proof_old"):
        site.begin(session)


def test_a_card_that_was_unbound_meanwhile_begins_nothing(site: IssuerSite) -> None:
    session = site.present_card()
    with site.database.transaction() as tx:
        (binding,) = bindings.bindings_of(tx, site.alice.id)
        bindings.end(tx, site.deps, binding.id, reason="lost", actor=ADMINISTRATOR)
    with pytest.raises(NotPermitted, match="card_not_bound"):
        site.begin(session)


def test_the_cap_on_devices_counts_what_is_on_its_way(site: IssuerSite) -> None:
    site.linked()
    with pytest.raises(Conflict, match="too_many_derivations"):
        site.begin(site.present_card())
    site.turn(minutes=15)  # nothing was fetched: the place is free again
    assert site.begin(site.present_card()).derivation.state is DerivationState.BEGUN


def test_a_device_that_was_ended_makes_room_for_another(site: IssuerSite) -> None:
    first = site.linked()
    first.enroll()
    site.turn(minutes=16)
    with pytest.raises(Conflict, match="too_many_derivations"):
        site.begin(site.present_card())
    site.end_own(first.begun)
    assert site.linked().enroll().certificate.serial_number


def test_a_revoked_device_gets_no_authorization(site: IssuerSite) -> None:
    link = site.linked()
    site.revoke_device(link.phone)
    with pytest.raises(NotPermitted, match="revoked_by_database"):
        site.authorization(link.phone, link.begun)
