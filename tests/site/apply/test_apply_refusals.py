# SPDX-License-Identifier: Apache-2.0
"""What is refused when a file is applied: by the plan, by the API, by a broken connection; and how it goes on."""

import contextlib

import httpx
import pytest

from etymon.directory import bindings, groups
from etymon.directory.model import Role
from etymon.kernel.errors import Conflict, Malformed, NotAuthenticated, NotPermitted, Unavailable
from etymon.server.apply.applying import Outcome
from etymon.server.apply.resource import Role as Writer
from support.agency import AGENCY, CARD, agency, without
from support.identity_provider import DERIVED
from support.mdm_listeners import RunningSite
from support.operator import Interrupted, Operator


class Meanwhile(httpx.BaseTransport):
    """Before anything is written, somebody else makes the group."""

    def __init__(self, inner: httpx.BaseTransport, running: RunningSite) -> None:
        self._inner, self._running, self._waits = inner, running, True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET" and self._waits:
            self._waits = False
            self._running.site.group("Staff")
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def test_what_somebody_else_makes_at_the_same_time_is_a_conflict_and_then_found(
    administrator: Operator, running: RunningSite
) -> None:
    with pytest.raises(Conflict):
        administrator.apply(agency(), through=lambda inner: Meanwhile(inner, running))
    assert "not done: make group Staff" in administrator.shown
    administrator.apply(agency())
    assert "done: make group" not in administrator.shown
    assert administrator.plan(agency()).remaining_for(Writer.ADMINISTRATOR) == 0
    with running.site.database.snapshot() as tx:
        assert groups.by_name(tx, "Staff") is not None


def test_a_card_of_somebody_the_file_does_not_name_is_refused_by_the_api(
    administrator: Operator, running: RunningSite
) -> None:
    administrator.apply(without("users", "groups", "configurations", "issuanceRules"))
    stranger = running.site.directory.person("stranger")
    with running.site.database.transaction() as tx:
        bindings.bind(
            tx,
            running.site.directory.deps,
            trust_entry="agency-cards",
            identifier=CARD,
            person_id=stranger.id,
            actor="person:x",
        )
    with pytest.raises(Conflict) as caught:
        administrator.apply(agency())
    assert caught.value.code == "identifier_bound"
    assert "not done: user ana@agency.test: cards + agency-cards" in administrator.shown


def test_a_member_whom_nobody_knows_is_refused_before_anything_is_done(administrator: Operator) -> None:
    organization = agency()
    organization["groups"][0]["members"].append("nobody@agency.test")
    with pytest.raises(Malformed, match=r"no user is called nobody@agency\.test"):
        administrator.apply(organization)
    with pytest.raises(Malformed, match="no configuration is called Elsewhere"):
        administrator.apply(agency(configurations=[{**AGENCY["configurations"][1], "trustedRoots": ["Elsewhere"]}]))
    assert administrator.plan(without("groups", "configurations", "issuanceRules", "branding")).changes


def test_the_operators_own_account_and_roles_stay(administrator: Operator) -> None:
    organization = agency()
    organization["users"].append(
        {"userPrincipalName": "adam@example.test", "displayName": "Adam", "mail": "adam@example.test", "roles": []}
    )
    administrator.apply(organization, prune=True)
    assert "user adam@example.test stays: nobody changes their own roles" in administrator.shown


def test_an_auditor_looks_and_does_not_write(running: RunningSite, administrator: Operator) -> None:
    auditor = Operator(running, running.somebody("aud", Role.AUDITOR), administrator.folder)
    assert auditor.apply(agency(), check=True) is Outcome.DIFFERENT
    with pytest.raises(NotPermitted) as caught:
        auditor.apply(agency())
    assert caught.value.code == "no_writing_role"


def test_a_role_that_the_token_does_not_have_is_refused_with_what_to_do(
    running: RunningSite, administrator: Operator
) -> None:
    person = administrator.person
    stale = Operator(running, person, administrator.folder, roles=["operator"])
    with pytest.raises(NotPermitted, match="Sign in as somebody who holds the role") as caught:
        stale.apply(agency())
    assert caught.value.code == "role_missing"


def test_a_sign_in_without_the_card_is_refused(running: RunningSite, administrator: Operator) -> None:
    derived = Operator(running, administrator.person, administrator.folder, acr=DERIVED)
    with pytest.raises(NotPermitted, match="card"):
        derived.apply(agency(), check=True)
    foreign = Operator(running, administrator.person, administrator.folder, audience="https://elsewhere.test/graph")
    with pytest.raises(NotAuthenticated, match="Sign in again"):
        foreign.apply(agency(), check=True)


@pytest.mark.parametrize("loses_the_answer", [False, True])
def test_after_any_interruption_the_same_command_does_the_rest(
    administrator: Operator, officer: Operator, *, loses_the_answer: bool
) -> None:
    times = 0

    def through(inner: httpx.BaseTransport) -> httpx.BaseTransport:
        return Interrupted(inner, 2, after_answer=loses_the_answer)

    while administrator.plan(agency()).remaining_for(Writer.ADMINISTRATOR):
        times += 1
        assert times < 40
        with contextlib.suppress(Unavailable):
            administrator.apply(agency(), through=through)
            continue
        assert "are done and stay done" in administrator.shown
    assert times > 3
    officer.apply(agency())
    assert officer.plan(agency()).changes == ()


def test_an_api_that_does_not_answer_is_told_with_what_to_do(administrator: Operator) -> None:
    with pytest.raises(Unavailable, match="run the same command again") as caught:
        administrator.apply(agency(), through=lambda inner: Interrupted(inner, 0))
    assert caught.value.code == "api_unreachable"
    assert "not done: make trust entry agency-cards\n0 of 1" in administrator.shown


def test_a_mail_address_that_is_a_list_is_refused_by_the_api(administrator: Operator) -> None:
    organization = agency()
    organization["users"][0] |= {"mail": "ana@agency.test,eve@eve.test"}
    with pytest.raises(Malformed, match="mail_addresses: A mail address names one mailbox"):
        administrator.apply(organization)


def test_what_the_api_refuses_is_told_in_its_words_and_ends_the_run(administrator: Operator) -> None:
    organization = agency()
    organization["configurations"][0]["name"] = "R" * 200
    organization["configurations"][1] |= {"trustedRoots": ["R" * 200], "serverNames": ["not a name"]}
    with pytest.raises(Malformed, match="A server name is a DNS name or suffix"):
        administrator.apply(organization)
    assert "not done: make configuration Office" in administrator.shown
