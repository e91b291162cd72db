# SPDX-License-Identifier: Apache-2.0
"""The issuer says which certificates are to be rekeyed; the phone that holds one is told, and only that one."""

from datetime import timedelta
from uuid import uuid4

from etymon.mdm import rekeys
from etymon.mdm.connectors.connector import RekeyDue
from etymon.mdm.model import Purpose
from support.mdm_site import MDMSite, Phone, everybody, for_apps
from support.reported_credentials import credential


def hear(site: MDMSite, *pages: tuple[RekeyDue, ...]) -> None:
    """Let the issuer say this when it is asked."""
    site.issuer.pages = list(pages)
    rekeys.ask(site.deps)
    assert rekeys.HEAR_JOB in site.run_jobs()


def ready(site: MDMSite) -> Phone:
    phone = site.phone(site.directory.person())
    site.set_issuer()
    site.configure(for_apps(), everybody())
    site.run_jobs()
    return phone


def test_the_phone_that_holds_it_is_told_until_it_reports_another(site: MDMSite) -> None:
    phone = ready(site)
    old, new = (credential(purpose, site) for purpose in (Purpose.AUTHENTICATION, Purpose.SIGNATURE))
    first = site.check_in(phone, credentials=(old,))
    assert first is not None
    assert first.desired.rekeys == ()
    stranger = RekeyDue(uuid4().bytes * 2, uuid4().bytes * 2, site.clock.now())
    hear(site, (stranger,), (RekeyDue(old.thumbprint, phone.thumbprint, site.clock.now()),))
    told = site.check_in(phone, known=first.version, credentials=(old,))
    assert told is not None
    assert told.desired.rekeys == (old.thumbprint,)
    assert told.version > first.version
    hear(site, (RekeyDue(old.thumbprint, phone.thumbprint, site.clock.now()),))
    assert site.check_in(phone, known=told.version, credentials=(old,)) is None, "it was told that already"
    after = site.check_in(phone, known=told.version, credentials=(new,))
    assert after is not None
    assert after.desired.rekeys == ()


def test_a_certificate_that_is_reported_later_is_told_of_then(site: MDMSite) -> None:
    phone = ready(site)
    held = credential(Purpose.AUTHENTICATION, site)
    hear(site, (RekeyDue(held.thumbprint, phone.thumbprint, site.clock.now()),))
    told = site.check_in(phone, credentials=(held,))
    assert told is not None
    assert told.desired.rekeys == (held.thumbprint,)


def test_it_is_asked_for_what_is_new_from_a_minute_before_the_last_answer(site: MDMSite) -> None:
    phone = ready(site)
    since = site.clock.now() - timedelta(hours=1)
    hear(site, (RekeyDue(uuid4().bytes * 2, phone.thumbprint, since),))
    hear(site)
    assert site.issuer.asked_since == [rekeys.LONG_AGO, since - rekeys.OVERLAP]


def test_an_issuer_that_does_not_answer_is_asked_again(site: MDMSite) -> None:
    ready(site)
    site.issuer.is_down = True
    rekeys.ask(site.deps)
    site.run_jobs()
    site.issuer.is_down = False
    site.later(timedelta(seconds=5))
    site.run_jobs()
    assert site.issuer.asked_since == [rekeys.LONG_AGO]


def test_without_an_issuer_nobody_is_asked(site: MDMSite) -> None:
    rekeys.ask(site.deps)
    assert site.run_jobs() == []
