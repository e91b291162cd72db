# SPDX-License-Identifier: Apache-2.0
"""Status among a million certificates, one in ten revoked: OCSP answers as the table grows, and the list of them all.

The list is built by a process of its own (`python -m bench.million DATABASE KEYS`), whose memory is measured.
"""

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as client

from bench.authorities import KEY_PASSPHRASE, Bureau
from bench.measure import Bench
from etymon.ca import authorities, crl, ocsp
from etymon.ca.dependencies import Dependencies
from etymon.ca.profiles import EXAMPLE_POLICY_OIDS
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.pki.algorithms import KeyType
from etymon.pki.keys import KeyDirectory
from etymon.storage.database import Database
from support import many_certificates

COUNTS: Final = (10_000, 100_000, 1_000_000)
REVOKED_ONE_IN: Final = 10
ASKED_ABOUT: Final = 1000
"""How many certificates the questions are about, spread over all."""

BUILDS: Final = 3


def measure(bench: Bench, database: Database, keys: Path) -> None:
    """Fill an empty database step by step and measure at each; then have the list built."""
    bureau = Bureau(database, keys, KeyType.P256)
    filled = 0
    for count in COUNTS:
        numbers = range(filled, count)
        many_certificates.seed(database, "derived", numbers, one_in=REVOKED_ONE_IN, now=bureau.deps.clock.now())
        filled = count
        _measure_answers(bench, bureau, count)
    built = [_built(database, keys) for _ in range(BUILDS)]
    bench.report(
        f"crl_build.million.{database.dialect}",
        [1 / run["cpu_seconds"] for run in built],
        [1 / run["seconds"] for run in built],
        seconds=round(max(run["seconds"] for run in built), 2),
        peak_mb=round(max(run["peak_mb"] for run in built), 1),
        entries=built[-1]["entries"],
    )
    database.close()


def _measure_answers(bench: Bench, bureau: Bureau, count: int) -> None:
    with bureau.deps.database.snapshot() as tx:
        issuer = authorities.load(tx, "derived").certificate
    step = count // ASKED_ABOUT
    serials = [many_certificates.serial(number) for number in range(0, count, step)]
    engine = bureau.deps.database.dialect
    for name, nonce in ((f"ocsp_signed.p256.{engine}.{count}", bytes(32)), (f"ocsp_kept.{engine}.{count}", None)):
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
    url = database.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "bench.million", url, str(keys)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this program
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _build(url: str, keys: Path) -> None:
    """Build the list once and print what it took."""
    deps = Dependencies(
        Database(url),
        SystemClock(),
        SystemEntropy(),
        KeyDirectory(keys, KEY_PASSPHRASE),
        EXAMPLE_POLICY_OIDS,
        "http://status.agency.example",
    )
    cpu, wall = time.process_time(), time.perf_counter()
    made = crl.publish(deps, "derived")
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    if made is None:
        message = "another process made a list at the same time"
        raise RuntimeError(message)
    entries = len(x509.load_der_x509_crl(made.der))
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": _peak_mb(), "entries": entries}))


def _peak_mb() -> float:
    """Return the most memory this program has had; `getrusage` would count what the process was before it."""
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(peak) / 1024


if __name__ == "__main__":
    _build(sys.argv[1], Path(sys.argv[2]))
