# SPDX-License-Identifier: Apache-2.0
"""Who is an Officer is appointed by one and confirmed by an Administrator: one Officer alone is never two."""

from datetime import timedelta
from functools import partial

import httpx
import pytest

from etymon.directory import people
from etymon.directory.model import Role
from support.graph_answers import JSON, code, created, ok
from support.mdm_listeners import RunningSite

CARD = {"trustEntry": "cards", "identifier": "the-one-spare-card"}
FEED = {"displayName": "Feed", "publicKey": {}, "mayBindCards": True}
ROLES, RULE = "/beta/etymon/roles", "/beta/etymon/issuanceRules/own"


def waiting(client: httpx.Client, user: object) -> JSON:
    """Return what whoever looks sees of an Officer's appointment, as it is confirmed."""
    (appointment,) = ok(client.get(f"{ROLES}/{user}"))["appointments"]
    assert (appointment["role"], appointment["counts"]) == ("officer", False)
    assert (appointment["confirmedBy"], appointment["confirmedByPrincipalName"]) == (None, None)
    return {"role": "officer", "assignedDateTime": appointment["assignedDateTime"]}


def acts_on(client: httpx.Client, account: str) -> list[partial[httpx.Response]]:
    user = account.removeprefix("/beta/users/")
    return [
        partial(client.post, f"{account}/cards", json={**CARD, "identifier": "another"}),
        partial(client.post, f"{account}/issueBindingCode"),
        partial(client.patch, account, json={"mail": "mallory@example.test"}),
        partial(client.put, f"/beta/etymon/identityFeeds/none/accounts/{user}", json={}),
    ]


def test_one_officer_with_a_spare_card_is_no_second_officer(running: RunningSite, admin: httpx.Client) -> None:
    running.site.directory.trust("cards")
    mallory = running.administration(running.somebody("mallory", Role.OFFICER))
    puppet = running.somebody("puppet", Role.OPERATOR)
    path, account = f"{ROLES}/{puppet.id}", f"/beta/users/{puppet.id}"
    ok(mallory.put(path, json={"roles": ["auditor", "operator"], "authority": "letter"}))
    for act in acts_on(mallory, account):  # an Officer alone gives this role, so it opens nobody's account
        assert code(act()) == (403, "auditor_role_held")
    ok(mallory.put(path, json={"roles": ["operator"], "authority": "letter"}))
    card = created(admin.post(f"{account}/cards", json=CARD))
    ok(mallory.put(path, json={"roles": ["officer", "operator"], "authority": "letter"}))
    for act in (*acts_on(mallory, account), partial(mallory.delete, f"{account}/cards/{card['id']}")):
        assert code(act()) == (403, "officer_role_held")
    theirs = running.administration(puppet)
    for act in (
        partial(theirs.put, RULE, json={"groupIds": [], "purposes": ["authentication"], "lifetimeDays": 30}),
        partial(theirs.put, path, json={"roles": [], "authority": "letter"}),
        partial(theirs.put, "/beta/etymon/identityFeeds/own", json=FEED),
        partial(theirs.post, "/beta/etymon/cardStatusSources/check"),
        partial(theirs.get, "/beta/etymon/keyRecoveries"),
        partial(theirs.get, "/beta/etymon/legalHolds"),
        *acts_on(theirs, account),
    ):
        assert code(act()) == (403, "role_missing")
    seen = waiting(mallory, puppet.id)
    for confirmer in (mallory, theirs):
        assert code(confirmer.post(f"{path}/confirm", json=seen)) == (403, "role_missing")
    # the Operator's role is not theirs
    assert code(mallory.put(path, json={"roles": [], "authority": "letter"})) == (403, "separated_roles")
    assert ok(mallory.put(path, json={"roles": ["operator"], "authority": "letter"}))["appointments"] == []


def test_an_officer_counts_when_an_administrator_confirmed_the_appointment_as_it_was_seen(
    running: RunningSite, admin: httpx.Client, officer: httpx.Client
) -> None:
    running.site.directory.trust("cards")
    kim = running.somebody("kim")
    path, account = f"{ROLES}/{kim.id}", f"/beta/users/{kim.id}"
    created(admin.post(f"{account}/cards", json=CARD))
    ok(officer.put(path, json={"roles": ["officer"], "authority": "letter"}))
    seen = waiting(admin, kim.id)
    running.site.clock.advance(timedelta(seconds=1))
    for roles in ([], ["officer"]):  # given anew, for another card perhaps
        ok(officer.put(path, json={"roles": roles, "authority": "letter"}))
    assert code(admin.post(f"{path}/confirm", json=seen)) == (409, "appointment_changed")
    theirs = running.administration(kim)
    assert code(theirs.get("/beta/users")) == (403, "role_missing")
    for act in acts_on(admin, account):
        assert code(act()) == (403, "separated_roles")
    now = waiting(admin, kim.id)
    for _ in range(2):
        (confirmed,) = ok(admin.post(f"{path}/confirm", json=now))["appointments"]
        assert confirmed["counts"]
        assert confirmed["cards"] == [CARD]
        names = (confirmed["appointedByPrincipalName"], confirmed["confirmedByPrincipalName"])
        assert names == ("officer@example.test", "admin@example.test")
        assert confirmed["confirmedBy"] not in {None, confirmed["appointedBy"], str(kim.id)}
    assert ok(theirs.get("/beta/users"))["value"]
    with running.site.database.snapshot() as tx:
        first = people.by_user_principal_name(tx, "officer@example.test")
    assert first is not None
    wanted = {"role": "officer", "assignedDateTime": "2026-01-01T00:00:00Z"}
    assert code(admin.post(f"{ROLES}/{first.id}/confirm", json=wanted)) == (404, "role_not_held")  # needs none


@pytest.mark.parametrize("others", ["admin", "officer"])
def test_an_officer_alone_renews_their_card(running: RunningSite, others: str, request: pytest.FixtureRequest) -> None:
    running.site.directory.trust("cards")
    running.site.directory.trust("next")
    only = running.somebody("only", Role.OFFICER)
    account, mine = f"/beta/users/{only.id}", running.administration(only)
    old = created(mine.post(f"{account}/cards", json=CARD))
    new = {"trustEntry": "next", "identifier": "new-card", "replaces": old["id"]}
    other: httpx.Client = request.getfixturevalue(others)
    for act in (
        *acts_on(other, account),
        partial(other.post, f"{account}/cards", json=new),
        partial(other.delete, f"{account}/cards/{old['id']}"),
    ):
        assert code(act()) == (403, "separated_roles" if others == "admin" else "officer_role_held")
    created(mine.post(f"{account}/cards", json=new))
    live = [card for card in ok(mine.get(f"{account}/cards"))["value"] if card["endedDateTime"] is None]
    assert [card["identifier"] for card in live] == ["new-card"]
    assert ok(mine.post(f"{account}/issueBindingCode"))["code"]
    assert ok(mine.patch(account, json={"displayName": "Olga Officer"}))["displayName"] == "Olga Officer"
