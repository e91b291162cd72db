# SPDX-License-Identifier: Apache-2.0
"""The rekey of ten thousand devices on PostgreSQL by two processes, as their requests arrive: judged, planned, signed,
completed, noticed, confirmed, and what was replaced revoked; the audit trail is sealed meanwhile.

Left out are TLS (`est_enroll`) and asking the card's issuer, which is another machine's work. The state is seeded:
people with a card, and a credential each that the authority has really issued.
"""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa

from bench.authorities import requests
from bench.measure import Bench
from bench.place import Place
from bench.sizes import Sizes
from etymon.ca import issuance
from etymon.ca.model import AlternativeNames, SubjectNames
from etymon.directory import tables as directory
from etymon.issuer import rekey, superseding
from etymon.issuer.model import Purpose
from etymon.issuer.rekey import RekeyRequest
from etymon.issuer.tables import credentials, derivations
from etymon.pki import certificate as reading
from etymon.pki.certificate import thumbprint, to_der
from etymon.pki.csr import verify_proof_of_possession
from etymon.storage.database import Database
from etymon.web.peer_certificate import PeerCertificate
from etymon.wire import est
from support.issuer_rekey import holder, rekeying_site
from support.issuer_site import IssuerSite

WORKERS: Final = 2
PAGE: Final = 250
"""Devices seeded at a time."""
SEALED_EVERY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Device:
    """A phone that will ask: what it shows, and its request with a new key."""

    shown: PeerCertificate
    request: bytes


def line(sizes: Sizes) -> str:
    """Return the name of what is printed."""
    return f"rekey.{sizes.devices}.postgresql"


def measure(bench: Bench, place: Place) -> None:
    """Measure against what the library needs to build and sign as many certificates."""
    with place.migrated() as database:
        site = rekeying_site(database, place.directory)
        devices = _seeded(site, bench.sizes.devices)
        site.turn(days=2)
        limit = "limit.build_and_sign.p256"
        bench.once(line(bench.sizes), len(devices), lambda: _rekey_all(site, devices), limit=limit)
        with database.snapshot() as tx:
            active = credentials.c.state == "active"
            made = tx.scalar(sa.select(sa.func.count()).where(credentials.c.replaces_id.is_not(None), active))
    if made != len(devices):
        message = f"{made} of {len(devices)} devices have a new certificate"
        raise RuntimeError(message)


def _rekey_all(site: IssuerSite, devices: Sequence[Device]) -> None:
    context = multiprocessing.get_context("fork")
    site.database.close()  # no connection is shared with a child
    workers = [
        context.Process(target=_work, args=(site, devices[number::WORKERS]), name=f"worker-{number}")
        for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        time.sleep(SEALED_EVERY_SECONDS)
        site.ca.seal()
    for worker in workers:
        worker.join()
        if worker.exitcode != os.EX_OK:
            message = f"{worker.name} ended with {worker.exitcode}"
            raise RuntimeError(message)


def _work(site: IssuerSite, devices: Sequence[Device]) -> None:
    database = Database(site.database.engine.url)
    escrow, ca = replace(site.deps.escrow, database=database), replace(site.deps.ca, database=database)
    deps = replace(site.deps, database=database, ca=ca, escrow=escrow)
    site.database = database
    for device in devices:
        asked = RekeyRequest(Purpose.AUTHENTICATION, device.request)
        given = rekey.rekey(deps, asked, device.shown, source="192.0.2.20").certificate
        superseding.confirm(deps, [thumbprint(given)], PeerCertificate(to_der(given)), source="192.0.2.20")
    database.close()


def _seeded(site: IssuerSite, count: int) -> list[Device]:
    """Issue one credential by the whole story, and as many more like it with people of their own."""
    phone = holder(site, due=False)
    with site.database.snapshot() as tx:
        derivation = tx.execute(sa.select(derivations).where(derivations.c.id == phone.link.begun.derivation.id))
        credential = tx.execute(sa.select(credentials).where(credentials.c.thumbprint == thumbprint(phone.first)))
        like = dict(derivation.mappings().one()), dict(credential.mappings().one())
    bodies = requests()
    devices: list[Device] = []
    while len(devices) < count:
        devices += _page(site, *like, bodies, min(PAGE, count - len(devices)))
    return devices


def _page(
    site: IssuerSite, derivation: dict[str, Any], credential: dict[str, Any], bodies: Iterator[bytes], count: int
) -> list[Device]:
    people = [uuid4() for _ in range(count)]
    with site.database.transaction() as tx:
        _add_people(tx, site, people)
        planned = [_plan(tx, site, person, next(bodies)) for person in people]
    issued = [issuance.complete(site.ca.deps, one).certificate for one in planned]
    rows: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = []
    for person, certificate_id, certificate in zip(people, planned, issued, strict=True):
        fresh = {"id": uuid4(), "undo_id": uuid4(), "authorization_digest": os.urandom(32)}
        made = {**derivation, **fresh, "person_id": person}
        held = {
            **credential,
            "id": uuid4(),
            "derivation_id": made["id"],
            "person_id": person,
            "certificate_id": certificate_id,
            "serial_number": f"{certificate.serial_number:x}",
            "thumbprint": thumbprint(certificate),
        }
        rows.append((made, held, _binding(site, "derived", str(reading.card_uuid(certificate)), person)))
    with site.database.transaction() as tx:
        tx.execute(derivations.insert(), [made for made, _, _ in rows])
        tx.execute(credentials.insert(), [held for _, held, _ in rows])
        tx.execute(directory.bindings.insert(), [bound for _, _, bound in rows])
    site.ca.seal()
    return [Device(PeerCertificate(to_der(certificate)), est.encode_body(next(bodies))) for certificate in issued]


def _plan(tx: sa.Connection, site: IssuerSite, person: UUID, body: bytes) -> UUID:
    name = f"{person}@agency.example"
    wanted = site.ca.request(
        key=verify_proof_of_possession(body),
        subject=SubjectNames(common_name=name[:64], organization="Example Agency", serial_number=str(person)),
        alternative=AlternativeNames(upn=name),
        not_after=site.clock.now() + timedelta(days=3),
    )
    return issuance.plan(tx, site.ca.deps, wanted).id


def _add_people(tx: sa.Connection, site: IssuerSite, people: Sequence[UUID]) -> None:
    now = site.clock.now()
    names = {person: f"{person}@agency.example" for person in people}
    tx.execute(
        directory.people.insert(),
        [
            {
                "id": person,
                "user_principal_name": name,
                "principal_key": name,
                "display_name": name[:64],
                "created_at": now,
                "updated_at": now,
            }
            for person, name in names.items()
        ],
    )
    tx.execute(
        directory.mail_addresses.insert(),
        [{"person_id": person, "position": 0, "address": name, "address_key": name} for person, name in names.items()],
    )
    tx.execute(directory.members.insert(), [{"group_id": site.group, "person_id": person} for person in people])
    tx.execute(directory.bindings.insert(), [_binding(site, "cards", name, person) for person, name in names.items()])


def _binding(site: IssuerSite, entry: str, identifier: str, person: UUID) -> dict[str, Any]:
    now = site.clock.now()
    return {"id": uuid4(), "trust_entry": entry, "identifier": identifier, "person_id": person, "bound_at": now}
