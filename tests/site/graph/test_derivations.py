# SPDX-License-Identifier: Apache-2.0
"""Requests and credentials of others over the administration API: an officer decides, and nobody else."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx

from etymon.directory.model import Person, Role
from etymon.issuer import issuance_rules
from etymon.issuer.model import Approval, CardProof, IssuanceRule, Purpose
from etymon.issuer.request import IDENTITY_LIFETIME, DerivationRequest, RequestState
from etymon.issuer.store import card_sessions, requests
from etymon.pki.certificate import to_der
from support.card_issuer import authority
from support.graph_answers import code, ok
from support.mdm_listeners import RunningSite

REQUESTS = "/beta/etymon/derivationRequests"
DERIVATIONS = "/beta/etymon/derivations"
END = {"reason": "keyCompromise", "comment": "Lost."}


def asked(running: RunningSite, officer: Person, applicant: Person) -> UUID:
    """Keep a request as `approval.ask` does after a card was proved."""
    deps, now = running.graph.issuer, running.site.clock.now()
    group = running.site.group(f"group {applicant.id}", applicant)
    wanted = IssuanceRule(
        id=uuid4(),
        name=f"rule {group}",
        groups=frozenset({group}),
        purposes=(Purpose.AUTHENTICATION,),
        lifetime=timedelta(days=30),
        created_by=officer.id,
        created_at=now,
        approval=Approval.SECOND_PERSON,
    )
    with running.site.database.transaction() as tx:
        rule = issuance_rules.save(tx, deps, wanted, officer=officer.id)
        card = to_der(authority("Cards").certificate)
        proof = CardProof(uuid4(), applicant.id, "cards", "alice@agency.example", (card,), frozenset(), (), now)
        card_sessions.add_proof(tx, proof)
        request = DerivationRequest(
            uuid4(), RequestState.REQUESTED, applicant.id, rule.id, proof.id, now, "192.0.2.1", now + IDENTITY_LIFETIME
        )
        assert requests.add(tx, request)
    return request.id


def test_requests_are_listed_and_decided_by_another_officer(running: RunningSite) -> None:
    officer, applicant = running.somebody("olga", Role.OFFICER), running.somebody("omar", Role.OFFICER)
    request = asked(running, officer, applicant)
    (shown,) = ok(running.administration(officer).get(REQUESTS))["value"]
    assert (shown["id"], shown["userPrincipalName"]) == (str(request), applicant.user_principal_name)
    own, other = running.administration(applicant), running.administration(officer)
    for act, body in (("approve", {}), ("refuse", {"reason": "Because."})):
        assert code(own.post(f"{REQUESTS}/{request}/{act}", json=body)) == (403, "own_request")
    assert code(other.post(f"{REQUESTS}/{request}/approve", json={})) == (403, "card_not_bound")
    assert code(other.post(f"{REQUESTS}/{request}/refuse", json={"reason": " "})) == (400, "reason_missing")
    refused = ok(other.post(f"{REQUESTS}/{request}/refuse", json={"reason": "Not yet."}))
    assert (refused["state"], refused["decisionReason"]) == ("refused", "Not yet.")
    assert code(other.post(f"{REQUESTS}/{request}/approve", json={})) == (409, "request_decided")
    assert ok(other.get(REQUESTS))["value"] == []


def test_whoever_is_no_officer_decides_and_ends_nothing(running: RunningSite, officer: httpx.Client) -> None:
    since = (running.site.clock.now() - timedelta(hours=1)).isoformat()
    acts = [
        (f"{REQUESTS}/{uuid4()}/approve", {}, (404, "request_unknown")),
        (f"{REQUESTS}/{uuid4()}/refuse", {"reason": "No."}, (404, "request_unknown")),
        (f"{DERIVATIONS}/{uuid4()}/end", END, (404, "derivation_unknown")),
        (f"{DERIVATIONS}/{uuid4()}/hold", {"comment": "Suspected."}, (404, "derivation_unknown")),
        (f"{DERIVATIONS}/{uuid4()}/hold", {"comment": " "}, (400, "reason_missing")),
        (f"{DERIVATIONS}/{uuid4()}/restore", {"identityEvidence": "Seen."}, (404, "derivation_unknown")),
        (f"{DERIVATIONS}/{uuid4()}/restore", {"identityEvidence": " "}, (400, "reason_missing")),
        ("/beta/users/nobody@agency.example/endDerivations", END, (404, "user_not_found")),
        (f"{DERIVATIONS}/endAuthorized", {**END, "since": since, "rule": "x"}, (404, "issuance_rule_unknown")),
    ]
    for name, role in (("adam", Role.ADMINISTRATOR), ("aude", Role.AUDITOR)):
        client = running.administration(running.somebody(name, role))
        for path, body, _ in acts:
            assert code(client.post(path, json=body)) == (403, "role_missing")
    for path, body, expected in acts:
        assert code(officer.post(path, json=body)) == expected
    for wrong in (
        {"since": "yesterday"},
        {"since": "2026-01-31T08:00:00"},
        {"since": since, "officer": "nobody@x"},
        {},
    ):
        assert officer.post(f"{DERIVATIONS}/endAuthorized", json={**END, **wrong}).status_code in {400, 404}
    for cursor in ("derivations", "derivations/1", "managedCertificates/x", str(uuid4())):
        asked = {**END, "since": since, "authority": "derived", "cursor": cursor}
        assert code(officer.post(f"{DERIVATIONS}/endAuthorized", json=asked)) == (400, "cursor_not_understood")
    rekeyed = officer.post(f"{DERIVATIONS}/rekeyCertified", json={"authority": "x", "comment": "x", "cursor": "x"})
    assert code(rekeyed) == (400, "cursor_not_understood")
    assert code(officer.post(f"{DERIVATIONS}/{uuid4()}/end", json={**END, "reason": "boredom"}))[0] == 400
    by_name = officer.post(f"{DERIVATIONS}/alice@agency.example/hold", json={"comment": "Suspected."})
    assert by_name.json()["error"]["message"] == "derivation: no id; `list` shows ids"
    assert code(officer.post(f"{DERIVATIONS}/{uuid4()}/restore", json={"comment": "Seen."}))[0] == 400
    assert code(officer.get("/beta/users/nobody@agency.example/derivations")) == (404, "user_not_found")
    looked = f"{DERIVATIONS}/{uuid4()}"
    assert code(officer.get(looked)) == (404, "derivation_unknown")
    assert code(officer.get(f"{looked}/attestations/{uuid4()}/chain")) == (404, "attestation_unknown")
    person = running.somebody("rita")
    for path in (looked, f"{looked}/attestations/{uuid4()}/chain"):
        assert code(running.administration(person).get(path)) == (403, "role_missing")
    assert ok(officer.get(f"/beta/users/{person.id}/derivations"))["value"] == []
    assert ok(officer.post(f"/beta/users/{person.id}/endDerivations", json=END)) == {
        "credentials": 0,
        "managedCertificates": 0,
    }
