# SPDX-License-Identifier: Apache-2.0
"""SCEP connectors of a file: an Officer's part, applied once, warned of, and withdrawn only where that is asked for."""

from dataclasses import replace
from typing import Any

import pytest

from etymon.ca import ceremony
from etymon.ca.model import SubjectNames
from etymon.directory import groups
from etymon.directory.model import Role
from etymon.issuer.intune.connection import Connection, Tenant
from etymon.issuer.intune.outbound import Outbound
from etymon.issuer.intune.validation import IntuneValidation
from etymon.issuer.scep import challenges, connectors
from etymon.issuer.scep.model import Connector
from etymon.kernel.errors import Malformed, NotAuthenticated
from etymon.kernel.secret import Secret
from etymon.mdm import enrollment_profiles
from etymon.server.apply.applying import Outcome
from etymon.server.apply.planning import Passwords
from etymon.wire.enrollment_qr import SetupNetwork
from support.graph_answers import code, gone
from support.mdm_listeners import RunningSite
from support.operator import Operator
from support.tls_files import trusting

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


def with_a_tenant(running: RunningSite) -> None:
    """Name a tenant whose Intune would be asked, as the settings of a deployment do."""
    site = running.site
    origin = "https://login.example"
    tenant = Tenant("agency.example", "etymon", Secret("application"), origin, origin, "scope", ("example",))
    connection = Connection(tenant, Outbound(trusting([running.tls.certificate])), site.clock, site.deps.entropy)
    issuer = replace(running.graph.issuer, validation=IntuneValidation(connection))
    running.app.state.deps = replace(running.graph, issuer=issuer)


@pytest.fixture(autouse=True)
def _authority(running: RunningSite) -> None:
    ca = running.site.ca
    managed = [new for new in ceremony.deployment(SubjectNames(organization="A")) if new.name.startswith("managed")]
    ceremony.create(ca.deps, ca.keys, managed, actor="test")


def test_an_officer_applies_connectors_once_and_prunes_them_when_told(
    running: RunningSite, administrator: Operator, officer: Operator
) -> None:
    with_a_tenant(running)
    password = officer.folder / "kiosks.txt"
    password.write_text(f"{PASSWORD}\n", "utf-8")
    both = wanted(PAGE, CLOUD)
    administrator.apply(both)
    assert "For the Officer remain 2 changes" in administrator.shown
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


FLEET = {"name": "fleet", "challengeSource": "management", "client": "nobody", "lifetimeDays": 30}


def test_all_that_the_site_would_refuse_is_told_before_anything_is_written(
    running: RunningSite, administrator: Operator, officer: Operator
) -> None:
    (officer.folder / "kiosks.txt").write_text("short\n", "utf-8")
    good = {"name": "estate", "challengeSource": "page", "pagePasswordFile": "estate.txt", "lifetimeDays": 30}
    (officer.folder / "estate.txt").write_text(f"{PASSWORD}\n", "utf-8")
    file = wanted(good, FLEET, PAGE, CLOUD, {**good, "name": "cacerts"})
    for operator, check in ((administrator, True), (officer, True), (officer, False)):
        with pytest.raises(Malformed, match="plan_impossible") as refused:
            operator.apply(file, check=check)
        first, *faults = refused.value.detail.splitlines()
        assert first == "This cannot be done, and nothing was changed:"
        assert sorted((line.split(":")[0], line.rpartition("(")[2]) for line in faults) == [
            ("SCEP connector cacerts", "name_reserved)"),
            ("SCEP connector cloud", "intune_not_configured)"),
            ("SCEP connector fleet", "client_unknown)"),
            ("SCEP connector kiosks", "page_password_unsuitable)"),
        ]
        assert "make SCEP connector estate" in operator.shown
        assert PASSWORD not in f"{operator.shown}{refused.value.detail}"
    assert in_force(running) == {}


def test_a_wifi_without_its_password_is_told_before_anything_is_written(
    running: RunningSite, administrator: Operator
) -> None:
    (administrator.folder / "long.txt").write_text("x" * 65, "utf-8")

    def file(**wifi: str) -> dict[str, Any]:
        profile = {"name": "Phones", "wifi": {"ssid": "Setup", **wifi}}
        return {"organization": "Test Agency", "groups": [{"name": "First"}], "enrollmentProfiles": [profile]}

    for wifi, told in (
        ({}, "wifi_password_missing"),
        ({"security": "wep"}, "wifi_password_missing"),
        ({"passwordFile": "long.txt"}, "1 to 64 characters"),
        ({"passwordFile": "wifi.txt", "ssid": "S" * 33}, "1 to 32 bytes"),
    ):
        with pytest.raises(Malformed, match=told):
            administrator.apply(file(**wifi))
    with running.site.database.snapshot() as tx:
        assert "First" not in {group.name for group in groups.page(tx, after=None, limit=50)}
    assert administrator.apply(file(passwordFile="wifi.txt")) is Outcome.AS_WANTED
    assert administrator.apply(file(ssid="Other")) is Outcome.AS_WANTED, "a network keeps the password it has"
    assert administrator.apply(file(security="none")) is Outcome.AS_WANTED
    with pytest.raises(Malformed, match="wifi_password_missing"):
        administrator.apply(file(ssid="Other"))


def test_a_wifi_password_that_opens_no_more_is_sent_again_by_the_same_file(
    running: RunningSite, administrator: Operator
) -> None:
    def file(**wifi: str) -> dict[str, Any]:
        profile = {"name": "Phones", "tokenDays": 30, "wifi": {"ssid": "Setup", **wifi}}
        return {"organization": "Test Agency", "enrollmentProfiles": [profile]}

    with_password = file(passwordFile="wifi.txt")
    assert administrator.apply(with_password) is Outcome.AS_WANTED
    running.site.garble_network_passwords()
    with pytest.raises(Malformed, match=r"enrollment profile Phones: .* passwordFile\. \(wifi_password_missing\)"):
        administrator.apply(file())
    assert administrator.apply(with_password) is Outcome.AS_WANTED
    assert "wifi.security: password missing → wpa" in administrator.shown
    with running.site.database.snapshot() as tx:
        (phones,) = enrollment_profiles.page(tx, running.site.deps, after=None, limit=10)
    assert isinstance(phones.terms.network, SetupNetwork)
    running.site.garble_network_passwords()
    assert administrator.apply(file(security="none")) is Outcome.AS_WANTED, "who wants none is asked for none"


def test_whoever_reads_may_ask_whether_a_connector_could_be(running: RunningSite) -> None:
    path, body = "/beta/etymon/scepConnectors/kiosks/check", {"challengeSource": "page", "lifetimeDays": 30}
    auditor = running.administration(running.somebody("aude", Role.AUDITOR))
    gone(auditor.post(path, json=body))
    assert code(auditor.post(path, json={**body, "pagePassword": "short"})) == (400, "page_password_unsuitable")
    assert code(auditor.post(path, json={**body, "challengeSource": "intune"})) == (409, "intune_not_configured")
    assert running.administration(running.somebody("nobody")).post(path, json=body).status_code == 403
    assert in_force(running) == {}
