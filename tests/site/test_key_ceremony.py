# SPDX-License-Identifier: Apache-2.0
"""Key ceremonies: two people with their cards, and nobody else; whatever interrupts them; the record they leave."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from etymon.audit import trail
from etymon.ca import crl, issuance
from etymon.directory import people, roles, trust
from etymon.directory.model import Role
from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotFound, NotPermitted
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.cryptoki import TokenChoice
from etymon.pki.keys import KeyDirectory
from etymon.pki.token_keys import TokenKeys
from etymon.server import initialization
from etymon.server.deployment import DATABASE_FILE, HIERARCHIES, Deployment
from etymon.server.initialization import RootKeys
from etymon.server.key_ceremony import performance, record, verification, writing
from etymon.server.key_ceremony.script import Participant
from etymon.server.key_places import RootToken
from etymon.server.wiring import Wiring
from support.appointments import appoint_officer
from support.card_office import PASSPHRASE
from support.ceremonies import Assembly, Founded, Halt, HaltingClock, assembled
from support.running_clock import RunningClock
from support.tokens import PIN, TestToken, Tokens


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assembly]:
    with assembled(tmp_path_factory.mktemp("assembly")) as found:
        yield found


@pytest.fixture(scope="module")
def founded(assembly: Assembly, tmp_path_factory: pytest.TempPathFactory) -> Founded:
    return Founded.by(assembly, assembly.script(), tmp_path_factory.mktemp("founded"))


def test_two_people_make_an_organisation_and_their_cards_open_its_accounts(founded: Founded) -> None:
    deployment = founded.opened()
    deployment.require_keys()
    with deployment.database.snapshot() as tx:
        for name, role in (("ada", Role.ADMINISTRATOR), ("otto", Role.OFFICER)):
            person = people.by_user_principal_name(tx, f"{name}@agency.example")
            assert person is not None
            assert roles.roles_of(tx, person.id) == {role}
        (event,) = trail.page(tx, name="ca:ceremony:performed", subject=f"ceremony:{founded.script.id}")
    assert event.event.facts["record_sha256"] == record.sha256(founded.record)
    assert not {name for name in deployment.key_files if name.endswith("-root")}
    assert {file.stem for file in founded.roots.directory.iterdir()} == {f"{name}-root" for name in HIERARCHIES}
    deployment.database.close()


def test_the_printed_record_has_everything_that_people_sign_for(founded: Founded) -> None:
    document = json.loads(founded.record.read_text())
    text = founded.record.with_suffix(".txt").read_text()
    for expected in ("Room 1", "Ada", "Otto", "card good by crl", record.sha256(founded.record), founded.script.sha256):
        assert expected in text
    assert {made["name"] for made in document["authorities"]} == {*HIERARCHIES, *(f"{h}-root" for h in HIERARCHIES)}
    for made in document["authorities"]:
        assert made["key_id"] in text
        assert made["certificate_sha256"] in text
        assert made["list_sha256"] in text
    assert [left["what"] for left in document["left_the_machine"]] == [f"the key of {h}-root" for h in HIERARCHIES]
    steps = [step["step"] for step in document["steps"]]
    assert sum(step.startswith("made the key") for step in steps) == 12, "eight authorities and four responders"
    assert document["program"]["sha256"] in text


def test_the_record_is_verified_by_itself_and_against_the_deployment(founded: Founded) -> None:
    assert len(verification.verify(founded.record, None)) == 4
    assert verification.verify(founded.record, founded.data)[-1].startswith("The audit trail")


def _resealed(change: Callable[[dict[str, Any]], None], founded: Founded) -> dict[str, Any]:
    """Return a record that was changed and signed again by somebody with a key of their own."""
    document: dict[str, Any] = json.loads(founded.record.read_text())
    change(document)
    deployment = founded.opened()
    document.pop("signature")
    seal = deployment.signer("audit-seal")
    document["signature"] = record.signature_of(document, seal)
    deployment.database.close()
    return document


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda found: found["script"].update(place="Elsewhere"), "script_exchanged"),
        (lambda found: found["confirmations"].pop(), "not_confirmed"),
        (lambda found: found["confirmations"][0].update(signature="MAAA"), "confirmation_forged"),
        (lambda found: found["authorities"][1].update(key_id="00"), "certificate_exchanged"),
        (lambda found: found["authorities"][1].update(list=found["authorities"][0]["list"]), "certificate_exchanged"),
        (lambda found: found["steps"].pop(), "record_not_in_trail"),
    ],
)
def test_a_record_that_says_something_else_is_refused(
    change: Callable[[dict[str, Any]], None], code: str, founded: Founded, tmp_path: Path
) -> None:
    file = tmp_path / "record.json"
    forged: dict[str, Any] = json.loads(founded.record.read_text())
    change(forged)
    file.write_text(json.dumps(forged))
    with pytest.raises(NotPermitted, match="record_forged"):
        verification.verify(file, None)
    file.write_text(json.dumps(_resealed(change, founded)))  # even by who has the seal
    with pytest.raises(NotPermitted, match=code):
        verification.verify(file, founded.data)


def test_what_is_no_record_is_told(tmp_path: Path) -> None:
    for content in ("", "[]", "{}", '{"signature": {"key": "AA==", "value": "AA=="}}'):
        (tmp_path / "record.json").write_text(content)
        with pytest.raises(Malformed):
            verification.verify(tmp_path / "record.json", None)


def _is(participant: Participant, **change: Any) -> Participant:
    return replace(participant, **change)


@dataclass
class InTokens:
    """Two empty tokens, the script for an organisation in them, and where it is to be."""

    assembly: Assembly
    folder: Path
    token: TestToken
    root_token: TestToken

    def __post_init__(self) -> None:
        pin = self.folder / "token.pin"
        pin.write_text(PIN.reveal())
        self.roots = RootToken(self.token.module, TokenChoice(self.root_token.label), pin)
        self.script = self.assembly.script(
            pkcs11_module=str(self.token.module), pkcs11_token_label=self.token.label, pkcs11_pin_file=str(pin)
        )

    @property
    def data(self) -> Path:
        return self.folder / "data"


@pytest.mark.needs("softhsm2-util")
def test_a_ceremony_that_is_interrupted_anywhere_goes_on_and_makes_nothing_twice(
    assembly: Assembly, tokens: Tokens, tmp_path: Path
) -> None:
    made = InTokens(assembly, tmp_path, tokens.make(), tokens.make())
    given = assembly.confirmed(made.script)
    halts, done = 0, Path()
    for looks in count(2, 23):
        try:
            done = performance.perform(made.script, given, assembly.means(made.data, made.roots, HaltingClock(looks)))
        except Halt:
            halts += 1
        else:
            break
    assert halts >= 3
    operational, roots = TokenKeys(made.token.open()), TokenKeys(made.root_token.open())
    assert sorted(roots) == sorted(f"{name}-root" for name in HIERARCHIES)
    assert {name for name in operational if not name.startswith("ocsp-")} == set(HIERARCHIES)
    assert len(verification.verify(done, made.data)) == 5
    again = performance.perform(made.script, given, assembly.means(made.data, made.roots))
    assert record.sha256(again) == record.sha256(done)
    steps = [step["step"] for step in json.loads(done.read_text())["steps"]]
    assert "went on after an interruption" in steps
    assert len([step for step in steps if step == "made the key derived-root"]) == 1
    deployment = Deployment.open(made.data, PASSPHRASE, assembly.clock, assembly.entropy)
    with deployment.database.snapshot() as tx:
        names = [found.event.name for found in trail.page(tx, limit=200)]
    deployment.database.close()
    assert (names.count("ca:authority:created"), names.count("ca:ceremony:performed")) == (8, 1)


@pytest.mark.needs("softhsm2-util")
def test_keys_of_somebody_else_are_refused_however_often_it_is_tried(
    assembly: Assembly, tokens: Tokens, tmp_path: Path
) -> None:
    made = InTokens(assembly, tmp_path, tokens.make(), tokens.make())
    theirs = TokenKeys(made.token.open()).generate("device", KeyType.P256)
    for _ in range(2):
        with pytest.raises(Conflict, match="token_in_use"):
            assembly.performed(made.script, assembly.means(made.data, made.roots))
    assert list(TokenKeys(made.token.open())) == ["device"]
    assert TokenKeys(made.token.open())["device"].public_key == theirs.public_key
    assert not list(TokenKeys(made.root_token.open()))


def test_root_keys_that_were_written_before_an_interruption_leave_and_no_others(
    founded: Founded, tmp_path: Path
) -> None:
    deployment, roots = founded.opened(), RootKeys(tmp_path / "roots", PASSPHRASE)
    files = KeyDirectory(tmp_path / "files", Secret(b"correct horse battery staple"))
    files.generate("derived-root", KeyType.P256)
    with deployment.database.snapshot() as tx:
        made = [issuance.find_authority(tx, f"{name}-root") for name in HIERARCHIES]
    deployment.database.close()
    initialization.take_out(files, made, roots)  # the other two have left before
    assert [file.name for file in roots.directory.iterdir()] == ["derived-root.pem"]
    assert not list(files)
    initialization.take_out(files, made, roots)
    files.generate("derived-root", KeyType.P256)
    with pytest.raises(Conflict, match="root_key_exists"):
        initialization.take_out(files, made, roots)
    assert list(files) == ["derived-root"], "the only copy stays"


def test_a_directory_of_somebody_else_is_refused(founded: Founded, tmp_path: Path) -> None:
    assembly = founded.assembly
    with pytest.raises(Conflict, match="directory_not_empty"):
        assembly.performed(assembly.script(), assembly.means(founded.data, RootKeys(tmp_path / "roots", PASSPHRASE)))
    (tmp_path / "other").mkdir()
    shutil.copytree(founded.data / "ceremonies", tmp_path / "other" / "ceremonies")
    (tmp_path / "other" / "ceremonies" / f"{founded.script.id}.json").unlink()
    changed = replace(founded.script, place="Room 2")  # the same ceremony, it says
    with pytest.raises(Conflict, match="ceremony_of_another_script"):
        assembly.performed(changed, assembly.means(tmp_path / "other", founded.roots))


def test_the_roots_keys_are_brought_back_for_their_next_lists(founded: Founded, tmp_path: Path) -> None:
    deployment = founded.opened()
    before = {name: crl.current(deployment.ca, f"{name}-root") for name in HIERARCHIES}
    script = writing.root_lists(
        founded.data, founded.cards(), "Room 1", founded.assembly.clock, founded.assembly.entropy
    )
    with pytest.raises(NotFound, match="root_keys_missing"):
        founded.later(script, RootKeys(tmp_path / "nowhere", PASSPHRASE))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotPermitted, match="root_key_missing"):
        founded.later(script, RootKeys(tmp_path / "empty", PASSPHRASE))
    made = founded.later(script)
    for name, old in before.items():
        new = crl.current(deployment.ca, f"{name}-root")
        assert new.number == old.number + 1
        root = x509.load_der_x509_crl(new.der)
        with deployment.database.snapshot() as tx:
            assert root.is_signature_valid(issuance.find_authority(tx, f"{name}-root").certificate.public_key())  # type: ignore[arg-type]  # a P-256 key
    assert founded.later(script) == made
    assert crl.current(deployment.ca, "tls-root").number == before["tls"].number + 1, "once"
    assert not {name for name in deployment.key_files if name.endswith("-root")}, "no root key stays"
    assert len(verification.verify(made, founded.data)) == 5
    deployment.database.close()


def test_a_further_issuing_authority_issues_from_the_next_start(founded: Founded) -> None:
    script = writing.issuing_authority(
        founded.data, "derived-2", founded.cards(), "Room 1", "p384", founded.assembly.clock, founded.assembly.entropy
    )
    made = founded.later(script)
    assert len(verification.verify(made, founded.data)) == 5
    deployment = founded.opened()
    deployment.require_keys()
    wired = Wiring(deployment)
    assert (wired.issuer.authority, wired.mdm.authority) == ("derived-2", "device")
    assert set(deployment.issuing_authorities()) == {*HIERARCHIES, "derived-2"}
    assert not replace(deployment, clock=RunningClock(timedelta(days=11 * 365))).issuing_authorities()
    with deployment.database.snapshot() as tx:
        entry = trust.entry(tx, "derived")
    assert len(entry.intermediates) == 2, "what either issued is accepted"
    deployment.database.close()
    with pytest.raises(Conflict, match="authority_exists"):
        writing.issuing_authority(
            founded.data,
            "derived-2",
            founded.cards(),
            "Room 1",
            "p256",
            founded.assembly.clock,
            founded.assembly.entropy,
        )


def test_a_key_that_is_there_is_not_made_into_another_authority(founded: Founded) -> None:
    deployment = founded.opened()
    deployment.key_files.generate("derived-4", KeyType.P256)
    script = writing.issuing_authority(
        founded.data, "derived-4", founded.cards(), "Room 1", "p256", founded.assembly.clock, founded.assembly.entropy
    )
    for _ in range(2):
        with pytest.raises(Conflict, match="key_exists"):
            founded.later(script)
    assert "derived-4" not in deployment.issuing_authorities()
    deployment.key_files.remove("derived-4")
    deployment.database.close()


@pytest.mark.parametrize(
    ("name", "key_type", "code"),
    [("tls-2", "p256", "authority_name"), ("derived", "p256", "authority_name"), ("derived-3", "rsa2048", "key_type")],
)
def test_what_a_further_authority_may_not_be(name: str, key_type: str, code: str, founded: Founded) -> None:
    with pytest.raises(Malformed, match=code):
        writing.issuing_authority(
            founded.data, name, founded.cards(), "Room 1", key_type, founded.assembly.clock, founded.assembly.entropy
        )


def test_lists_are_made_of_the_roots_that_there_are(founded: Founded, tmp_path: Path) -> None:
    """An organisation that was founded by an earlier program has no root for what others manage."""
    assembly, data = founded.assembly, tmp_path / "data"
    shutil.copytree(founded.data, data)
    with closing(sqlite3.connect(data / DATABASE_FILE)) as connection, connection:  # it does not look at references
        connection.execute("DELETE FROM ca_authorities WHERE name IN ('managed', 'managed-root')")
    script = writing.root_lists(data, founded.cards(), "Room 1", assembly.clock, assembly.entropy)
    assert script.authorities == ("derived-root", "device-root", "tls-root")


def test_who_takes_part_later_is_judged_by_the_directory(founded: Founded, tmp_path: Path) -> None:
    assembly, data = founded.assembly, tmp_path / "data"
    shutil.copytree(founded.data, data)
    here = replace(founded, data=data)
    with pytest.raises(NotPermitted, match="card_not_bound"):
        writing.root_lists(data, founded.cards("ada", "mallory"), "Room 1", assembly.clock, assembly.entropy)
    with pytest.raises(NotPermitted, match="two_people_needed"):
        writing.root_lists(data, founded.cards("ada"), "Room 1", assembly.clock, assembly.entropy)
    with pytest.raises(NotPermitted, match="two_people_needed"):
        writing.root_lists(data, founded.cards("ada", "ada"), "Room 1", assembly.clock, assembly.entropy)
    script = writing.root_lists(data, founded.cards(), "Room 1", assembly.clock, assembly.entropy)
    deployment = here.opened()
    wired = Wiring(deployment)
    with deployment.database.transaction() as tx:
        otto = people.by_user_principal_name(tx, "otto@agency.example")
        assert otto is not None
        roles.withdraw(tx, wired.directory, otto.id, Role.OFFICER, actor="test", authority="letter")
        appoint_officer(tx, wired.directory, otto)  # and nobody confirms it
    with pytest.raises(NotPermitted, match="role_not_held"):
        here.later(script)
    with pytest.raises(NotPermitted, match="role_not_held"):
        writing.root_lists(data, founded.cards(), "Room 1", assembly.clock, assembly.entropy)
    with deployment.database.transaction() as tx:
        roles.withdraw(tx, wired.directory, otto.id, Role.OFFICER, actor="test", authority="letter")
        roles.assign(tx, wired.directory, otto.id, Role.AUDITOR, actor="test", authority="letter")
        roles.assign(tx, wired.directory, otto.id, Role.OPERATOR, actor="test", authority="letter")
    with pytest.raises(NotPermitted, match="role_not_held"):
        here.later(script)
    with pytest.raises(NotPermitted, match="auditor_never_counts"):
        writing.root_lists(data, founded.cards(), "Room 1", assembly.clock, assembly.entropy)
    with pytest.raises(EtymonError, match="role_not_held"):
        here.later(replace(script, participants=tuple(_is(p, role=Role.ADMINISTRATOR) for p in script.participants)))
    with deployment.database.snapshot() as tx:
        refused = trail.page(tx, name="ca:ceremony:refused", subject=f"ceremony:{script.id}")
    deployment.database.close()
    assert [found.event.facts["code"] for found in refused] == ["role_not_held"] * 3
