# SPDX-License-Identifier: Apache-2.0
"""Issuing one certificate, storage and audit included: plan and complete, two durable transactions."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bench.measure import Bench
from etymon.audit import sealer
from etymon.ca import ceremony, issuance
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import AlternativeNames, IssuanceRequest, SubjectNames
from etymon.ca.profiles import EXAMPLE_POLICY_OIDS
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.csr import ProvenCSR, verify_proof_of_possession
from etymon.pki.signer import SoftwareSigner
from etymon.storage import migrations
from etymon.storage.database import Database

AUTHORITY_KEYS: Final = {"p256": KeyType.P256, "p384": KeyType.P384, "rsa3072": KeyType.RSA3072}
REQUESTS: Final = 4000
"""More requests than any run consumes: a key is certified once."""


def measure(bench: Bench) -> None:
    """Measure issuance by authorities of each key type on SQLite."""
    requests = [_request() for _ in range(REQUESTS)]
    for name, key_type in AUTHORITY_KEYS.items():
        with tempfile.TemporaryDirectory() as directory:
            deps = _authority(Path(directory), key_type)
            seal = SoftwareSigner(keys.generate(KeyType.P256))
            waiting = iter(requests)
            bench.measure(
                f"issuance.{name}",
                lambda deps=deps, waiting=waiting: _issue(deps, waiting),  # type: ignore[misc]  # bound now
                limit=f"limit.build_and_sign.{name}",
            )
            sealer.seal(deps.database, deps.clock, deps.entropy, seal)
            deps.database.close()


def _issue(deps: Dependencies, waiting: Iterator[ProvenCSR]) -> None:
    csr = next(waiting)
    request = IssuanceRequest(
        ca="derived",
        profile="derived-piv-authentication",
        request_key=csr.spki_sha256.hex(),
        key=csr,
        subject=SubjectNames(common_name="ADAMS.ALICE", organization="Example Agency"),
        alternative=AlternativeNames(upn="alice@agency.example"),
        authorized_by="bench",
    )
    with deps.database.transaction() as tx:
        planned = issuance.plan(tx, deps, request)
    issuance.complete(deps, planned.id)


def _request() -> ProvenCSR:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return verify_proof_of_possession(csr.public_bytes(Encoding.DER))


def _authority(directory: Path, key_type: KeyType) -> Dependencies:
    database = Database(f"sqlite:///{directory / 'bench.db'}")
    migrations.upgrade(database)
    signers = keys.KeyDirectory(directory / "keys", Secret(b"for this run alone"))
    deps = Dependencies(
        database, SystemClock(), SystemEntropy(), signers, EXAMPLE_POLICY_OIDS, "http://status.agency.example"
    )
    organization = SubjectNames(organization="Example Agency")
    ceremony.create(deps, signers, ceremony.deployment(organization, key_type)[:2], actor="bench")
    return deps
