# SPDX-License-Identifier: Apache-2.0
"""Who recovers keys is appointed by an Officer and confirmed by an Administrator: neither does it alone."""

from datetime import timedelta
from functools import partial

import httpx
import pytest
import sqlalchemy as sa

from etymon.audit import trail
from etymon.directory.model import Role
from etymon.directory.tables import binding_codes
from support.escrowed import kept
from support.graph_answers import JSON, code, created, ok
from support.mdm_listeners import RunningSite

RECOVERIES = "/beta/etymon/keyRecoveries"
CARD = {"trustEntry": "cards", "identifier": "the-one-spare-card"}
PUPPETS = {"ursula": "keyRecoveryOfficial", "xaver": "keyRecoveryAgent", "yolanda": "keyRecoveryAgent"}


def order(user: object) -> JSON:
    return {
        "user": str(user),
        "keys": "all",
        "requestor": "me",
        "authority": "legalProcess",
        "reference": "x",
        "reason": "y",
        "withholdNotice": True,
    }


def test_one_officer_with_one_spare_card_recovers_nobodys_key(running: RunningSite, admin: httpx.Client) -> None:
    running.site.directory.trust("cards")
    victim = running.somebody("victim")
    kept(running.graph.issuer.escrow, victim)
    mallory = running.administration(running.somebody("mallory", Role.OFFICER))
    for name, role in PUPPETS.items():
        puppet = running.somebody(name)
        path, account = f"/beta/etymon/roles/{puppet.id}", f"/beta/users/{puppet.id}"
        card = created(admin.post(f"{account}/cards", json=CARD))
        ok(mallory.put(path, json={"roles": [role], "authority": "letter"}))
        for act in (
            partial(mallory.delete, f"{account}/cards/{card['id']}"),
            partial(mallory.post, f"{account}/cards", json={**CARD, "identifier": "another"}),
            partial(mallory.post, f"{account}/issueBindingCode"),
            partial(mallory.patch, account, json={"mail": "mallory@example.test"}),
        ):
            assert code(act()) == (403, "recovery_role_held")
        theirs = running.administration(puppet)
        assert code(theirs.post(RECOVERIES, json=order(victim.id))) == (403, "role_missing")
        for confirmer in (mallory, theirs):
            blind = {"role": role, "assignedDateTime": "2026-01-01T00:00:00Z"}
            assert code(confirmer.post(f"{path}/confirm", json=blind)) == (403, "role_missing")
        ok(mallory.put(path, json={"roles": [], "authority": "its end"}))
        assert admin.delete(f"{account}/cards/{card['id']}").status_code == 204  # the card goes on to the next
    assert ok(mallory.get(RECOVERIES))["value"] == []


def test_an_appointment_counts_when_an_administrator_confirmed_it(
    running: RunningSite, admin: httpx.Client, officer: httpx.Client
) -> None:
    victim, kim = running.somebody("victim"), running.somebody("kim")
    kept(running.graph.issuer.escrow, victim)
    path = f"/beta/etymon/roles/{kim.id}"
    wanted = {"role": "keyRecoveryOfficial", "assignedDateTime": "2026-01-01T00:00:00Z"}
    assert code(admin.post(f"{path}/confirm", json=wanted)) == (404, "role_not_held")
    given = ok(officer.put(path, json={"roles": [wanted["role"]], "authority": "letter"}))
    (waiting,) = given["appointments"]
    assert (waiting["role"], waiting["confirmedBy"], waiting["cards"]) == (wanted["role"], None, [])
    assert code(admin.post(f"/beta/users/{kim.id}/issueBindingCode")) == (403, "recovery_role_held")
    theirs = running.administration(kim)
    assert code(theirs.post(RECOVERIES, json=order(victim.id))) == (403, "role_missing")
    assert code(admin.post(f"{path}/confirm", json={**wanted, "role": "keyRecoveryAgent"})) == (404, "role_not_held")
    for malformed in ({"role": "auditor"}, {"assignedDateTime": None}, {"assignedDateTime": "lately"}):
        assert admin.post(f"{path}/confirm", json={**wanted, **malformed}).status_code == 400
    assert admin.post(f"{path}/confirm", json={"role": wanted["role"]}).status_code == 400
    assert code(admin.post(f"{path}/confirm", json=wanted)) == (409, "appointment_changed")
    wanted["assignedDateTime"] = waiting["assignedDateTime"]
    for _ in range(2):
        (confirmed,) = ok(admin.post(f"{path}/confirm", json=wanted))["appointments"]
        assert confirmed["confirmedBy"] not in {None, confirmed["appointedBy"], str(kim.id)}
    created(theirs.post(RECOVERIES, json=order(victim.id)))
    with running.site.database.snapshot() as tx:
        names = [one.event.name for one in trail.page(tx, subject=f"person:{kim.id}", limit=20)]
    assert names.count("directory:role:confirmed") == 1
    for roles in ([], [wanted["role"]]):  # withdrawn for a new card, and given again: it waits again
        assert ok(officer.put(path, json={"roles": roles, "authority": "letter 2"}))["roles"] == roles
        if not roles:
            assert admin.post(f"/beta/users/{kim.id}/issueBindingCode").status_code == 200
    assert code(theirs.post(RECOVERIES, json=order(victim.id))) == (403, "role_missing")


def test_a_card_that_was_changed_between_look_and_confirmation_is_not_confirmed(
    running: RunningSite, admin: httpx.Client, officer: httpx.Client
) -> None:
    running.site.directory.trust("cards")
    kim = running.somebody("kim")
    path, account = f"/beta/etymon/roles/{kim.id}", f"/beta/users/{kim.id}"

    def given(card: str) -> JSON:
        """Bind a card, appoint, and return what an Administrator who looks at the list sees."""
        bound = created(admin.post(f"{account}/cards", json={"trustEntry": "cards", "identifier": card}))
        ok(officer.put(path, json={"roles": ["keyRecoveryAgent"], "authority": "letter"}))
        seen = next(each for each in ok(admin.get("/beta/etymon/roles"))["value"] if each["id"] == str(kim.id))
        (appointment,) = seen["appointments"]
        assert appointment["cards"] == [{"trustEntry": "cards", "identifier": card}]
        return {"card": bound["id"], "role": appointment["role"], "assignedDateTime": appointment["assignedDateTime"]}

    seen = given("kims-card")
    running.site.clock.advance(timedelta(seconds=1))
    ok(officer.put(path, json={"roles": [], "authority": "its end"}))
    assert admin.delete(f"{account}/cards/{seen['card']}").status_code == 204
    now = given("mallorys-card")
    assert code(admin.post(f"{path}/confirm", json=seen)) == (409, "appointment_changed")
    assert ok(admin.get(path))["appointments"][0]["confirmedBy"] is None
    assert ok(admin.post(f"{path}/confirm", json=now))["appointments"][0]["confirmedBy"]


@pytest.mark.parametrize("role", ["officer", "keyRecoveryAgent", "keyRecoveryOfficial"])
def test_a_code_from_before_the_appointment_binds_nothing(
    running: RunningSite, admin: httpx.Client, officer: httpx.Client, role: str
) -> None:
    kim = running.somebody("kim")
    ok(admin.post(f"/beta/users/{kim.id}/issueBindingCode"))
    ok(officer.put(f"/beta/etymon/roles/{kim.id}", json={"roles": [role], "authority": "letter"}))
    with running.site.database.snapshot() as tx:
        assert set(tx.scalars(sa.select(binding_codes.c.state).where(binding_codes.c.person_id == kim.id))) == {
            "replaced"
        }
