# SPDX-License-Identifier: Apache-2.0
"""Two people have an issuing authority revoked, and add the hierarchy that an older organisation lacks."""

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.audit import trail
from etymon.ca import authorities, certificates, crl
from etymon.directory import people
from etymon.issuer import revoked_authorities
from etymon.issuer.scep import connectors, registration_authority
from etymon.issuer.scep.model import ChallengeSource, Connector
from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotFound, NotPermitted, Unavailable
from etymon.pki.algorithms import KeyType
from etymon.pki.cryptoki import TokenChoice
from etymon.server import tls_identity
from etymon.server.deployment import Deployment
from etymon.server.health import Health
from etymon.server.initialization import RootKeys
from etymon.server.key_ceremony import performance, verification, writing
from etymon.server.key_ceremony.script import Script
from etymon.server.key_places import RootToken
from etymon.server.wiring import Wiring
from etymon.storage import jobs
from etymon.web.exchange import Request
from etymon.web.listeners import IssuedIdentity
from support.card_office import PASSPHRASE
from support.ceremonies import PLACE, Founded, Halt, HaltingClock, assembled, without_managed
from support.tokens import PIN, Tokens
from support.typed_command import typed

LOOKED = Request("GET", "/healthz", {}, {}, {}, {}, b"", None, "127.0.0.1")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Founded]:
    """An organisation that was founded before there was a hierarchy for what others manage."""
    with assembled(tmp_path_factory.mktemp("assembly")) as assembly:
        yield Founded.by(assembly, without_managed(assembly.script()), tmp_path_factory.mktemp("older"))


def revocation(founded: Founded, name: str, reason: str = "cACompromise", *cards: str) -> Script:
    assembly = founded.assembly
    return writing.revocation(
        founded.data, name, reason, founded.cards(*cards), PLACE, assembly.clock, assembly.entropy
    )


def hierarchy(founded: Founded, name: str = "managed") -> Script:
    assembly = founded.assembly
    return writing.hierarchy(founded.data, name, founded.cards(), PLACE, "p256", assembly.clock, assembly.entropy)


def successor(founded: Founded, name: str) -> Script:
    assembly = founded.assembly
    return writing.issuing_authority(
        founded.data, name, founded.cards(), PLACE, "p256", assembly.clock, assembly.entropy
    )


def told(founded: Founded, name: str) -> list[str]:
    """Return the subjects of the trail's events of a name."""
    deployment = founded.opened()
    with deployment.database.snapshot() as tx:
        found = [each.event.subject for each in trail.page(tx, name=name, limit=200)]
    deployment.database.close()
    return found


class Judges:
    """OpenSSL and our own verifier, with a certificate of the TLS authority and the lists that are published."""

    def __init__(self, folder: Path, deployment: Deployment, captured: pytest.CaptureFixture[str]) -> None:
        self._folder, self._captured, self._public = folder, captured, deployment.public_directory
        shown = tls_identity.identity(deployment)
        assert isinstance(shown, IssuedIdentity)
        for name, certificate in zip(
            ("leaf", "tls", "root"), x509.load_pem_x509_certificates(shown.chain), strict=True
        ):
            (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))

    def openssl(self) -> str:
        lists: list[str | Path] = []
        for name in ("tls", "tls-root"):
            listed = x509.load_der_x509_crl((self._public / "crl" / f"{name}.crl").read_bytes())
            (self._folder / f"{name}.crl").write_bytes(listed.public_bytes(Encoding.PEM))
            lists += ["-CRLfile", self._folder / f"{name}.crl"]
        chain: list[str | Path] = ["-CAfile", self._folder / "root.pem", "-untrusted", self._folder / "tls.pem"]
        command: list[str | Path] = ["openssl", "verify", "-crl_check_all", *lists, *chain, self._folder / "leaf.pem"]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return f"{run.stdout}{run.stderr}"

    def ours(self) -> tuple[int, str]:
        lists = [option for name in ("tls", "tls-root") for option in ("--crl", self._folder / f"{name}.crl")]
        chain = ("--anchor", self._folder / "root.pem", "--intermediate", self._folder / "tls.pem")
        done = typed(self._captured, "verify", "certificate", *chain, *lists, self._folder / "leaf.pem")
        return done.status, done.out


