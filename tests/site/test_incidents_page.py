# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/operations/incidents.md as it stands there; a request on its way by commands and pages."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from etymon.directory import groups
from etymon.directory.model import Role
from etymon.issuer import issuance_rules
from etymon.issuer.model import Approval, IssuanceRule, Purpose
from etymon.issuer.officers import BATCH
from etymon.kernel.entropy import random_id
from support import derivation_crowd, site_pages
from support.desk import Desk
from support.enrolled_endpoint import connect, enroll
from support.page_commands import commands
from support.registration_keys import rsa_key
from support.typed_command import Typed
from support.whole_site import DOMAIN, TEST, WholeSite

GROUP = "Careful staff"


class Office(Desk):
    """An officer's place."""

    def __init__(self, site: WholeSite, folder: Path, captured: pytest.CaptureFixture[str], name: str) -> None:
        super().__init__(site, folder, captured, name, Role.OFFICER)

    def derivations(self, command: str) -> str:
        done = self.type(f"etymon derivations --data /var/lib/etymon {self.options} {command}")
        assert (done.status, done.err) == (0, "")
        return done.out

    def managed_certificates(self, command: str) -> str:
        done = self.type(f"etymon managed-certificates --data /var/lib/etymon {self.options} {command}")
        assert (done.status, done.err) == (0, "")
        return done.out

    def rule(self, name: str, group: UUID, approval: Approval) -> None:
        """Put a rule of this officer in force."""
        site = self.site
        wanted = IssuanceRule(
            id=random_id(site.entropy),
            name=name,
            groups=frozenset({group}),
            purposes=(Purpose.AUTHENTICATION,),
            lifetime=timedelta(days=30),
            created_by=self.person.id,
            created_at=site.clock.now(),
            most_derivations=5,
        )
        with site.deployment.database.transaction() as tx:
            issuance_rules.save(tx, site.wiring.issuer, replace(wanted, approval=approval), officer=self.person.id)


