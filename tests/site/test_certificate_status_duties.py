# SPDX-License-Identifier: Apache-2.0
"""A deployment keeps its certificates' status up by itself, and says so when it cannot: duties, health, metrics."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509

from etymon.audit import trail
from etymon.ca import certificates, crl, holds, issuance, revocation, store
from etymon.ca.model import CertificateState, IssuanceRequest, RevocationReason, SubjectNames
from etymon.issuer.model import IssuanceRule, Purpose
from etymon.issuer.store import rules
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.signer import Signer, SoftwareSigner
from etymon.server import follow_ups
from etymon.server.deployment import Deployment
from etymon.server.health import Health
from etymon.server.initialization import RootKeys, initialize
from etymon.server.metrics import Metrics
from etymon.server.site import Site
from etymon.server.wiring import Wiring
from etymon.storage import jobs
from etymon.web.exchange import Request
from support import patience
from support.ca_site import fresh_key, names_for
from support.clock import TurnedClock

PASSPHRASE = Secret("a passphrase of some length")
LOOKED = Request("GET", "/healthz", {}, {}, {}, {}, b"", None, "127.0.0.1")
ONLINE, ROOTS = ("derived", "device", "managed", "tls"), ("derived-root", "device-root", "managed-root", "tls-root")


class Running:
    """A deployment whose worker does what a test tells it to."""

    def __init__(self, directory: Path, clock: TurnedClock | None = None) -> None:
        self.clock, self.roots = clock or TurnedClock(), directory / "roots"
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
        found: dict[str, object] = json.loads(bytes(Health(self.wiring).answer(LOOKED).body))
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


def test_health_rings_for_a_rule_whose_encryption_keys_are_soon_certified_no_more(tmp_path: Path) -> None:
    late = Running(tmp_path, TurnedClock(datetime(2030, 1, 15, tzinfo=UTC)))
    assert "alarms" not in late.health()
    rule = IssuanceRule(
        id=UUID(int=1),
        name="staff",
        groups=frozenset({UUID(int=2)}),
        purposes=tuple(Purpose),
        lifetime=timedelta(days=365),
        created_by=UUID(int=3),
        created_at=late.clock.now(),
    )
    with late.deployment.database.transaction() as tx:
        rules.add(tx, rule)
    assert late.health()["alarms"] == ["encryption_keys_end_with_2030"]
    late.deployment.database.close()


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


def test_the_worker_renews_responders_before_their_end(running: Running) -> None:
    running.duty("responders")
    before = {name: _responder(running, name) for name in ONLINE}
    running.turn(min(before.values()) - timedelta(days=29) - running.clock.now())
    running.duty("responders")
    after = {name: _responder(running, name) for name in ONLINE}
    assert all(after[name] > before[name] for name in ONLINE), (before, after)


def test_the_worker_records_that_the_clock_was_set(running: Running) -> None:
    (watch,) = (duty for duty in follow_ups.duties(running.wiring) if duty.name == "clock")
    watch.act()
    running.clock.advance(timedelta(hours=2))
    watch.act()
    assert any(7190 < step < 7201 for step in _steps(running))


def test_a_site_without_a_worker_records_that_its_clock_was_set(running: Running) -> None:
    ready = threading.Event()
    any_port = dict.fromkeys(("site_port", "certauth_port", "device_port", "status_port"), 0)
    anywhere = replace(running.deployment, settings=running.deployment.settings.model_copy(update=any_port))
    site = Site(Wiring(anywhere), with_worker=False)
    serving = threading.Thread(target=partial(site.run, ready=ready.set))
    serving.start()
    try:
        assert ready.wait(60)
        known = len(_steps(running))  # a clock that a test turns stands still meanwhile, which is a step back
        patience.until(lambda: len(_steps(running)) > known, "the clock is watched")
        running.clock.advance(timedelta(hours=3))
        patience.until(lambda: any(10700 < step < 10801 for step in _steps(running)), "the step is recorded")
    finally:
        site.stop()
        serving.join(60)


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


def _responder(running: Running, ca: str) -> datetime:
    with running.deployment.database.snapshot() as tx:
        found = store.newest_responder(tx, ca, running.clock.now())
    assert found is not None
    return found.not_after


def _steps(running: Running) -> list[float]:
    with running.deployment.database.snapshot() as tx:
        found = trail.page(tx, name="audit:clock:stepped", limit=50)
    return [float(str(one.event.facts["seconds"])) for one in found]


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