@pytest.mark.needs("openssl")
def test_two_people_revoke_an_authority_and_relying_parties_see_it(
    older: Founded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = older.copy(tmp_path)
    deployment = here.opened()
    judges = Judges(tmp_path, deployment, capsys)
    assert "leaf.pem: OK" in judges.openssl()
    assert judges.ours()[0] == 0
    script = revocation(here, "tls")
    shown = writing.readable(script)
    assert "Revokes for good: the authority tls, for cACompromise" in shown
    with deployment.database.snapshot() as tx:
        assert (
            script.in_use
            == certificates.in_use(tx, "tls", here.assembly.clock.now())
            == {"ocsp-responder": 1, "tls-server": 1}
        )
        assert certificates.in_use(tx, "tls", here.assembly.clock.now() + timedelta(days=4000)) == {}
    assert "as counted when this was written: 2 (1 of programs of this site; 1 of servers)." in shown
    made = here.later(script)
    assert "certificate revoked" in judges.openssl()
    status, answer = judges.ours()
    assert (status, "revoked" in answer) == (1, True)
    assert "The root's list says that tls was revoked for cACompromise." in verification.verify(made, here.data)
    assert "REVOKED" in made.with_suffix(".txt").read_text()
    assert here.later(script) == made, "performed again, it is the same record"
    assert told(here, "ca:authority:revoked") == ["tls"]
    with pytest.raises(Unavailable, match="authority_revoked"):
        tls_identity.identity(deployment)
    assert len(told(here, "ca:certificate:refused")) == 1
    deployment.key_files.remove("tls")  # destroyed: nobody may use it again
    deployment.require_keys()
    assert "tls" not in deployment.issuing_authorities()
    deployment.database.close()


def test_health_rings_until_a_successor_stands(older: Founded, tmp_path: Path) -> None:
    here = older.copy(tmp_path)
    here.later(revocation(here, "derived", "keyCompromise"))
    deployment = here.opened()
    assert json.loads(bytes(Health(Wiring(deployment)).answer(LOOKED).body))["alarms"] == ["authority_revoked"]
    (job,) = jobs.claim(deployment.database, deployment.clock, [revoked_authorities.TELL])
    assert job.payload == {"authority": "derived"}, "officers are told of what is left"
    here.later(successor(here, "derived-2"))
    here.later(successor(here, "device-2"))
    assert (revocation(here, "device").successor, revocation(here, "device-2").successor) == ("device-2", "")
    wired = Wiring(deployment)
    assert json.loads(bytes(Health(wired).answer(LOOKED).body))["status"] == "ok"
    assert wired.issuer.authority == "derived-2"
    with deployment.database.snapshot() as tx:
        second = authorities.load(tx, "derived-2").certificate
    wired.issuer.escrow.signer_certificate.verify_directly_issued_by(second)
    deployment.database.close()


def test_what_is_not_revoked(older: Founded, tmp_path: Path) -> None:
    here = older.copy(tmp_path)
    before = revocation(here, "device")
    for name, reason, cards, code in (
        ("device-root", "cACompromise", (), "root_not_revocable"),
        ("managed", "cACompromise", (), "authority_not_found"),
        ("device", "unspecified", (), "revocation_reason"),
        ("device", "", (), "revocation_reason"),
        ("device", "certificateHold", (), "revocation_reason"),
        ("device", "superseded", ("ada",), "two_people_needed"),
        ("device", "superseded", ("ada", "ada"), "two_people_needed"),
        ("device", "superseded", ("ada", "mallory"), "card_not_bound"),
    ):
        with pytest.raises(EtymonError) as refused:
            revocation(here, name, reason, *cards)
        assert refused.value.code == code
    with pytest.raises(Malformed, match="revocation_reason"):
        Script.from_document({**hierarchy(here).to_document(), "reason": "superseded"})
    with pytest.raises(NotPermitted, match="not_confirmed"):
        performance.perform(before, here.assembly.confirmed(before, "ada"), here.assembly.means(here.data, here.roots))
    here.later(revocation(here, "device", "superseded"))
    with pytest.raises(Conflict, match="authority_revoked"):
        here.later(before)
    with pytest.raises(Conflict, match="authority_revoked"):
        revocation(here, "device")
    assert told(here, "ca:authority:revoked") == ["device"]


def test_roots_of_somebody_else_revoke_nothing(older: Founded, tmp_path: Path) -> None:
    script, theirs = revocation(older, "device"), RootKeys(tmp_path / "theirs", PASSPHRASE)
    theirs.directory.mkdir()
    theirs.open().generate("device-root", KeyType.P256)
    number = len(told(older, "ca:ceremony:refused"))
    for roots, code in (
        (theirs, "root_key_missing"),
        (RootKeys(tmp_path / "nowhere", PASSPHRASE), "root_keys_missing"),
    ):
        with pytest.raises(EtymonError, match=code):
            older.later(script, roots)
    assert "device" not in told(older, "ca:authority:revoked")
    assert len(told(older, "ca:ceremony:refused")) == number + 2


@pytest.mark.needs("softhsm2-util")
def test_another_token_and_a_missing_one_revoke_nothing(older: Founded, tokens: Tokens, tmp_path: Path) -> None:
    script, token, pin = revocation(older, "device"), tokens.make(), tmp_path / "token.pin"
    pin.write_text(PIN.reveal())
    with pytest.raises(NotPermitted, match="root_key_missing"):
        older.later(script, RootToken(token.module, TokenChoice(token.label), pin))
    with pytest.raises(Unavailable, match="token"):
        older.later(script, RootToken(token.module, TokenChoice("not connected"), pin))
    assert "device" not in told(older, "ca:authority:revoked")


def performed_with_interruptions(here: Founded, script: Script, every: int) -> Path:
    """Stop the machine here and there, and go on, until it is done."""
    halts = 0
    for looks in count(2, every):
        try:
            done = here.later(script, clock=HaltingClock(looks))
        except Halt:
            halts += 1
        else:
            assert halts >= 2
            return done
    raise AssertionError


def test_an_interrupted_revocation_goes_on_and_happens_once(older: Founded, tmp_path: Path) -> None:
    here = older.copy(tmp_path)
    done = performed_with_interruptions(here, revocation(here, "derived"), 6)
    steps = [step["step"] for step in json.loads(done.read_text())["steps"]]
    assert "went on after an interruption" in steps
    assert "The root's list says that derived was revoked for cACompromise." in verification.verify(done, here.data)
    assert told(here, "ca:authority:revoked") == ["derived"]


def test_a_hierarchy_is_added_with_a_root_of_its_own(older: Founded, tmp_path: Path) -> None:
    here = older.copy(tmp_path)
    for name, code in (("derived", "authority_exists"), ("other", "authority_name"), ("managed-2", "authority_name")):
        with pytest.raises(EtymonError) as refused:
            hierarchy(here, name)
        assert refused.value.code == code
    script = hierarchy(here)
    (here.data / "roots").mkdir()
    with pytest.raises(Malformed, match="root_keys_inside"):
        here.later(script, RootKeys(here.data / "roots", PASSPHRASE))
    with pytest.raises(NotFound, match="root_keys_missing"):
        here.later(script, RootKeys(tmp_path / "nowhere", PASSPHRASE))
    done = performed_with_interruptions(here, script, 12)
    assert len(verification.verify(done, here.data)) == 5
    assert {file.stem for file in here.roots.directory.iterdir()} == {
        f"{name}-root" for name in ("derived", "device", "tls", "managed")
    }
    deployment = here.opened()
    assert not [name for name in deployment.key_files if name.endswith("-root")], "no root key stays"
    assert "managed" in deployment.issuing_authorities()
    head = crl.current(deployment.ca, "managed-root")
    assert head.number == 1
    deployment.database.close()
    with pytest.raises(Conflict, match="authority_exists"):
        hierarchy(here)


def test_connectors_follow_the_authorities_that_ceremonies_make(older: Founded, tmp_path: Path) -> None:
    here = older.copy(tmp_path)
    here.later(hierarchy(here))
    deployment = here.opened()
    issuer = Wiring(deployment).issuer
    with deployment.database.transaction() as tx:
        otto = people.by_user_principal_name(tx, "otto@agency.example")
        assert otto is not None
        wanted = Connector("fleet", ChallengeSource.PAGE, timedelta(days=90), otto.id, here.assembly.clock.now())
        connectors.save(tx, issuer, wanted, officer=otto.id)
    assert registration_authority.renew(issuer)
    here.later(successor(here, "managed-2"))
    here.later(revocation(here, "managed", "superseded"))
    with deployment.database.snapshot() as tx, pytest.raises(Unavailable, match="registration_authority_missing"):
        registration_authority.in_force(tx, issuer)
    assert registration_authority.renew(issuer)
    with deployment.database.snapshot() as tx:
        assert [each.authority for each in registration_authority.in_force(tx, issuer)] == ["managed-2"]
    deployment.database.close()


def test_a_key_that_is_there_is_not_made_into_a_root(older: Founded, tmp_path: Path) -> None:
    here = older.copy(tmp_path)
    theirs = here.roots.open().generate("managed-root", KeyType.P256)
    for _ in range(2):
        with pytest.raises(Conflict, match="key_exists"):
            here.later(hierarchy(here))
    assert here.roots.open()["managed-root"].public_key == theirs.public_key
