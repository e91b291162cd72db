# SPDX-License-Identifier: Apache-2.0
"""SCEP connectors of a file: an Officer's part, applied once, warned of, and withdrawn only where that is asked for."""

from typing import Any

import pytest

from etymon.ca import ceremony
from etymon.ca.model import SubjectNames
from etymon.issuer.scep import challenges, connectors
from etymon.issuer.scep.model import Connector
from etymon.kernel.errors import Malformed, NotAuthenticated, NotFound
from etymon.kernel.secret import Secret
from etymon.server.apply.applying import Outcome
from etymon.server.apply.planning import Passwords
from support.mdm_listeners import RunningSite
from support.operator import Operator

PASSWORD, OTHER = "drawn-at-random-31415926", "drawn-at-random-27182818"
PAGE = {"name": "kiosks", "challengeSource": "page", "pagePasswordFile": "kiosks.txt", "lifetimeDays": 30}
CLOUD = {"name": "cloud", "challengeSource": "intune", "lifetimeDays": 90, "keyTypes": ["rsa3072"]}


def wanted(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"organization": "Test Agency", "connectors": list(listed)}


def in_force(running: RunningSite) -> dict[str, Connector]:
    with running.site.database.snapshot() as tx:
        return {each.name: each for each in connectors.in_force(tx)}


def opens(running: RunningSite, password: str) -> bool:
    """Say whether the page takes a password."""
    deps = running.graph.issuer
    try:
        challenges.ask_page(deps, "kiosks", Secret(password), person=None, source="192.0.2.1")
    except NotAuthenticated:
        return False
    return True


@pytest.fixture(autouse=True)
def _authority(running: RunningSite) -> None:
    ca = running.site.ca
    managed = [new for new in ceremony.deployment(SubjectNames(organization="A")) if new.name.startswith("managed")]
    ceremony.create(ca.deps, ca.keys, managed, actor="test")


def test_an_officer_applies_connectors_once_and_prunes_them_when_told(
    running: RunningSite, administrator: Operator, officer: Operator
) -> None:
    password = officer.folder / "kiosks.txt"
    password.write_text(f"{PASSWORD}\n", "utf-8")
    both = wanted(PAGE, CLOUD)
    administrator.apply(both)
    assert "For the Officer remains 2 changes" in administrator.shown
    assert in_force(running) == {}
    assert officer.apply(both) is Outcome.AS_WANTED
    assert "pagePassword: (not shown)" in officer.shown
    assert PASSWORD not in officer.shown
    assert "warning" not in officer.shown
    made = in_force(running)
    assert made["kiosks"].created_by == officer.person.id
    assert [kind.value for kind in made["cloud"].key_types] == ["rsa3072"]
    assert opens(running, PASSWORD)
    assert officer.plan(both).changes == ()
    assert officer.apply(wanted(PAGE, {**CLOUD, "legacyAlgorithms": True})) is Outcome.AS_WANTED
    assert "legacyAlgorithms: no → yes" in officer.shown
    assert "warning: SHA-1 and triple DES are let in" in officer.shown
    assert in_force(running)["cloud"].id == made["cloud"].id
    password.write_text(f"{OTHER}\n", "utf-8")
    officer.apply(wanted(PAGE), passwords=Passwords.AGAIN)
    assert (opens(running, PASSWORD), opens(running, OTHER)) == (False, True)
    assert "SCEP connector cloud stays: is not in the file" in officer.shown
    assert officer.apply(wanted(), prune=True) is Outcome.AS_WANTED
    assert "what it gave out lives on" in officer.shown
    assert in_force(running) == {}


def test_what_the_site_refuses_is_told(running: RunningSite, officer: Operator) -> None:
    managed = {"name": "fleet", "challengeSource": "management", "client": "nobody", "lifetimeDays": 30}
    with pytest.raises(NotFound, match="no such client"):
        officer.apply(wanted(managed))
    (officer.folder / "kiosks.txt").write_text("short\n", "utf-8")
    with pytest.raises(Malformed, match="20 to 200 printable"):
        officer.apply(wanted(PAGE))
    assert in_force(running) == {}
