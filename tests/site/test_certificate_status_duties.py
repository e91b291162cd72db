# SPDX-License-Identifier: Apache-2.0
"""A deployment keeps its certificates' status up by itself, and says so when it cannot: duties, health, metrics."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509

from etymon.ca import certificates, crl, holds, issuance, revocation
from etymon.ca.model import CertificateState, IssuanceRequest, RevocationReason, SubjectNames
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.signer import Signer, SoftwareSigner
from etymon.server import follow_ups
from etymon.server.deployment import Deployment
from etymon.server.initialization import RootKeys, initialize
from etymon.server.metrics import Metrics
from etymon.server.site import health
from etymon.server.wiring import Wiring
from etymon.storage import jobs
from etymon.web.exchange import Request
from support.ca_site import fresh_key, names_for
from support.clock import TurnedClock

PASSPHRASE = Secret("a passphrase of some length")
LOOKED = Request("GET", "/healthz", {}, {}, {}, {}, b"", None, "127.0.0.1")
ONLINE, ROOTS = ("derived", "device", "managed", "tls"), ("derived-root", "device-root", "managed-root", "tls-root")


class Running:
    """A deployment whose worker does what a test tells it to."""

    def __init__(self, directory: Path) -> None:
        self.clock, self.roots = TurnedClock(), directory / "roots"
        initialize(
            directory / "data",
            {
                "organization": "Example Agency",
                "loopback_demo": True,
                "status_url": "http://127.0.0.1:1",
                "maximum_hold_days": 7,
            },
            passphrase=PASSPHRASE,
            root_keys=RootKeys(self.roots, PASSPHRASE),
            founders=[],
            trust_entries=[],
            clock=self.clock,
            entropy=SystemEntropy(),
            progress=lambda _: None,
        )
        self.public = directory / "data" / "public"
        self.deployment = Deployment.open(directory / "data", PASSPHRASE, self.clock, SystemEntropy())
        self.wiring = Wiring(self.deployment)

    def turn(self, by: timedelta) -> None:
        self.clock.advance(by)
        follow_ups.seal(self.deployment)

    def duty(self, name: str) -> None:
        (found,) = (duty for duty in follow_ups.duties(self.wiring) if duty.name == name)
        found.act()

    def publish_roots_lists(self) -> list[crl.RevocationList]:
        """Do what a ceremony does: bring the roots' keys back for their lists."""
        signers: dict[str, Signer] = {
            file.stem: SoftwareSigner(keys.decrypt(file.read_bytes(), Secret(PASSPHRASE.reveal().encode())))
            for file in sorted(self.roots.glob("*.pem"))
        }
        brought = replace(self.deployment.ca, signers=signers)
        return [found for name in signers if (found := crl.publish(brought, name)) is not None]

    def health(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(bytes(health(self.wiring, LOOKED).body))
        return found

    def lists(self) -> dict[str, crl.ListHead]:
        with self.deployment.database.snapshot() as tx:
            return {head.ca: head for head in crl.heads(tx)}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One deployment; each test sets out from where it finds the clock."""
    found = Running(tmp_path_factory.mktemp("deployment"))
    yield found
    found.deployment.database.close()


@pytest.fixture(autouse=True)
def _up_to_date(running: Running) -> None:
    follow_ups.seal(running.deployment)
    running.duty("lists")
    running.publish_roots_lists()


def test_a_worker_makes_lists_in_time_and_health_says_when_none_did(running: Running) -> None:
    assert running.health() == {"status": "ok", "crl_about_to_lapse": []}
    before = running.lists()
    running.turn(timedelta(hours=18))
    running.duty("lists")
    after = running.lists()
    assert [after[name].number - before[name].number for name in ONLINE] == [1, 1, 1, 1]
    assert all(after[name] == before[name] for name in ROOTS)
    running.turn(timedelta(hours=24, seconds=1))
    with pytest.raises(Unavailable, match="crl_about_to_lapse") as refused:
        running.health()
    assert all(name in refused.value.detail for name in ONLINE)
    running.duty("lists")
    assert running.health()["status"] == "ok"


def test_a_roots_list_is_named_when_it_ends_and_made_when_its_key_is_back(running: Running) -> None:
    running.turn(timedelta(days=36, seconds=1))
    running.duty("lists")
    assert running.health() == {"status": "ok", "crl_about_to_lapse": list(ROOTS)}
    made = running.publish_roots_lists()
    assert [found.ca for found in made] == list(ROOTS)
    assert all(found.next_update - found.this_update == timedelta(days=37) for found in made)
    assert running.health() == {"status": "ok", "crl_about_to_lapse": []}
    assert (running.public / "crl" / "derived-root.crl").read_bytes() == made[0].der


def test_metrics_tell_the_age_of_lists_and_what_they_lack(running: Running) -> None:
    issued = _issue(running)
    running.duty("lists")
    with running.deployment.database.transaction() as tx:
        revocation.revoke(tx, running.deployment.ca, issued, RevocationReason.SUPERSEDED, actor="officer")
    metrics = Metrics()
    metrics.tell_lists(running.lists().values())
    lines = bytes(metrics.exposition().body).decode().splitlines()
    told = dict(line.split(" ") for line in lines if line.startswith("etymon_crl_"))
    head = running.lists()["device"]
    assert float(told['etymon_crl_next_update_timestamp_seconds{ca="device"}']) == head.next_update.timestamp()
    assert float(told['etymon_crl_this_update_timestamp_seconds{ca="device"}']) == head.this_update.timestamp()
    assert float(told['etymon_crl_changes_waiting{ca="device"}']) == 1
    handler = follow_ups.handlers(running.wiring, Metrics())[revocation.PUBLISH_CRL]
    for job in jobs.claim(running.deployment.database, running.clock, [revocation.PUBLISH_CRL]):
        handler(job)
    assert running.lists()["device"].covers == running.lists()["device"].changes


def test_the_worker_ends_holds_after_the_days_that_are_set(running: Running) -> None:
    issued = _issue(running)
    with running.deployment.database.transaction() as tx:
        held = holds.hold(tx, running.deployment.ca, issued, requested_by="person:9", actor="officer:7")
    assert held.until == running.clock.now() + timedelta(days=7)
    running.turn(timedelta(days=7))
    running.duty("holds")
    with running.deployment.database.snapshot() as tx:
        record = certificates.find(tx, issued)
    assert record is not None
    assert record.state is CertificateState.REVOKED
    running.duty("lists")
    listed = x509.load_der_x509_crl(crl.current(running.deployment.ca, "device").der)
    assert listed.get_revoked_certificate_by_serial_number(record.serial) is not None


def test_the_public_directory_is_full_from_the_beginning_and_a_setting(running: Running, tmp_path: Path) -> None:
    beginning = {str(found.relative_to(running.public)) for found in running.public.rglob("*.c*")}
    assert {f"crl/{name}.crl" for name in (*ONLINE, *ROOTS)} < beginning
    assert {f"certificates/{name}.cer" for name in (*ONLINE, *ROOTS)} < beginning
    elsewhere = replace(
        running.deployment, settings=running.deployment.settings.model_copy(update={"public_directory": str(tmp_path)})
    )
    assert elsewhere.ca.public_directory == tmp_path
    running.duty("public_directory")
    assert {str(found.relative_to(running.public)) for found in running.public.rglob("*.c*")} == beginning


def _issue(running: Running) -> UUID:
    deps = running.deployment.ca
    request = IssuanceRequest(
        ca="device",
        profile="device-identity",
        request_key=f"test:{running.deployment.entropy.octets(8).hex()}",
        key=fresh_key(),
        subject=SubjectNames(common_name="phone"),
        authorized_by="test",
        alternative=names_for("device-identity"),
    )
    with running.deployment.database.transaction() as tx:
        planned = issuance.plan(tx, deps, request)
    return issuance.complete(deps, planned.id).id