@pytest.fixture
def office(site: WholeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Office:
    return Office(site, tmp_path, capsys, f"officer-{uuid4().hex[:8]}")


def group_of(site: WholeSite, name: str) -> UUID:
    with site.deployment.database.transaction() as tx:
        return groups.create(tx, site.wiring.directory, name=name, actor=TEST).id


def of_person(site: WholeSite, name: str) -> list[Mapping[str, Any]]:
    """Return what is kept of a person's certificates."""
    person = site.person(name).id
    return [row for row in site.rows("issuer_credentials") if row["person_id"] == person]


def certificates(site: WholeSite, name: str) -> list[str]:
    """Return the states of a person's certificates."""
    return [row["state"] for row in of_person(site, name)]


def test_a_request_goes_from_the_page_to_the_officer_and_back(site: WholeSite, office: Office) -> None:
    office.rule("careful", group_of(site, GROUP), Approval.SECOND_PERSON)
    card = site.card_for("careful-cora", group=GROUP)
    ids = []
    for _ in range(2):
        browser = site.browser(card)
        page = site_pages.expect(site_pages.present_card(browser, site.url), "home")
        assert "You asked for approval" in browser.submit(page.form(action="/issuer/requests")).words
        (line,) = [line for line in office.derivations("requests").splitlines() if "careful-cora" in line]
        ids.append(line.split()[0])
        if len(ids) == 1:
            assert "Refused" in office.derivations(f"refuse {ids[0]} --reason 'Not this week.'")
    assert f"Approved  careful-cora@{DOMAIN}" in office.derivations(f"approve {ids[1]}")
    refused = office.type(f"etymon derivations --data /var/lib/etymon {office.options} approve {ids[0]}")
    assert (refused.status, refused.err) == (2, "etymon: This request is refused already. (request_decided)\n")
    site.derive(site.enroll(site.new_phone(), card), card)
    assert certificates(site, "careful-cora") == ["active"]
    assert "completed" in office.derivations(f"list careful-cora@{DOMAIN}")


def test_a_crowd_ends_batch_by_batch_and_what_remains_is_told_truly(site: WholeSite, office: Office) -> None:
    since, name = site.clock.now().isoformat(), f"crowd {uuid4()}"
    group = group_of(site, name)
    office.rule(name, group, Approval.BLANKET)
    site.phone_of("crowd-carla", group=name)
    (pattern,) = {row["derivation_id"] for row in of_person(site, "crowd-carla")}
    derivation_crowd.add(site.deployment.database, pattern, 2 * BATCH)
    for what, told in ((f"--rule '{name}'", [BATCH + 1, 1, 0]), (f"--rule '{name}'", [0])):
        done = office.derivations(f"end-authorized {what} --since {since} --reason superseded --comment 'Crowd.'")
        assert [int(line.split()[-2]) for line in done.splitlines()] == told
    assert {row["state"] for row in of_person(site, "crowd-carla")} == {"ended"}


def test_every_command_of_the_page_does_what_it_says(
    site: WholeSite, office: Office, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group, since = "Incident staff", site.clock.now().isoformat()
    suspect = Office(site, tmp_path, capsys, "suspect")
    suspect.rule("of a suspect", group_of(site, group), Approval.BLANKET)
    held = site.phone_of("incident-alice", group=group)
    passphrase = office.options.split()[-1]
    key = office.type(f"etymon audit key --data /var/lib/etymon --passphrase-file {passphrase}")
    (tmp_path / "audit-seal.pem").write_text(key.out)
    connect(site)
    kiosk = site.person("otto").user_principal_name.partition("@")[0]
    certificates_ended = [enroll(site, "incident-alice", rsa_key(501)), enroll(site, kiosk, rsa_key(502))]
    (endpoint,) = [
        line.split()[0]
        for line in office.managed_certificates(f"list --serial {certificates_ended[0].serial_number:X}").splitlines()
    ]
    ends: list[str] = []
    by_command: dict[str, list[str]] = {}
    told: dict[str, list[str]] = {}
    managed: list[str] = []
    for command in commands("incidents.md"):
        newest = re.search(r"^[0-9a-f-]{36}", office.derivations(f"list incident-alice@{DOMAIN}"), re.MULTILINE)
        assert newest
        done = office.type(
            command,
            **{
                "$OFFICER": office.options,
                "incident.jsonl": str(tmp_path / "incident.jsonl"),
                "alice@": "incident-alice@",
                "otto@": "suspect@",
                "DERIVATION": newest[0],
                "CERTIFICATE": endpoint,
                "2026-01-31T08:00:00Z": since,
                "audit-seal.pem": str(tmp_path / "audit-seal.pem"),
                "--rule staff": "'--rule=of a suspect'",
            },
        )
        assert done.status == 0, (command, done)
        name = command.split("$OFFICER")[-1].split()[0]
        if command.startswith("etymon managed"):
            managed.append(done.out)
            continue
        states = certificates(site, "incident-alice")
        by_command[name] = states
        told.setdefault(name, []).append(done.out)
        if name.startswith("end"):
            assert set(states) == {"ended"}, command
            ends.append(name)
            site.derive(held, site.card_for("incident-alice"))  # what follows is to find something
    assert ends == ["end", "end-all", "end-authorized", "end-authorized", "end-authorized"]
    assert len(certificates(site, "incident-alice")) == 6
    assert by_command["hold"].count("held") == 1
    assert "ends unless it is restored before" in told["hold"][0]
    (held_one,) = [line for line in "".join(told["list"]).splitlines() if "  by officer " in line]
    officer = office.person.user_principal_name
    assert re.fullmatch(rf"[0-9a-f-]{{36}}  completed  .*  -  by officer {officer} since \S+ until \S+: \S.*", held_one)
    assert by_command["restore"].count("active") == 1
    assert "Restored 1 certificates." in told["restore"][0]
    rekey = (
        "etymon derivations --data /var/lib/etymon $OFFICER rekey-certified --authority derived --comment 'A token.'"
    )
    refused = office.type(rekey, **{"$OFFICER": office.options})
    assert (refused.status, "(no_successor)" in refused.err) == (2, True)
    enrolled, connectors, listed, again = managed
    assert [line.split("  ")[0] for line in printed(connectors)] == ["fleet"]
    assert enrolled == "Ended 1 certificates, 0 challenges; 0 certificates remain.\n", "end-all ended the other"
    assert listed.count("fleet") == listed.count("ended") == 2
    assert again == "Ended 0 certificates.  It was over before.\n"
    a_list_that_finds_nothing_says_so(office)


def a_list_that_finds_nothing_says_so(office: Office) -> None:
    """Ask for what is not there, and for a connector, a person and a feed that never were."""
    asked = f"etymon {{}} --data /var/lib/etymon {office.options} {{}}"
    for group, command in (
        ("managed-certificates", "list --connector flet"),
        ("managed-certificates", "list --connector flet --person nobody@agency.example"),
        ("managed-certificates", "list --connector flet --serial 1F"),
        ("managed-certificates", "list --person nobody@agency.example"),
        ("derivations", "list nobody@agency.example"),
    ):
        told = "There is no such user" if "nobody" in command else "`etymon managed-certificates connectors`"
        not_found(office.type(asked.format(group, command)), told)
    not_found(office.type(f"etymon identity-feed end hrr --data /var/lib/etymon {office.options}"), "(feed_unknown)")
    for command, nothing in (
        (asked.format("managed-certificates", "list --connector fleet --serial 1F"), "No connector gave out"),
        (asked.format("derivations", f"list {office.person.id}"), "Nothing was derived for this person."),
        (f"etymon identity-feed list --data /var/lib/etymon {office.options}", "No identity feed is named."),
        (asked.format("key-recovery", "legal-hold list"), "There is no legal hold"),
    ):
        done = office.type(command)
        assert (done.status, printed(done.out), nothing in done.err) == (0, [], True), done
        as_json = office.type(f"{command} --json")
        assert (as_json.status, printed(as_json.out), as_json.err) == (0, [], "")
    found = office.type(asked.format("managed-certificates", "list --connector fleet --json"))
    items = [json.loads(line) for line in printed(found.out)]
    assert {item["connector"] for item in items} == {"fleet"}


def printed(out: str) -> list[str]:
    """Return what a command printed, without what the site wrote in its log meanwhile."""
    return [line for line in out.splitlines() if not re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line)]


def not_found(done: Typed, *told: str) -> None:
    assert (done.status, printed(done.out), done.err.count("\n")) == (2, [], 1), done
    assert all(words in done.err for words in told), done.err
