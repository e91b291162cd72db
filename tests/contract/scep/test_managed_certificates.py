# SPDX-License-Identifier: Apache-2.0
"""What officers see and end of what connectors gave out, and whose that is when a connector's name is taken anew."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from cryptography import x509

from etymon.audit.model import AuditEvent
from etymon.directory.model import Person, Role
from etymon.issuer import incidents
from etymon.issuer.incidents import Ended, Suspect
from etymon.issuer.model import EndReason
from etymon.issuer.officers import Order
from etymon.issuer.scep import completion, endings, managed_certificates
from etymon.issuer.scep.managed_certificates import Progress
from etymon.issuer.scep.model import Enrollment, EnrollmentState, Holder
from etymon.issuer.scep.tables import enrollments as enrollments_table
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError, NotPermitted
from etymon.wire import odata_filter
from support.applicants import somebody
from support.clock import TurnedClock
from support.scep_site import Device, SCEPSite


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres", "initdb"))]
)
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SCEPSite]:
    """One site for all; every test has people and connectors of its own."""
    databases = request.getfixturevalue(f"{request.param}_databases")
    database = databases.migrated()
    yield SCEPSite(database, TurnedClock(), SystemEntropy(), tmp_path_factory.mktemp("managed"))
    databases.drop(database)


def order(site: SCEPSite, officer: Person | None = None, comment: str = "Reported by the help desk.") -> Order:
    return Order((officer or site.officer).id, EndReason.KEY_COMPROMISE, comment, "192.0.2.1")


def connector(site: SCEPSite, officer: Person | None = None) -> str:
    name = f"c{uuid.uuid4().hex[:12]}"
    site.connector(name, officer=officer or site.officer)
    return name


def device(site: SCEPSite, name: str, person: Person | None = None) -> Device:
    """Return a device that has enrolled, somebody's or nobody's."""
    holder = Holder(person.id if person else None, uuid.uuid4(), "" if person else "kiosk")
    found = site.device(connector=name, common_name=person.display_name if person else "kiosk")
    found.enroll(site.challenge(holder, name))
    return found


def listed(site: SCEPSite, condition: str) -> list[Enrollment]:
    """Return what a filter finds, page by page."""
    narrowed, found, after = odata_filter.parse(condition), list[Enrollment](), None
    while True:
        with site.database.snapshot() as tx:
            page = managed_certificates.page(tx, narrowed=narrowed, after=after, limit=2)
        if not page:
            return found
        found += page
        after = page[-1].id


def serial(certificate: x509.Certificate | None) -> str:
    assert certificate is not None
    return f"{certificate.serial_number:x}"


def enrollment_of(site: SCEPSite, held: Device) -> Enrollment:
    (found,) = listed(site, f"serialNumber eq '{serial(held.certificate)}'")
    return found


def recorded(site: SCEPSite, subject: str) -> list[AuditEvent]:
    return [event for event in site.events("issuer:incident:handled") if event.subject == subject]


def is_ended(site: SCEPSite, *devices: Device) -> list[bool]:
    """Say what has ended, having seen that the authority knows it."""
    over = []
    for each in devices:
        assert each.certificate is not None
        over.append(enrollment_of(site, each).state is EnrollmentState.ENDED)
        assert site.is_revoked(each.certificate) is over[-1]
    return over


def test_what_connectors_gave_out_is_found_by_connector_person_and_serial_number(office: SCEPSite) -> None:
    name, other, person = connector(office), connector(office), somebody(office).person
    mine = [device(office, name, person), device(office, name), device(office, name, person)]
    elsewhere = device(office, other, person)
    found = listed(office, f"connector eq '{name}'")
    assert {each.serial_number for each in found} == {serial(each.certificate) for each in mine}
    assert [each.id for each in found] == sorted((each.id for each in found), key=lambda id_: id_.bytes)
    theirs = listed(office, f"userId eq '{person.id}'")
    assert len(theirs) == 3
    (both,) = listed(office, f"userId eq '{person.id}' and connector eq '{other}'")
    assert both.serial_number == serial(elsewhere.certificate)
    assert both.officer == office.officer.id
    assert listed(office, "userId eq 'nobody'") == []


def test_an_officer_ends_one_certificate_whatever_state_it_is_in(office: SCEPSite) -> None:
    name = connector(office)
    lost, other = device(office, name), device(office, name)
    id_ = enrollment_of(office, lost).id
    assert managed_certificates.end_one(office.deps, id_, order(office)) == 1
    assert is_ended(office, lost, other) == [True, False]
    assert lost.send(lost.renewal(office.key())).status == "failure"
    (event,) = recorded(office, str(id_))
    assert (event.actor, event.source) == (f"person:{office.officer.id}", "192.0.2.1")
    assert (event.facts["reason"], event.facts["managed"]) == ("keyCompromise", 1)
    assert managed_certificates.end_one(office.deps, id_, order(office)) == 0
    planned = office.device(connector=name, common_name="kiosk")
    with office.authority_without_key():
        message = planned.message(planned.request(office.challenge(Holder(None, uuid.uuid4(), "kiosk"), name)))
        assert planned.send(message).status == "pending"
    (waiting,) = [each for each in listed(office, f"connector eq '{name}'") if each.serial_number is None]
    assert managed_certificates.end_one(office.deps, waiting.id, order(office)) == 1
    assert planned.send(message).status == "failure"


def test_the_person_whom_a_certificate_names_is_told_of_its_end_once(office: SCEPSite) -> None:
    name, owner = connector(office), somebody(office).person
    lost, kiosk = device(office, name, owner), device(office, name)
    office.mail()
    for each in (lost, kiosk, lost):
        managed_certificates.end_one(office.deps, enrollment_of(office, each).id, order(office))
    (notice,) = office.mail()
    assert (notice["to"], notice["subject"]) == (
        list(owner.mail_addresses),
        "A certificate on one of your devices was ended",
    )
    assert serial(lost.certificate) in notice["text"]


def test_of_many_officers_who_end_the_same_one_does(office: SCEPSite) -> None:
    id_ = enrollment_of(office, device(office, connector(office))).id
    with ThreadPoolExecutor(6) as threads:
        orders = [order(office)] * 6
        ended = list(threads.map(lambda each: managed_certificates.end_one(office.deps, id_, each), orders))
    assert sorted(ended) == [0, 0, 0, 0, 0, 1]


def test_nobody_but_an_officer_ends_what_connectors_gave_out(office: SCEPSite) -> None:
    name, since = connector(office), office.clock.now()
    held = device(office, name)
    id_ = enrollment_of(office, held).id
    for role in (None, Role.ADMINISTRATOR, Role.AUDITOR, Role.OPERATOR):
        theirs = order(office, somebody(office, role=role).person)
        with pytest.raises(NotPermitted, match="officer_required"):
            managed_certificates.end_one(office.deps, id_, theirs)
        with pytest.raises(NotPermitted, match="officer_required"):
            managed_certificates.end_enrolled(office.deps, name, since, theirs)
    assert is_ended(office, held) == [False]


def test_an_order_has_a_reason_in_words_and_names_what_is_there(office: SCEPSite) -> None:
    name, now = connector(office), office.clock.now()
    unknown = uuid.uuid4()
    for refused, expected in (
        (lambda: managed_certificates.end_one(office.deps, unknown, order(office)), "managed_certificate_unknown"),
        (lambda: managed_certificates.end_one(office.deps, unknown, order(office, comment=" ")), "reason_missing"),
        (lambda: managed_certificates.end_enrolled(office.deps, "never", now, order(office)), "connector_unknown"),
        (lambda: managed_certificates.end_enrolled(office.deps, name, now, order(office, comment="")), "reason"),
        (
            lambda: managed_certificates.end_enrolled(office.deps, name, now + timedelta(minutes=1), order(office)),
            "malformed",
        ),
    ):
        with pytest.raises(EtymonError, match=expected):
            refused()


def test_what_a_connector_enrolled_since_a_time_ends_in_batches_and_its_challenges_with_it(office: SCEPSite) -> None:
    name, person = connector(office), somebody(office).person
    early = device(office, name)
    office.turn(hours=1)
    since = office.clock.now()
    late = [device(office, name), device(office, name, person), device(office, name)]
    elsewhere = device(office, connector(office))
    waiting = office.challenge(Holder(person.id, None), name)
    first = managed_certificates.end_enrolled(office.deps, name, since, order(office), at_most=2)
    assert first.following is not None
    latest = office.device(connector=name, common_name=person.display_name)
    assert latest.refused(latest.message(latest.request(waiting))) == ("badTime", "challenge_expired")
    office.withdraw_connector(name)  # in force or not
    later = [managed_certificates.end_enrolled(office.deps, name, since, order(office), at_most=2) for _ in range(2)]
    assert [replace(first, following=None), *later] == [Progress(2, 1, 1), Progress(1, 0, 0), Progress(0, 0, 0)]
    assert is_ended(office, early, elsewhere, *late) == [False, False, True, True, True]
    told = recorded(office, f"scep_connector:{name}")
    assert sorted(str(event.facts["remaining"]) for event in told) == ["0", "0", "1"]


def test_a_pass_goes_on_from_the_last_that_it_ended_and_counts_at_its_beginning_and_its_end(office: SCEPSite) -> None:
    name, since = connector(office), office.clock.now()
    found = [device(office, name) for _ in range(4)]
    calls: list[Progress] = []
    after = None
    while not calls or after:
        calls.append(managed_certificates.end_enrolled(office.deps, name, since, order(office), at_most=1, after=after))
        after = calls[-1].following
    assert [(call.certificates, call.remaining) for call in calls] == [(1, 3), (1, None), (1, None), (1, None), (0, 0)]
    assert all(is_ended(office, *found))
    late = device(office, name)
    said = managed_certificates.end_enrolled(
        office.deps, name, since, order(office), after=enrollment_of(office, late).id
    )
    assert said == Progress(0, 0, 1), "another pass finds it"


def test_everything_of_a_person_ends_by_scep_too(office: SCEPSite) -> None:
    name, person, colleague = connector(office), somebody(office).person, somebody(office).person
    mine, other = device(office, name, person), device(office, name, colleague)
    following = office.key()
    reply = mine.send(mine.renewal(following))
    renewed = Device(office, following, name, person.display_name, reply.certificate)
    waiting = office.challenge(Holder(person.id, None), name)
    assert incidents.end_all(office.deps, person.id, order(office)) == Ended(0, 2)
    assert is_ended(office, mine, renewed, other) == [True, True, False]
    late = office.device(connector=name, common_name=person.display_name)
    assert late.refused(late.message(late.request(waiting))) == ("badTime", "challenge_expired")
    assert incidents.end_all(office.deps, person.id, order(office)) == Ended(0, 0)


def test_what_a_suspect_officers_connectors_enrolled_ends_with_what_the_officer_authorised(office: SCEPSite) -> None:
    suspect, since = somebody(office, role=Role.OFFICER).person, office.clock.now()
    name = connector(office, suspect)
    theirs = [device(office, name), device(office, name)]
    office.connector(name)  # another officer answers for it from now on
    honest = device(office, name)
    told: list[incidents.Progress] = []
    after = None
    while not told or after:
        who = Suspect(since, officer=suspect.id)
        told.append(incidents.end_authorized(office.deps, who, order(office), at_most=1, after=after))
        after = told[-1].following
    assert [(done.managed, done.remaining) for done in told] == [(1, 1), (1, None), (0, 0)]
    assert is_ended(office, *theirs, honest) == [True, True, False]


def test_a_connector_under_an_old_name_has_nothing_of_the_one_before(office: SCEPSite) -> None:
    name, person = connector(office), somebody(office).person
    old = device(office, name, person)
    unused = office.challenge(Holder(person.id, None), name)
    office.connector(name, lifetime=timedelta(days=2))  # a change leaves it the same connector
    assert old.send(old.renewal(office.key())).status == "success"
    office.withdraw_connector(name)
    office.connector(name)
    assert old.refused(old.renewal(office.key())) == ("badCertId", "certificate_unknown")
    late = office.device(connector=name, common_name=person.display_name)
    assert late.refused(late.message(late.request(unused))) == ("badRequest", "challenge_wrong")
    with pytest.raises(EtymonError, match="certificate_unknown"):
        endings.end_certificate(
            office.deps, office.client, name, serial(old.certificate), EndReason.SUPERSEDED, source="192.0.2.1"
        )
    new = device(office, name)
    found = {each.serial_number: each.connector_id for each in listed(office, f"connector eq '{name}'")}
    assert found[serial(old.certificate)] != found[serial(new.certificate)], "officers see both, and end both"
    assert managed_certificates.end_one(office.deps, enrollment_of(office, old).id, order(office)) == 1


def test_what_an_older_replica_wrote_is_the_connectors_until_another_takes_the_name(office: SCEPSite) -> None:
    name = connector(office)
    old = device(office, name)
    with office.database.transaction() as tx:
        mine = enrollments_table.c.connector == name
        tx.execute(enrollments_table.update().where(mine).values(connector_id=None, officer_id=None))
    following = office.key()
    assert old.send(old.renewal(following)).status == "success"
    office.withdraw_connector(name)
    office.connector(name)
    assert old.refused(old.renewal(office.key())) == ("badCertId", "certificate_unknown")


def test_a_renewal_that_waited_for_the_end_of_its_certificate_is_refused(office: SCEPSite) -> None:
    """Whoever ends it holds the row; the renewal has seen it active, and must not go on when it gets the row."""
    held = device(office, connector(office))
    id_, message = enrollment_of(office, held).id, held.renewal(office.key()).encode()
    with ThreadPoolExecutor(1) as threads:
        with office.database.transaction() as tx:
            completion.end_one(tx, office.deps, id_, EndReason.KEY_COMPROMISE, actor="test", source="")
            renewing = threads.submit(held.send, message)
            if office.database.engine.dialect.name == "postgresql":
                waits_for_a_row(office)
        assert renewing.result().status == "failure"
    assert len(listed(office, f"connector eq '{held.connector}'")) == 1


def waits_for_a_row(site: SCEPSite) -> None:
    """Return once somebody waits for another transaction."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    end = datetime.now().astimezone() + timedelta(seconds=30)
    while datetime.now().astimezone() < end:
        with site.database.snapshot() as tx:
            if tx.scalar(waiting):
                return
    raise AssertionError
