# SPDX-License-Identifier: Apache-2.0
"""Rekey: what replaces what, once, whatever is repeated, at once or killed; on both engines."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from etymon.ca import certificates
from etymon.ca import issuance as ca_issuance
from etymon.directory import bindings
from etymon.escrow import deposit
from etymon.issuer import completion, follow_ups
from etymon.issuer.model import Credential, CredentialState, EndReason, Purpose
from etymon.issuer.store import credentials
from etymon.issuer.tables import credentials as credentials_table
from etymon.kernel.errors import Conflict, EtymonError, NotPermitted, Unavailable
from etymon.pki import certificate as reading
from etymon.storage.database import Database, Transaction
from support.issuer_rekey import Holder, fresh_body, holder, rekeying_site, rename, shown, unplugged, work
from support.issuer_site import IssuerSite


@pytest.fixture
def site(database: Database, tmp_path: Path) -> IssuerSite:
    return rekeying_site(database, tmp_path)


def kept(site: IssuerSite, phone: Holder, purpose: Purpose = Purpose.AUTHENTICATION) -> tuple[Credential, ...]:
    with site.database.snapshot() as tx:
        return credentials.chain(tx, phone.link.begun.derivation.id, purpose)


def states(site: IssuerSite, phone: Holder, purpose: Purpose = Purpose.AUTHENTICATION) -> list[CredentialState]:
    return [credential.state for credential in kept(site, phone, purpose)]


def mails(site: IssuerSite, subject: str) -> list[str]:
    """Take what waits to be sent; return the texts of those under a subject."""
    return [notice["text"] for notice in site.mail() if subject in notice["subject"]]


def test_every_purpose_is_rekeyed_and_the_old_certificates_end_when_the_new_ones_are_used(site: IssuerSite) -> None:
    phone = holder(site, *Purpose)
    before = dict(phone.held)
    site.mail()
    new = phone.take()
    assert reading.card_uuid(new) != reading.card_uuid(before[Purpose.AUTHENTICATION])
    assert reading.spki(new) != reading.spki(before[Purpose.AUTHENTICATION])
    assert reading.upn(new) == "alice@agency.example"
    assert new.not_valid_after_utc > before[Purpose.AUTHENTICATION].not_valid_after_utc
    assert not site.is_revoked(before[Purpose.AUTHENTICATION])  # good until the phone has used the new one
    phone.take(Purpose.SIGNATURE)
    assert site.is_revoked(before[Purpose.AUTHENTICATION]), "the new one has asked for a signature certificate"
    assert not site.is_revoked(before[Purpose.SIGNATURE])
    encryption = phone.rekey(Purpose.ENCRYPTION)
    assert encryption.enveloped_key
    phone.held[Purpose.ENCRYPTION] = encryption.certificate
    ended = phone.confirm(Purpose.SIGNATURE, Purpose.ENCRYPTION)
    assert set(ended) == {reading.thumbprint(before[one]) for one in (Purpose.SIGNATURE, Purpose.ENCRYPTION)}
    for purpose in Purpose:
        assert site.is_revoked(before[purpose])
        assert not site.is_revoked(phone.held[purpose])
        old, present = kept(site, phone, purpose)
        assert (old.state, old.end_reason, present.replaces) == (CredentialState.ENDED, EndReason.SUPERSEDED, old.id)
    with site.database.snapshot() as tx:
        assert bindings.person_for(tx, "derived", str(reading.card_uuid(before[Purpose.AUTHENTICATION]))) is None
        assert bindings.person_for(tx, "derived", str(reading.card_uuid(new))) is not None
        assert len(deposit.history(tx, site.alice.id)) == 2, "mail to the key before stays readable"
    subjects = [notice["subject"] for notice in site.mail()]
    assert [subject for subject in subjects if "was replaced" in subject] == [
        f"Your phone's certificate for {purpose} was replaced" for purpose in ("sign-in", "signature", "encryption")
    ]
    authorized = site.events("issuer:credential:rekey_authorized")
    assert {event.facts["card"] for event in authorized} == {"good"}
    asking = {str(credential.id) for credential in kept(site, phone)}
    assert {event.facts["authenticated_by"] for event in authorized} == asking
    assert len(site.events("issuer:credential:rekeyed")) == 3
    assert phone.confirm(*Purpose) == (), "again does no harm"


def test_the_same_request_gets_the_same_certificate_and_another_one_nothing(site: IssuerSite) -> None:
    phone = holder(site)
    body = fresh_body()
    first = phone.rekey(body=body).certificate
    assert phone.rekey(body=body).certificate == first
    with pytest.raises(Conflict, match="already_rekeyed"):
        phone.rekey()
    assert len(site.events("issuer:credential:rekey_authorized")) == 1
    old = phone.peer
    phone.held[Purpose.AUTHENTICATION] = first
    phone.confirm()
    with pytest.raises(NotPermitted, match="revoked_by_database"):
        phone.rekey(body=body, peer=old)
    with pytest.raises(NotPermitted, match="rekey_not_due"):
        phone.rekey()
    assert {event.facts["code"] for event in site.events("issuer:rekey:refused")} == {
        "rekey_not_due",
        "revoked_by_database",
        "already_rekeyed",
    }


def test_of_many_requests_at_once_one_is_served(site: IssuerSite) -> None:
    phone = holder(site)
    bodies = [fresh_body() for _ in range(5)]
    together = threading.Barrier(5)

    def ask(body: bytes) -> str:
        together.wait()
        try:
            phone.rekey(body=body)
        except EtymonError as refusal:
            return refusal.code
        return "served"

    with ThreadPoolExecutor(5) as threads:
        answers = sorted(threads.map(ask, bodies))
    assert answers == ["already_rekeyed"] * 4 + ["served"]
    assert states(site, phone) == [CredentialState.ACTIVE] * 2


def test_the_database_lets_a_certificate_be_replaced_once(site: IssuerSite) -> None:
    phone = holder(site)
    phone.take()
    old, new = kept(site, phone)
    again = replace(new, id=old.derivation, certificate=old.derivation, state=CredentialState.PLANNED)
    with pytest.raises(sa.exc.IntegrityError), site.database.transaction() as tx:
        credentials.add(tx, again)
    with pytest.raises(sa.exc.IntegrityError), site.database.transaction() as tx:
        credentials.add(tx, replace(again, replaces=None))


def test_what_was_left_between_plan_and_signature_is_finished_by_a_worker(site: IssuerSite) -> None:
    phone = holder(site)
    body = fresh_body()
    without_key = unplugged(site)
    with pytest.raises(Unavailable, match="issuance_unfinished"):
        phone.rekey(body=body, deps=without_key)
    assert states(site, phone) == [CredentialState.ACTIVE, CredentialState.PLANNED]
    with pytest.raises(Conflict, match="already_rekeyed"):
        phone.rekey(deps=without_key)
    site.turn(minutes=6)
    work(site)
    old, new = kept(site, phone)
    assert (old.state, new.state) == (CredentialState.ACTIVE, CredentialState.ACTIVE)
    assert reading.thumbprint(phone.rekey(body=body).certificate) == new.thumbprint
    assert len([event for event in site.events("issuer:credential:issued") if event.facts["replaces"]]) == 1


def test_a_plan_that_was_never_signed_replaced_nothing(site: IssuerSite) -> None:
    phone = holder(site)
    body = fresh_body()
    without_key = unplugged(site)
    with pytest.raises(Unavailable):
        phone.rekey(body=body, deps=without_key)
    planned = kept(site, phone)[-1]
    with site.database.transaction() as tx:
        record = certificates.find(tx, planned.certificate)
        assert record is not None
        ca_issuance.abandon(tx, site.ca.deps, record)
    with pytest.raises(NotPermitted, match="credential_ended"):
        completion.finish(site.deps, planned.id)
    assert phone.rekey(body=body).certificate.serial_number, "the very same request is good again"
    assert states(site, phone) == [CredentialState.ACTIVE] * 2


def test_an_unconfirmed_rekey_ends_the_old_certificate_when_its_grace_is_over(site: IssuerSite) -> None:
    site.deps = replace(site.deps, rekey_grace=timedelta(hours=12))
    phone = holder(site)
    old = phone.held[Purpose.AUTHENTICATION]
    phone.take()
    site.turn(hours=11)
    work(site)
    assert not site.is_revoked(old)
    site.turn(hours=1)
    work(site)
    assert site.is_revoked(old)
    assert states(site, phone) == [CredentialState.ENDED, CredentialState.ACTIVE]


def test_what_ends_the_derivation_between_plan_and_signature_ends_the_new_certificate_too(site: IssuerSite) -> None:
    phone = holder(site)
    body = fresh_body()
    with pytest.raises(Unavailable):
        phone.rekey(body=body, deps=unplugged(site))
    site.end_own(phone.link.begun)
    with pytest.raises(NotPermitted, match="revoked_by_database"):
        phone.rekey(body=body)
    site.turn(minutes=6)
    work(site)
    assert states(site, phone)[0] is CredentialState.ENDED
    with site.database.snapshot() as tx:
        issued = tx.scalar(sa.select(sa.func.count()).where(credentials_table.c.state != CredentialState.ENDED.value))
    assert issued == 0


def test_a_changed_name_is_due_at_once_and_ends_the_certificate_with_the_old_one(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE, due=False)
    with pytest.raises(NotPermitted, match="rekey_not_due"):
        phone.rekey()
    rename(site, site.alice, mail_addresses=("alice.new@agency.example",))
    with pytest.raises(NotPermitted, match="rekey_not_due"):
        phone.rekey()  # no mail address stands in it
    assert reading.mail(phone.take(Purpose.SIGNATURE)) == ("alice.new@agency.example",)
    old = phone.held[Purpose.AUTHENTICATION]
    rename(site, site.alice, display_name="Alice Married", user_principal_name="alice.married@agency.example")
    with site.database.transaction() as tx:  # the card is bound by the name before; it goes with the person
        bindings.bind(
            tx,
            site.deps,
            trust_entry="cards",
            identifier="alice.married@agency.example",
            person_id=site.alice.id,
            actor="test",
        )
    new = phone.take()
    assert (reading.common_name(new), reading.upn(new)) == ("Alice Married", "alice.married@agency.example")
    phone.confirm()
    assert site.is_revoked(old)
    assert {event.facts["because"] for event in site.events("issuer:credential:rekey_due")} == {"names changed"}


def test_what_gives_a_changed_name_ends_in_time_though_no_phone_comes_for_new_ones(site: IssuerSite) -> None:
    site.deps = replace(site.deps, changed_data_limit=timedelta(hours=12))
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE, due=False)
    rename(site, site.alice, mail_addresses=("alice.new@agency.example",))
    told, *_ = mails(site, "will be replaced")  # to the address from before too
    assert f"{site.clock.now() + timedelta(hours=12):%Y-%m-%d %H:%M} UTC" in told
    site.turn(hours=11)
    rename(site, site.alice, mail_addresses=("alice.newest@agency.example",))
    assert not site.is_revoked(phone.held[Purpose.SIGNATURE])
    site.turn(hours=1)
    work(site)
    assert site.is_revoked(phone.held[Purpose.SIGNATURE])
    assert site.events("issuer:credential:ended")[0].facts["reason"] == "affiliationChanged"
    assert not site.is_revoked(phone.held[Purpose.AUTHENTICATION])  # no mail address stands in it
    assert "address that is yours no more" in mails(site, "were ended")[-1]


def test_of_a_change_is_told_though_the_rekey_was_due_already(site: IssuerSite) -> None:
    site.deps = replace(site.deps, changed_data_limit=timedelta(hours=12))
    holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE)
    rename(site, site.alice, display_name="Alice Married")
    (told,) = mails(site, "will be replaced")
    assert f"{site.clock.now() + timedelta(hours=12):%Y-%m-%d %H:%M} UTC" in told
    rename(site, site.alice, display_name="Alice Twice Married")
    assert mails(site, "will be replaced") == [], "it was told, and nothing is put off"


def test_what_became_true_again_has_its_whole_time_at_the_next_change(site: IssuerSite) -> None:
    site.deps = replace(site.deps, changed_data_limit=timedelta(hours=12))
    phone = holder(site, due=False)
    rename(site, site.alice, display_name="Alice Married")
    rename(site, site.alice, display_name="Alice Example")
    site.turn(hours=11)
    rename(site, site.alice, display_name="Alice Third")
    assert len(mails(site, "will be replaced")) == 2
    site.turn(hours=11)
    work(site)
    assert not site.is_revoked(phone.held[Purpose.AUTHENTICATION])
    site.turn(hours=1)
    work(site)
    assert site.is_revoked(phone.held[Purpose.AUTHENTICATION])


def test_what_was_replaced_or_is_true_again_does_not_end_for_a_changed_name(site: IssuerSite) -> None:
    site.deps = replace(site.deps, changed_data_limit=timedelta(hours=12))
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE, due=False)
    rename(site, site.alice, display_name="Alice Married")
    new = phone.take(Purpose.SIGNATURE)
    rename(site, site.alice, display_name="Alice Example")
    newest = phone.take(Purpose.SIGNATURE)
    site.turn(hours=12)
    work(site)
    assert not site.is_revoked(phone.held[Purpose.AUTHENTICATION])
    assert not site.is_revoked(newest)
    assert site.is_revoked(new)  # before its grace was over


def test_without_any_address_a_certificate_that_gives_one_ends(site: IssuerSite) -> None:
    site.deps = replace(site.deps, changed_data_limit=timedelta(hours=12))
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE, due=False)
    rename(site, site.alice, mail_addresses=())
    site.turn(hours=12)
    work(site)
    assert site.is_revoked(phone.held[Purpose.SIGNATURE])
    assert not site.is_revoked(phone.held[Purpose.AUTHENTICATION])


def test_names_that_change_while_a_certificate_is_made_make_it_due_again(site: IssuerSite) -> None:
    phone = holder(site)
    body = fresh_body()
    with pytest.raises(Unavailable):
        phone.rekey(body=body, deps=unplugged(site))
    rename(site, site.alice, display_name="Alice Later")
    phone.held[Purpose.AUTHENTICATION] = phone.rekey(body=body).certificate
    assert reading.common_name(phone.held[Purpose.AUTHENTICATION]) == "Alice Example"
    assert reading.common_name(phone.take()) == "Alice Later"


def test_when_what_an_older_replica_issued_is_due_is_noted_by_the_worker(site: IssuerSite) -> None:
    phone = holder(site, Purpose.AUTHENTICATION, Purpose.SIGNATURE, due=False)
    found = [*kept(site, phone), *kept(site, phone, Purpose.SIGNATURE)]
    assert all(credential.rekey_from is not None for credential in found)
    idle = writes(site)
    with site.database.transaction() as tx:
        tx.execute(credentials_table.update().values(rekey_from=None))  # it knows no such column
    assert writes(site) == idle + 2, "one each, and none where there is nothing to note"
    assert [*kept(site, phone), *kept(site, phone, Purpose.SIGNATURE)] == found
    assert follow_ups.sweep(site.deps) == 0


def writes(site: IssuerSite) -> int:
    """Return how many writing transactions a sweep takes."""
    counting = CountingDatabase(site.database.engine.url)
    follow_ups.sweep(replace(site.deps, database=counting))
    counting.close()
    return counting.writes


class CountingDatabase(Database):
    """The site's database, which counts its writing transactions."""

    writes = 0

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self.writes += 1
        with super().transaction() as tx:
            yield tx


def test_an_old_certificate_confirms_nothing(site: IssuerSite) -> None:
    phone = holder(site)
    old = phone.held[Purpose.AUTHENTICATION]
    phone.take()
    with pytest.raises(Conflict, match="already_rekeyed"):
        phone.confirm(peer=shown(old))
    assert not site.is_revoked(old)
