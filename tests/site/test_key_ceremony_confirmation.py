# SPDX-License-Identifier: Apache-2.0
"""Who confirms a key ceremony: two different people, with the roles for it and cards that are good now."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from etymon.directory.model import Role
from etymon.kernel.errors import Malformed, NotPermitted
from etymon.pki.errors import NotTrusted
from etymon.server.initialization import RootKeys
from etymon.server.key_ceremony import confirmation, performance, writing
from etymon.server.key_ceremony.script import Participant, Program, Script, require_two
from support.card_office import PASSPHRASE
from support.ceremonies import PLACE, Assembly, assembled


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assembly]:
    with assembled(tmp_path_factory.mktemp("assembly")) as found:
        yield found


def _is(participant: Participant, **change: Any) -> Participant:
    return replace(participant, **change)


def test_two_different_people_with_the_roles_for_it_are_needed(assembly: Assembly) -> None:
    ada, otto = assembly.participant("ada"), assembly.participant("otto")
    require_two([ada, otto])
    require_two([ada, _is(otto, role=Role.ADMINISTRATOR)])
    for participants, code in (
        ([], "two_people_needed"),
        ([ada], "two_people_needed"),
        ([ada, ada], "two_people_needed"),
        ([ada, _is(otto, user_principal_name="ADA@agency.example")], "two_people_needed"),
        ([ada, _is(otto, certificate=ada.certificate)], "two_people_needed"),
        ([ada, _is(otto, role=Role.AUDITOR)], "auditor_never_counts"),
        ([ada, otto, _is(assembly.participant("mallory"), role=Role.AUDITOR)], "auditor_never_counts"),
        ([_is(ada, role=Role.OFFICER), otto], "administrator_needed"),
    ):
        with pytest.raises(NotPermitted) as caught:
            require_two(participants)
        assert caught.value.code == code


@pytest.mark.parametrize("mail", ["ada@agency..example", "ada@agency.example;otto@agency.example"])
def test_a_founder_whom_mail_may_miss_is_refused_when_the_script_is_written(assembly: Assembly, mail: str) -> None:
    participants = [_is(assembly.participant("ada"), mail=mail), assembly.participant("otto")]
    settings = {"organization": "Example Agency", "loopback_demo": True, "status_url": "http://127.0.0.1:1"}
    with pytest.raises(Malformed, match="names one mailbox"):
        writing.organization(
            settings, [assembly.office.entry()], participants, PLACE, "p256", assembly.clock, assembly.entropy
        )


def test_what_a_script_lacks_is_told_when_it_is_read(assembly: Assembly) -> None:
    document = assembly.script().to_document()
    assert Script.from_document(document).to_document() == document
    for name in document:
        with pytest.raises(Malformed):
            Script.from_document({key: value for key, value in document.items() if key != name})
    with pytest.raises(Malformed):
        Script.from_document({**document, "etymon_key_ceremony": 2})
    with pytest.raises(Malformed, match="place"):
        Script.from_document({**document, "place": " "})
    with pytest.raises(NotPermitted, match="two_people_needed"):
        Script.from_document({**document, "participants": document["participants"][:1]})


def test_nobody_performs_alone_or_with_what_another_card_signed(assembly: Assembly, tmp_path: Path) -> None:
    script, other = assembly.script(), assembly.script()
    means = assembly.means(tmp_path / "data", RootKeys(tmp_path / "roots", PASSPHRASE))
    ada, otto = assembly.confirmed(script)
    for given, code in (
        ([], "not_confirmed"),
        ([ada], "not_confirmed"),
        ([otto], "not_confirmed"),
        ([ada, ada], "not_confirmed"),
        ([ada, dataclasses.replace(otto, signature=ada.signature)], "confirmation_forged"),
        ([ada, assembly.confirmed(other, "otto")[0]], "confirmation_of_another"),
        ([ada, dataclasses.replace(ada, certificate=otto.certificate)], "confirmation_forged"),
        (assembly.confirmed(script, at=assembly.clock.now() - timedelta(hours=13)), "confirmation_too_old"),
        (assembly.confirmed(script, at=assembly.clock.now() + timedelta(hours=1)), "confirmation_too_old"),
    ):
        with pytest.raises(NotPermitted) as caught:
            performance.perform(script, given, means)
        assert caught.value.code == code
    with pytest.raises(NotPermitted, match="card_not_named"):
        assembly.confirmed(script, "mallory")
    changed = replace(script, program=Program("0.0.1", "00"))
    with pytest.raises(NotPermitted, match="other_program"):
        performance.perform(changed, assembly.confirmed(changed), means)
    assert not means.data.exists(), "nothing was begun"


def test_a_card_that_is_not_good_now_takes_no_part(assembly: Assembly, tmp_path: Path) -> None:
    means = assembly.means(tmp_path / "data", RootKeys(tmp_path / "roots", PASSPHRASE))
    untrusted, script = assembly.script(entries=[]), assembly.script("ada", "mallory")
    with pytest.raises(NotTrusted, match="untrusted_root"):
        performance.perform(untrusted, assembly.confirmed(untrusted), means)
    given = assembly.confirmed(script, "ada", "mallory")
    with pytest.raises(NotTrusted, match="status_unavailable"):
        performance.perform(script, given, assembly.without_lists(means))
    assembly.revoke(assembly.cards["mallory"])
    assembly.lists = assembly.current_lists()
    with pytest.raises(NotTrusted, match="revoked_by_crl"):
        performance.perform(script, given, assembly.means(means.data, means.root_keys))
    assert not means.data.exists(), "nothing was begun"


def test_a_confirmation_is_read_as_it_was_written_and_nothing_else_is(assembly: Assembly) -> None:
    (made, _) = assembly.confirmed(assembly.script())
    document = made.to_document()
    assert confirmation.Confirmation.from_document(document) == made
    for name in document:
        with pytest.raises(Malformed):
            confirmation.Confirmation.from_document({key: value for key, value in document.items() if key != name})
