# SPDX-License-Identifier: Apache-2.0
"""Builds the list of an authority once and prints what that took: `python -m bench.list_builder DATABASE KEYS`.

It imports no more than it needs, since its memory is measured.
"""

import json
import sys
import time
from pathlib import Path

from cryptography import x509

from bench.measure import peak_mb
from bench.place import KEY_PASSPHRASE
from etymon.ca import crl
from etymon.ca.dependencies import Dependencies
from etymon.ca.profiles import EXAMPLE_POLICY_OIDS
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.pki.keys import KeyDirectory
from etymon.storage.database import Database


def build(url: str, keys: Path) -> None:
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
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb("self"), "entries": entries}))


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]))
