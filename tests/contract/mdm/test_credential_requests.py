# SPDX-License-Identifier: Apache-2.0
"""Asking for the derived credential: once, by the ways the terms name, until it is there."""

import threading
from datetime import timedelta

import pytest

from etymon.mdm import branding, check_in, derived_credentials
from etymon.mdm.check_in import Report
from etymon.mdm.model import Purpose
from etymon.mdm.settings import CredentialSource
from etymon.web.branding import Branding
from support.directory_site import ADMINISTRATOR
from support.mdm_site import MDMSite, email, everybody, for_apps
from support.reported_credentials import credential

DERIVED = CredentialSource.DERIVED


def test_a_policy_that_needs_a_credential_is_told_by_phone_and_mail_exactly_once(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    issuer = site.set_issuer()
    site.check_in(phone)
    assert site.mail() == []
    site.configure(for_apps(), everybody())
    site.configure(email(signing=DERIVED, encryption=DERIVED), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert told.desired.purposes == tuple(Purpose)
    assert told.desired.directions is not None
    assert told.desired.directions.issuer == issuer.id
    assert told.desired.directions.self_service == "https://issuer.agency.example:8443/issuer/"
    (notification,) = told.notifications
    assert notification.action == "setUpDerivedCredential"
    (mail,) = site.mail()
    assert mail.payload["to"] == ["alice@example.test"]
    text = str(mail.payload["text"])
    assert "https://issuer.agency.example:8443/issuer/" in text
    assert "https://help.agency.example/dc" in text
    site.configure(for_apps("org.example.mail"), everybody())
    again = site.check_in(phone)
    assert again is not None
    assert again.notifications == ()
    site.later(timedelta(hours=1))
    site.check_in(phone)
    assert site.mail() == []


def test_of_many_check_ins_at_once_one_tells(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    together = threading.Barrier(4)
    versions: list[int] = []

    def attempt() -> None:
        together.wait()
        standing, _ = check_in.check_in(site.deps, phone.thumbprint, Report(0))
        versions.append(standing.version)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(versions) == 4
    assert len(site.mail()) == 1
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == 1


def test_every_device_of_a_person_is_told(site: MDMSite) -> None:
    alice = site.directory.person()
    site.set_issuer()
    site.configure(for_apps(), everybody())
    for phone in (site.phone(alice), site.phone(alice)):
        told = site.check_in(phone)
        assert told is not None
        assert len(told.notifications) == 1
    assert len(site.mail()) == 2


def test_nobody_is_told_before_there_is_an_issuer_and_everybody_is_then(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert (told.desired.directions, told.notifications) == (None, ())
    assert told.desired.purposes == (Purpose.AUTHENTICATION,)
    site.set_issuer()
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == 1
    assert len(site.mail()) == 1


def test_a_new_issuer_is_told_again(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.configure(for_apps(), everybody())
    first = site.set_issuer()
    site.check_in(phone)
    assert len(site.mail()) == 1
    with site.database.transaction() as tx:
        derived_credentials.delete(tx, site.deps, first.id, actor=ADMINISTRATOR)
    told = site.check_in(phone)
    assert told is not None
    assert told.desired.directions is None
    site.set_issuer()
    site.check_in(phone)
    assert len(site.mail()) == 1


@pytest.mark.parametrize(("phone_wanted", "mail_wanted"), [(True, False), (False, True), (False, False)])
def test_the_issuers_terms_say_by_which_way_people_are_told(
    site: MDMSite, *, phone_wanted: bool, mail_wanted: bool
) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer(notify_phone=phone_wanted, notify_mail=mail_wanted)
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == int(phone_wanted)
    assert len(site.mail()) == int(mail_wanted)


def test_a_phone_that_holds_the_credential_is_not_asked_for_it(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.check_in(phone, credentials=(credential(Purpose.AUTHENTICATION, site, days=10),))
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert told.notifications == ()
    assert site.mail() == []


def test_an_expired_credential_does_not_count(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    held = credential(Purpose.AUTHENTICATION, site, days=1)
    site.check_in(phone, credentials=(held,))
    assert site.mail() == []
    site.later(timedelta(days=1))
    told = site.check_in(phone, credentials=(held,))
    assert told is not None
    assert len(told.notifications) == 1


def test_the_request_is_withdrawn_when_the_credential_is_there(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    site.check_in(phone)
    site.check_in(phone, credentials=(credential(Purpose.AUTHENTICATION, site),))
    phone.known = 0
    told = site.check_in(phone)
    assert told is not None
    assert told.notifications == ()


def test_a_phone_that_missed_the_answer_gets_the_notification_with_the_next(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    site.check_in(phone)
    phone.known = 0
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == 1
    assert len(site.mail()) == 1


def test_a_person_without_a_mail_address_is_told_on_the_phone(site: MDMSite) -> None:
    phone = site.phone(site.directory.person(mail_addresses=[]))
    site.set_issuer()
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert len(told.notifications) == 1
    assert site.mail() == []


def test_what_the_issuer_says_of_itself_reaches_phones(site: MDMSite) -> None:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    site.check_in(phone)
    site.issuer.is_down = True
    assert site.run_jobs() == ["mdm.describe_issuer:issuer_unavailable"]
    site.issuer.is_down = False
    site.later(timedelta(seconds=2))
    assert site.run_jobs() == ["mdm.describe_issuer"]
    told = site.check_in(phone)
    assert told is not None
    assert told.desired.directions is not None
    assert told.desired.directions.name == "Agency Credential Issuer"
    assert told.notifications == ()


def test_the_message_names_the_organization_as_it_is_branded(site: MDMSite) -> None:
    with site.database.transaction() as tx:
        branding.create(tx, site.deps, "Default", Branding("Ministry of Tests"), actor=ADMINISTRATOR)
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    told = site.check_in(phone)
    assert told is not None
    assert "Ministry of Tests" in told.notifications[0].body
    assert "Ministry of Tests" in str(site.mail()[0].payload["text"])
