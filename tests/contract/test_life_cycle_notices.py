# SPDX-License-Identifier: Apache-2.0
"""What people are told of what did not come to anything: requests, links, rekeys and ends that are near."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from etymon.directory.model import Role
from etymon.issuer import approval, coming_ends, follow_ups, invalidation, linking
from etymon.issuer.coming_ends import REFUSED_FOR
from etymon.issuer.model import Approval, DerivationState, EndReason, Purpose
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret
from etymon.storage import jobs
from support.applicants import Applicant, somebody
from support.clock import TurnedClock
from support.issuer_hold import A, H, HoldablePhone
from support.issuer_site import PC, IssuerSite

SOON = "Credentials on your phone end soon"
NOT_LINKED = "A phone was not linked to your smart card"


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One site for all; every test has a person of its own."""
    databases = request.getfixturevalue("sqlite_databases")
    database = databases.migrated()
    yield IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("notices"))
    databases.drop(database)


@pytest.fixture
def cardholder(site: IssuerSite) -> Applicant:
    site.turn(hours=1)
    site.save_rule(purposes=(Purpose.AUTHENTICATION,))
    site.mail()
    return somebody(site)


@pytest.fixture
def applicant(site: IssuerSite) -> Applicant:
    site.turn(hours=1)
    site.save_rule(approval=Approval.SECOND_PERSON, purposes=(Purpose.AUTHENTICATION,))
    site.mail()
    return somebody(site)


def mail(site: IssuerSite) -> list[tuple[str, str]]:
    """Take what waits to be sent, as address and subject."""
    return sorted((str(one["to"][0]), str(one["subject"])) for one in site.mail())


def address(applicant: Applicant) -> str:
    return applicant.person.mail_addresses[0]


def test_a_request_is_told_to_its_person_and_once_an_hour_to_officers(site: IssuerSite, applicant: Applicant) -> None:
    officer = somebody(site, role=Role.OFFICER)
    asked, waits = "You asked for credentials on a phone", "A request for credentials waits for you"
    applicant.ask()
    applicant.ask()  # the same one: nobody is told again
    assert {one for one in mail(site) if one[1] in {asked, waits}} == {
        (address(applicant), asked),
        (address(officer), waits),
        ("olivia@agency.example", waits),
    }
    other = somebody(site)
    mail(site)
    other.ask()
    assert mail(site) == [(address(other), asked)]
    site.turn(hours=1)
    officer.ask()
    assert mail(site) == [("olivia@agency.example", waits), (address(officer), asked)]  # nobody decides their own


def test_an_approval_that_expires_or_is_ended_is_told(site: IssuerSite, applicant: Applicant) -> None:
    over = (address(applicant), "Your request for credentials on a phone is over")
    applicant.ask()
    site.turn(days=91)
    mail(site)
    assert approval.end_late(site.deps, 100) >= 1
    assert over in mail(site)
    request = applicant.ask()
    mail(site)
    with site.database.transaction() as tx:
        assert approval.end(tx, site.deps, request, actor="test")
        assert not approval.end(tx, site.deps, request, actor="test")
    assert mail(site) == [over]


def test_a_phone_that_was_refused_is_told_three_times_an_hour_at_most(site: IssuerSite, cardholder: Applicant) -> None:
    told = 0
    for _ in range(5):
        session, begun, _phone = cardholder.waiting()
        site.deny(session, begun)
        site.deny(session, begun)
        told += mail(site).count((address(cardholder), NOT_LINKED))
    assert told == linking.DENIALS_TOLD_AN_HOUR
    site.turn(hours=1)
    session, begun, _phone = cardholder.waiting()
    site.deny(session, begun)
    assert mail(site) == [(address(cardholder), NOT_LINKED)]


def test_five_wrong_secrets_are_told(site: IssuerSite, cardholder: Applicant) -> None:
    begun, phone = site.begin(cardholder.session()), site.phone()
    mail(site)
    for tries in range(5):
        assert mail(site) == [], tries
        with pytest.raises(EtymonError):
            site.redeem(phone, begun, secret=Secret(bytes(16)))
    (notice,) = site.mail()
    assert (notice["to"], notice["subject"]) == ([address(cardholder)], NOT_LINKED)
    assert "five times" in notice["text"]


def test_a_confirmed_link_that_ends_without_certificates_is_told(site: IssuerSite, cardholder: Applicant) -> None:
    ended = (address(cardholder), "The set-up of your phone was ended")
    link = site.linked(card=cardholder.card)
    mail(site)
    site.end_own(link.begun, EndReason.CESSATION_OF_OPERATION)
    site.end_own(link.begun)
    assert mail(site) == [ended]
    link = site.linked(card=cardholder.card)
    mail(site)
    site.turn(minutes=16)
    follow_ups.sweep(site.deps)
    assert site.derivation(link.begun).state is DerivationState.EXPIRED
    assert mail(site).count(ended) == 1


