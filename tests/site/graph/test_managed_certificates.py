# SPDX-License-Identifier: Apache-2.0
"""What SCEP connectors gave out, over the administration API: readers find it, an officer ends it, and nobody else."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx

from etymon.directory.model import Person, Role
from etymon.issuer.scep import connector_store, store
from etymon.issuer.scep.model import Challenge, ChallengeSource, Connector, Enrollment, EnrollmentState, Holder
from support.graph_answers import code, ok
from support.mdm_listeners import RunningSite

PATH = "/beta/etymon/managedCertificates"
END = {"reason": "keyCompromise", "comment": "Lost."}


def planned(running: RunningSite, name: str, officer: UUID, person: Person | None) -> UUID:
    """Keep what a connector has planned for somebody's device, or for a device alone."""
    now = running.site.clock.now()
    wanted = Connector(name, ChallengeSource.PAGE, timedelta(days=30), officer, now)
    holder = Holder(person.id if person else None, uuid4(), "tablet")
    with running.site.database.transaction() as tx:
        connector_store.save(tx, wanted, None, fresh=uuid4(), former=uuid4())
        found = connector_store.find(tx, name)
        assert found is not None
        owner = found[0].id
        challenge = Challenge(uuid4(), name, owner, holder, "test", now, now + timedelta(hours=1), bytes(32))
        assert store.add_challenge(tx, challenge, uuid4().bytes * 2, used_at=now)
        enrollment = Enrollment(
            id=uuid4(),
            connector=name,
            connector_id=owner,
            officer=officer,
            challenge=challenge.id,
            renews=None,
            transaction_id=b"1",
            request_digest=bytes(32),
            key_thumbprint=uuid4().bytes * 2,
            holder=holder,
            certificate=uuid4(),
            state=EnrollmentState.PLANNED,
            planned_at=now,
        )
        assert store.add_enrollment(tx, enrollment)
    return enrollment.id


def test_what_connectors_gave_out_is_listed_page_by_page(running: RunningSite, admin: httpx.Client) -> None:
    officer, person = running.somebody("olga", Role.OFFICER).id, running.somebody("piet")
    mine = {str(planned(running, "fleet", officer, person)) for _ in range(3)}
    other = str(planned(running, "kiosks", officer, None))
    first = ok(admin.get(PATH, params={"$top": 3, "$filter": "connector eq 'fleet'"}))
    assert {item["id"] for item in first["value"]} == mine
    assert "@odata.nextLink" not in first
    found, address = [], f"{PATH}?$top=2"
    while address:
        page = ok(admin.get(address))
        found += [item["id"] for item in page["value"]]
        address = page.get("@odata.nextLink", "")
    assert sorted(found) == sorted({*mine, other}) == found
    theirs = ok(admin.get(f"/beta/users/{person.user_principal_name}/managedCertificates"))["value"]
    assert {item["userPrincipalName"] for item in theirs} == {person.user_principal_name}
    assert len(theirs) == 3
    assert ok(admin.get(f"/beta/users/{person.id}/managedCertificates?$filter=connector eq 'kiosks'"))["value"] == []
    item = ok(admin.get(f"{PATH}/{other}"))
    assert (item["state"], item["userId"], item["deviceName"]) == ("planned", None, "tablet")
    assert (item["subject"], item["certificate"], item["authorizedBy"]) == (None, None, str(officer))


def test_whoever_is_no_officer_ends_none_of_it(running: RunningSite, officer: httpx.Client) -> None:
    since = (running.site.clock.now() - timedelta(hours=1)).isoformat()
    held = planned(running, "fleet", running.somebody("olga", Role.OFFICER).id, None)
    batch = {**END, "connector": "fleet", "since": since}
    for name, role in (("adam", Role.ADMINISTRATOR), ("aude", Role.AUDITOR)):
        client = running.administration(running.somebody(name, role))
        assert code(client.post(f"{PATH}/{held}/end", json=END)) == (403, "role_missing")
        assert code(client.post(f"{PATH}/endEnrolled", json=batch)) == (403, "role_missing")
    assert code(officer.post(f"{PATH}/{uuid4()}/end", json=END)) == (404, "managed_certificate_unknown")
    assert code(officer.get(f"{PATH}/{uuid4()}")) == (404, "managed_certificate_unknown")
    assert code(officer.post(f"{PATH}/{held}/end", json={**END, "comment": " "})) == (400, "reason_missing")
    assert officer.post(f"{PATH}/{held}/end", json={"reason": "boredom", "comment": "x"}).status_code == 400
    expected = (404, "scep_connector_unknown")
    assert code(officer.post(f"{PATH}/endEnrolled", json={**batch, "connector": "never"})) == expected
    for wrong in ("yesterday", "2026-01-31T08:00:00", "2199-01-31T08:00:00Z"):
        assert officer.post(f"{PATH}/endEnrolled", json={**batch, "since": wrong}).status_code == 400
    assert code(officer.get("/beta/users/nobody@agency.example/managedCertificates")) == (404, "user_not_found")
    assert ok(officer.get(f"{PATH}/{held}"))["state"] == "planned"
