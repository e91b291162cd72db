# SPDX-License-Identifier: Apache-2.0
"""Lists when there is much to list: written from the index, seldom enough, and lying where a web server finds them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from etymon.ca import ceremony, crl, publication, revocation
from etymon.ca.crl import BYTES_A_SECOND
from etymon.ca.model import RevocationReason
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import NotFound, Unavailable
from etymon.storage import jobs
from etymon.storage.database import Database
from support import many_certificates
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock

MANY = 20_000


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    found = CASite(database, clock, entropy, tmp_path, hierarchy=ceremony.deployment(ORGANIZATION)[:2])
    found.deps = replace(found.deps, public_directory=tmp_path / "public")
    return found


def revoke_one(site: CASite) -> None:
    issued = site.issue()
    with site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, issued.id, RevocationReason.SUPERSEDED, actor="officer:7")


def run_job(site: CASite, clock: TurnedClock) -> int:
    """Do what waits to be published, as a worker does; return how many jobs that were."""
    claimed = jobs.claim(site.deps.database, clock, [revocation.PUBLISH_CRL])
    for job in claimed:
        crl.publish_asked(site.deps, job)
    return len(claimed)


def number(site: CASite) -> int:
    return crl.current(site.deps, "derived").number


def test_a_long_list_has_what_it_should(site: CASite, clock: TurnedClock) -> None:
    many_certificates.seed(site.deps.database, "derived", range(MANY), one_in=2, now=clock.now(), body_bytes=20)
    made = crl.publish(site.deps, "derived")
    assert made is not None
    listed = x509.load_der_x509_crl(made.der)
    expected = {many_certificates.serial(number) for number in range(0, MANY, 2)}
    assert {entry.serial_number for entry in listed} == expected
    assert len(listed) == len(expected)


def test_revocations_in_a_row_are_published_together(site: CASite, clock: TurnedClock) -> None:
    before = number(site)
    for _ in range(25):
        revoke_one(site)
    assert run_job(site, clock) == 1
    assert number(site) == before + 1
    assert len(x509.load_der_x509_crl(crl.current(site.deps, "derived").der)) == 25
    assert run_job(site, clock) == 0


def test_a_long_list_is_not_made_again_before_its_turn(site: CASite, clock: TurnedClock) -> None:
    many_certificates.seed(site.deps.database, "derived", range(6000), one_in=1, now=clock.now(), body_bytes=20)
    made = crl.publish(site.deps, "derived")
    assert made is not None
    pause = timedelta(seconds=len(made.der) // BYTES_A_SECOND)
    assert pause >= timedelta(seconds=2)
    for _ in range(3):
        revoke_one(site)
        run_job(site, clock)
    assert number(site) == made.number
    clock.advance(pause - timedelta(seconds=1))
    assert run_job(site, clock) == 0
    clock.advance(timedelta(seconds=1))
    assert run_job(site, clock) == 1
    assert number(site) == made.number + 1
    with site.deps.database.snapshot() as tx:
        head = crl.head(tx, "derived")
        assert (head.covers, tx.scalar(sa.select(sa.func.count()).select_from(jobs.jobs))) == (head.changes, 0)


def test_a_revocation_while_its_list_is_published_has_the_job_run_once_more(site: CASite, clock: TurnedClock) -> None:
    revoke_one(site)
    (job,) = jobs.claim(site.deps.database, clock, [revocation.PUBLISH_CRL])
    crl.refresh(site.deps, "derived")
    revoke_one(site)
    with site.deps.database.transaction() as tx:
        jobs.complete(tx, job)
    assert run_job(site, clock) == 1
    with site.deps.database.snapshot() as tx:
        assert not crl.head(tx, "derived").is_due(clock.now())


def test_whoever_asks_for_a_list_never_makes_one(site: CASite, clock: TurnedClock) -> None:
    last = crl.current(site.deps, "derived")
    revoke_one(site)
    clock.advance(timedelta(days=3))
    assert crl.current(site.deps, "derived") == last
    with site.deps.database.transaction() as tx:
        tx.execute(sa.text("DELETE FROM ca_revocation_lists"))
    with pytest.raises(Unavailable, match="list_missing"):
        crl.current(site.deps, "derived")
    with pytest.raises(NotFound):
        crl.current(site.deps, "nobody")


def test_a_list_is_about_to_lapse_when_its_successor_is_long_due(site: CASite, clock: TurnedClock) -> None:
    def lapsing() -> set[tuple[str, bool]]:
        with site.deps.database.snapshot() as tx:
            return {(head.ca, head.offline) for head in crl.heads(tx) if head.is_about_to_lapse(clock.now())}

    clock.advance(timedelta(hours=24))
    assert lapsing() == set()
    clock.advance(timedelta(seconds=1))
    assert lapsing() == {("derived", False)}
    crl.refresh(site.deps, "derived")
    assert lapsing() == set()
    clock.advance(timedelta(days=36))
    assert lapsing() == {("derived", False), ("derived-root", True)}


def test_files_for_web_servers_lie_under_the_paths_that_certificates_name(site: CASite) -> None:
    public = site.deps.public_directory
    assert public is not None
    revoke_one(site)
    made = crl.refresh(site.deps, "derived")
    file = public / "crl" / "derived.crl"
    assert file.read_bytes() == made.der  # written with the list, before any duty comes by
    assert datetime.fromtimestamp(file.stat().st_mtime, UTC) == made.this_update
    publication.write_all(site.deps)
    assert {str(found.relative_to(public)) for found in public.rglob("*.*") if found.name != ".lock"} == {
        *(f"crl/{name}.crl" for name in ("derived", "derived-root")),
        *(
            f"certificates/{name}{end}"
            for name in ("derived", "derived-root")
            for end in (".cer", ".p7c", "-issued.p7c")
        ),
    }
    (certificate,) = pkcs7.load_der_pkcs7_certificates((public / "certificates" / "derived.p7c").read_bytes())
    assert certificate == site.authorities["derived"].certificate
    assert all(found.stat().st_mode & 0o777 == 0o644 for found in public.rglob("*.c*"))
    assert all(found.stat().st_mode & 0o777 == 0o755 for found in (public, public / "crl", public / "certificates"))


@pytest.mark.parametrize(
    "harm",
    [lambda file: file.unlink(), lambda file: file.write_bytes(b"half"), lambda file: file.write_bytes(b"")],
    ids=["missing", "cut off", "empty"],
)
def test_a_file_that_is_not_as_it_should_be_is_written_again(harm: Callable[[Path], object], site: CASite) -> None:
    public = site.deps.public_directory
    assert public is not None
    publication.write_all(site.deps)
    for file, expected in [(found, found.read_bytes()) for found in public.rglob("*.c*")]:
        harm(file)
        publication.write_all(site.deps)
        assert file.read_bytes() == expected


def test_of_many_who_write_the_newest_list_lies_there_at_the_end(site: CASite) -> None:
    public = site.deps.public_directory
    assert public is not None
    gate, file = threading.Barrier(3), public / "crl" / "derived.crl"
    publication.write_all(site.deps)
    read: list[int] = []

    def make() -> None:
        gate.wait(timeout=30)
        for _ in range(4):
            crl.publish(site.deps, "derived")

    def look() -> None:
        gate.wait(timeout=30)
        for _ in range(50):
            listed = x509.load_der_x509_crl(file.read_bytes())
            read.extend(
                found.value.crl_number for found in listed.extensions if isinstance(found.value, x509.CRLNumber)
            )

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(act) for act in (make, make, look)]:
            future.result(timeout=60)
    assert read == sorted(read)
    assert file.read_bytes() == crl.current(site.deps, "derived").der


def test_a_list_is_published_though_its_file_cannot_be_written(site: CASite, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the directory should be")
    site.deps = replace(site.deps, public_directory=blocked)
    revoke_one(site)
    before = number(site)
    assert crl.refresh(site.deps, "derived").number == before + 1
    with pytest.raises(OSError, match="blocked"):
        publication.write_all(site.deps)