def test_a_link_that_nobody_confirmed_ends_silently(site: IssuerSite, cardholder: Applicant) -> None:
    session, begun, _phone = cardholder.waiting()
    mail(site)
    invalidation.end_own(site.deps, session.person, begun.derivation.id, EndReason.UNSPECIFIED, source=PC)
    assert mail(site) == []


def test_a_coming_end_is_told_half_way_through_the_time_for_a_rekey(site: IssuerSite, cardholder: Applicant) -> None:
    soon = (address(cardholder), SOON)
    issued = cardholder.derived()
    ends = site.credential_certificate(issued.begun, Purpose.AUTHENTICATION).not_valid_after_utc
    site.work()
    mail(site)
    site.turn(seconds=(ends - timedelta(days=15) - site.clock.now()).total_seconds() - 60)
    site.work()
    assert soon not in mail(site)
    site.turn(minutes=2)
    site.work()
    assert mail(site).count(soon) == 1


def soon_told(site: IssuerSite, phone: HoldablePhone, *, left: timedelta) -> int:
    """Turn the clock until so much is left of the first certificate, do what is due; return how often it is told."""
    credential = phone.kept()[0]
    assert credential.not_after is not None
    site.clock.advance(credential.not_after - left - site.clock.now())
    site.ca.seal()
    site.work()
    return mail(site).count((address(phone.person), SOON))


def is_watched(site: IssuerSite, phone: HoldablePhone) -> bool:
    with site.database.snapshot() as tx:
        return jobs.is_waiting(tx, f"{coming_ends.ENDS_SOON}:{phone.kept()[0].id}")


def test_a_coming_end_of_what_is_on_hold_is_told_once_it_is_restored(site: IssuerSite, cardholder: Applicant) -> None:
    phone = HoldablePhone(site, cardholder)
    assert soon_told(site, phone, left=timedelta(days=16)) == 0
    phone.hold()
    assert soon_told(site, phone, left=timedelta(days=15)) == 0
    phone.restore()
    assert soon_told(site, phone, left=timedelta(days=14, minutes=1)) == 0  # not before a day is over
    assert soon_told(site, phone, left=timedelta(days=14)) == 1
    assert not is_watched(site, phone)
    assert soon_told(site, phone, left=timedelta(days=13)) == 0


@pytest.mark.parametrize("ended", [False, True])
def test_a_coming_end_of_what_stays_on_hold_or_is_ended_in_it_is_not_told(
    site: IssuerSite, cardholder: Applicant, *, ended: bool
) -> None:
    phone = HoldablePhone(site, cardholder)
    assert soon_told(site, phone, left=timedelta(days=16)) == 0
    phone.hold()
    for days in (15, 14, 1):
        assert soon_told(site, phone, left=timedelta(days=days)) == 0
        assert is_watched(site, phone)
    if ended:
        phone.end()
        mail(site)
    assert soon_told(site, phone, left=timedelta(hours=12) if ended else timedelta()) == 0
    assert not is_watched(site, phone)


@pytest.mark.parametrize("held", [False, True])
def test_a_coming_end_of_what_was_replaced_is_not_told(site: IssuerSite, cardholder: Applicant, *, held: bool) -> None:
    phone = HoldablePhone(site, cardholder)
    assert soon_told(site, phone, left=timedelta(days=15, minutes=1)) == 0
    phone.take()
    if held:
        phone.hold()
    mail(site)
    assert soon_told(site, phone, left=timedelta(days=15)) == 0
    assert phone.states() == ([H, H] if held else [A, A])
    assert not is_watched(site, phone)


def test_an_end_that_is_no_more_to_come_is_not_told(site: IssuerSite, cardholder: Applicant) -> None:
    issued = cardholder.derived()
    site.end_own(issued.begun)
    mail(site)
    site.turn(days=360)
    site.work()
    assert mail(site) == []


def test_a_refused_rekey_is_told_once_a_day_later_unless_the_credential_has_ended(
    site: IssuerSite, cardholder: Applicant
) -> None:
    refused = (address(cardholder), "Your phone could not replace its credentials")
    issued = cardholder.derived()
    (credential,) = site.credentials(issued.begun).values()
    mail(site)
    for _ in range(3):
        coming_ends.rekey_refused(site.deps, credential)
    site.work()
    assert mail(site) == []
    site.clock.advance(REFUSED_FOR)
    site.ca.seal()
    site.work()
    assert mail(site) == [refused]
    coming_ends.rekey_refused(site.deps, credential)
    site.end_own(issued.begun)
    mail(site)
    site.turn(days=1)
    site.work()
    assert mail(site) == []
