# SPDX-License-Identifier: Apache-2.0
"""Phones that nobody manages, where an issuance rule takes them: the link key is all that says who they are."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.issuer import follow_ups
from etymon.issuer.initial_issuance import Begun
from etymon.issuer.model import CardSession, CredentialState, DerivationState, EndReason, Purpose
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, NotAuthenticated, NotPermitted
from etymon.kernel.secret import Secret
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.issuer_phone import Phone
from support.issuer_site import IssuerSite, Link


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> IssuerSite:
    site = IssuerSite(database, clock, entropy, tmp_path)
    site.save_rule(managed_devices_only=False, most_derivations=10)
    return site


@pytest.fixture
def link(site: IssuerSite) -> Link:
    """An unmanaged phone that holds its authorization."""
    return site.linked(Phone(None))


def test_it_gets_one_certificate_a_purpose_and_is_bound_to_no_device(site: IssuerSite, link: Link) -> None:
    given = {purpose: link.enroll(purpose) for purpose in Purpose}
    assert given[Purpose.ENCRYPTION].enveloped_key
    assert site.derivation(link.begun).state is DerivationState.COMPLETED
    for credential in site.credentials(link.begun).values():
        assert credential.state is CredentialState.ACTIVE
        assert (credential.device_trust_entry, credential.device_thumbprint) == (None, None)
    (redeemed,) = site.events("issuer:link:redeemed")
    assert (redeemed.actor, redeemed.facts["device"]) == ("anonymous", None)


def test_with_a_password_it_needs_both(site: IssuerSite) -> None:
    site.save_rule(managed_devices_only=False, link_password=True, most_derivations=10)
    begun, phone = site.begin(site.present_card()), Phone(None)
    with pytest.raises(NotPermitted, match="link_password_required"):
        site.redeem(phone, begun, password=None)
    with pytest.raises(NotPermitted, match="link_password_wrong"):
        site.redeem(phone, begun, secret=Secret(bytes(16)))
    assert site.redeem(phone, begun).digits


# ---- the rule


def test_where_the_rule_is_for_managed_phones_it_gets_no_step_further(site: IssuerSite) -> None:
    site.save_rule()
    begun = site.begin(site.present_card())
    for secret in (None, Secret(bytes(16))):  # right or wrong: it learns nothing and costs no try
        with pytest.raises(NotAuthenticated, match="device_identity_required"):
            site.redeem(Phone(None), begun, **({"secret": secret} if secret else {}))
    assert site.derivation(begun).state is DerivationState.BEGUN
    assert site.derivation(begun).wrong_secrets == 0


@pytest.mark.parametrize("step", ["redeemed", "confirmed", "authorized"])
def test_a_rule_that_is_for_managed_phones_meanwhile_ends_what_was_under_way(site: IssuerSite, step: str) -> None:
    phone, session = Phone(None), site.present_card()
    begun = site.begin(session)
    if step != "redeemed":
        site.redeem(phone, begun)
    if step == "authorized":
        site.confirm(session, begun, phone)
    site.save_rule(most_derivations=10)
    if step == "redeemed":
        with pytest.raises(NotPermitted, match="rule_withdrawn"):
            site.redeem(phone, begun)
    elif step == "confirmed":
        with pytest.raises(NotPermitted, match="rule_withdrawn"):
            site.confirm(session, begun, phone)
    else:
        authorized = site.authorization(phone, begun)
        assert authorized is not None
        for purpose in Purpose:
            with pytest.raises(NotPermitted, match="rule_withdrawn"):
                Link(site, phone, session, begun, authorized).enroll(purpose)
    assert site.credentials(begun) == {}


# ---- an authorization in other hands


def test_no_other_phone_and_no_other_key_uses_its_authorization(site: IssuerSite, link: Link) -> None:
    managed_with_the_key = site.phone(key=link.phone.key)
    other_key = Phone(None)
    managed = site.phone()
    for purpose in Purpose:
        with pytest.raises(NotPermitted, match="other_device"):  # even with the link key
            link.enroll(purpose, on=managed_with_the_key)
        with pytest.raises(NotPermitted, match="other_device"):
            Link(site, managed, link.session, link.begun, link.authorized).enroll(purpose)
        with pytest.raises(NotPermitted, match="link_proof_wrong"):
            Link(site, other_key, link.session, link.begun, link.authorized).enroll(purpose)
    heard = link.request(Purpose.SIGNATURE)
    for purpose in (Purpose.SIGNATURE, Purpose.AUTHENTICATION):  # a proof that was heard, for another request
        with pytest.raises(NotPermitted, match="link_proof_wrong"):
            link.enroll(purpose, on=other_key, body=other_key.body(purpose), proof=heard.proof)
    assert site.credentials(link.begun) == {}
    with pytest.raises(NotPermitted, match="other_device"):
        site.authorization(managed_with_the_key, link.begun)
    with pytest.raises(NotPermitted, match="link_proof_wrong"):
        site.authorization(other_key, link.begun)
    refused = site.events("issuer:credential:refused")
    assert {event.facts["code"] for event in refused} == {"other_device", "link_proof_wrong"}


def test_a_request_that_is_sent_again_by_somebody_else_gives_what_it_gave_and_no_more(
    site: IssuerSite, link: Link
) -> None:
    """Whoever heard a whole request gets a public certificate, and a key that the transport key alone opens."""
    for purpose in Purpose:
        first = link.enroll(purpose)
        heard = link.request(purpose)
        again = link.enroll(purpose, on=Phone(None), body=heard.body, proof=heard.proof)
        assert again.certificate == first.certificate
    assert len(site.events("escrow:key:deposited")) == 1
    with pytest.raises(Conflict, match="authorization_used"):
        link.enroll(Purpose.SIGNATURE, body=Phone(None).body(Purpose.SIGNATURE))


# ---- managed and unmanaged phones on one link


def linked_by(site: IssuerSite, phone: Phone) -> tuple[CardSession, Begun]:
    session = site.present_card()
    begun = site.begin(session)
    site.redeem(phone, begun)
    return session, begun


def test_an_unmanaged_phone_does_not_take_over_the_link_of_a_managed_one(site: IssuerSite) -> None:
    managed = site.phone()
    session, begun = linked_by(site, managed)
    same_key = Phone(None, key=managed.key)
    for intruder in (Phone(None), same_key):
        with pytest.raises(Conflict, match="link_already_redeemed"):
            site.redeem(intruder, begun)
    site.confirm(session, begun, managed)
    authorized = site.authorization(managed, begun)
    assert authorized is not None
    with pytest.raises(NotPermitted, match="other_device"):
        site.authorization(same_key, begun)
    for purpose in Purpose:
        with pytest.raises(NotPermitted, match="other_device"):
            Link(site, same_key, session, begun, authorized).enroll(purpose)
    kept = site.derivation(begun).link
    assert kept is not None
    assert kept.device is not None
    assert site.credentials(begun) == {}


def test_nor_does_a_managed_phone_take_over_the_link_of_an_unmanaged_one(site: IssuerSite) -> None:
    phone = Phone(None)
    session, begun = linked_by(site, phone)
    for intruder in (site.phone(), site.phone(key=phone.key)):
        with pytest.raises(Conflict, match="link_already_redeemed"):
            site.redeem(intruder, begun)
    site.confirm(session, begun, phone)
    with pytest.raises(NotPermitted, match="other_device"):
        site.authorization(site.phone(key=phone.key), begun)
    assert site.derivation(begun).link is not None


def test_the_pc_confirms_only_the_key_it_showed(site: IssuerSite) -> None:
    session, begun = linked_by(site, Phone(None))
    with pytest.raises(Conflict, match="derivation_over"):
        site.confirm(session, begun, Phone(None, key=ec.generate_private_key(ec.SECP256R1())))


# ---- ends


def test_it_counts_as_one_of_the_persons_phones(site: IssuerSite) -> None:
    site.save_rule(managed_devices_only=False)
    site.linked(Phone(None)).enroll()
    with pytest.raises(Conflict, match="too_many_derivations"):
        site.begin(site.present_card())


def test_what_it_has_ends_with_the_account_and_by_the_persons_word(site: IssuerSite, link: Link) -> None:
    certificate = link.enroll().certificate
    site.end_own(link.begun)
    assert site.is_revoked(certificate)
    later = site.linked(Phone(None))
    certificates = [later.enroll(purpose).certificate for purpose in Purpose]
    site.end_account(site.alice)
    site.account_ended(site.alice)
    follow_ups.sweep(site.deps)
    assert site.derivation(later.begun).end_reason is EndReason.AFFILIATION_CHANGED
    assert site.is_revoked(certificates[0])
    assert site.is_revoked(certificates[1])
