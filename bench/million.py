# SPDX-License-Identifier: Apache-2.0
"""Status among a million certificates, one in ten revoked: OCSP answers as the table grows, and the list of them all.

The list is built by a process of its own (`bench/list_builder.py`), whose memory is measured.
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as client

from bench.authorities import Bureau
from bench.measure import Bench
from bench.place import Place, url_of
from bench.sizes import Sizes
from etymon.ca import authorities, ocsp
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Database
from support import many_certificates

REVOKED_ONE_IN: Final = 10
ASKED_ABOUT: Final = 1000
"""How many certificates the questions are about, spread over all."""

BAR_SECONDS: Final = 20
BAR_PEAK_MB: Final = 500
"""What the list of a million certificates may take."""


def lines(engine: str, sizes: Sizes) -> tuple[str, ...]:
    """Return the names of what is printed."""
    answers = [name for count in sizes.certificates for name in _answers(engine, count)]
    return (*answers, _build_line(engine, sizes.certificates[-1]))


def measure(bench: Bench, place: Place) -> None:
    """Fill a database step by step and measure at each; then have the list built."""
    keys, filled = place.directory / "keys", 0
    with place.migrated() as database:
        bureau = Bureau(database, keys, KeyType.P256)
        for count in bench.sizes.certificates:
            numbers = range(filled, count)
            many_certificates.seed(database, "derived", numbers, one_in=REVOKED_ONE_IN, now=bureau.deps.clock.now())
            filled = count
            _measure_answers(bench, bureau, count)
        built = [_built(database, keys) for _ in range(bench.sizes.list_builds)]
    bench.report(
        _build_line(place.engine, filled),
        [1 / run["cpu_seconds"] for run in built],
        [1 / run["seconds"] for run in built],
        further=lambda _: {
            "seconds": round(max(run["seconds"] for run in built), 2),
            "bar_seconds": BAR_SECONDS,
            "peak_mb": round(max(run["peak_mb"] for run in built), 1),
            "bar_peak_mb": BAR_PEAK_MB,
            "entries": built[-1]["entries"],
        },
    )


def _answers(engine: str, count: int) -> tuple[str, str]:
    return f"ocsp_signed.p256.{engine}.{count}", f"ocsp_kept.{engine}.{count}"


def _build_line(engine: str, count: int) -> str:
    return f"crl_build.{'million' if count == 1_000_000 else count}.{engine}"


def _measure_answers(bench: Bench, bureau: Bureau, count: int) -> None:
    with bureau.deps.database.snapshot() as tx:
        issuer = authorities.load(tx, "derived").certificate
    step = max(1, count // ASKED_ABOUT)
    serials = [many_certificates.serial(number) for number in range(0, count, step)]
    for name, nonce in zip(_answers(bureau.deps.database.dialect, count), (bytes(32), None), strict=True):
        questions = [_question(issuer, serial, nonce) for serial in serials]
        for question in questions:
            ocsp.answer(bureau.deps, "derived", question)
        bench.measure(name, _asking(bureau, questions), limit="limit.sign.p256")


def _asking(bureau: Bureau, questions: list[bytes]) -> Callable[[], object]:
    endless = itertools.cycle(questions)
    return lambda: ocsp.answer(bureau.deps, "derived", next(endless))


def _question(issuer: x509.Certificate, serial: int, nonce: bytes | None) -> bytes:
    identifier = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key()).digest  # SHA-1 of the key's bits
    name = hashes.Hash(hashes.SHA1())  # noqa: S303 - what most clients send
    name.update(issuer.subject.public_bytes())
    asked = client.OCSPRequestBuilder().add_certificate_by_hash(name.finalize(), identifier, serial, hashes.SHA1())  # noqa: S303 - the same
    if nonce is not None:
        asked = asked.add_extension(x509.OCSPNonce(nonce), critical=False)
    return asked.build().public_bytes(serialization.Encoding.DER)


def _built(database: Database, keys: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.list_builder", url_of(database), str(keys)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this program
    found: dict[str, float] = json.loads(done.stdout)
    return found
