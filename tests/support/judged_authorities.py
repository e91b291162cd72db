# SPDX-License-Identifier: Apache-2.0
"""Authorities of both hierarchies with their status listener, and the files that outside judges read."""

import subprocess
from pathlib import Path

import httpx

from etymon.ca import crl, holds, revocation
from etymon.ca.model import IssuedCertificate, RevocationReason
from etymon.kernel.entropy import SystemEntropy
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Database
from support.ca_site import CASite, every_kind, pem
from support.ca_status import StatusListener
from support.clock import TurnedClock


class Judged:
    """What runs, and short sentences to have it judged."""

    def __init__(self, database: Database, directory: Path, listener: StatusListener) -> None:
        self.clock = TurnedClock()
        self.directory = directory
        hierarchy = every_kind(KeyType.P384)
        self.site = CASite(
            database, self.clock, SystemEntropy(), directory, status_url=listener.url, hierarchy=hierarchy
        )
        self.listener = listener
        listener.serve(self.site.deps)

    def file(self, name: str, content: bytes) -> str:
        path = self.directory / name
        path.write_bytes(content)
        return str(path)

    def openssl(self, *arguments: str) -> tuple[int, str]:
        return self.run("openssl", *arguments)

    def run(self, *command: str) -> tuple[int, str]:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return run.returncode, run.stdout + run.stderr

    def chain(self, issued: IssuedCertificate) -> list[str]:
        return [
            "-CAfile",
            self.file("root.pem", pem(issued.chain[-1])),
            "-untrusted",
            self.file("chain.pem", pem(*issued.chain[:-1])),
        ]

    def revoke(self, issued: IssuedCertificate, reason: RevocationReason = RevocationReason.KEY_COMPROMISE) -> None:
        with self.site.deps.database.transaction() as tx:
            revocation.revoke(tx, self.site.deps, issued.id, reason, actor="officer")
        crl.refresh(self.site.deps, self.authority(issued))

    def hold(self, issued: IssuedCertificate) -> None:
        with self.site.deps.database.transaction() as tx:
            holds.hold(tx, self.site.deps, issued.id, requested_by="person", actor="officer")
        crl.refresh(self.site.deps, self.authority(issued))

    def restore(self, issued: IssuedCertificate) -> None:
        with self.site.deps.database.transaction() as tx:
            holds.restore(
                tx, self.site.deps, issued.id, requested_by="person", actor="officer", identity_evidence="session:1"
            )
        crl.refresh(self.site.deps, self.authority(issued))

    def ask(self, issued: IssuedCertificate, *options: str) -> tuple[int, str]:
        issuer = self.file("issuer.pem", pem(issued.chain[0]))
        return self.openssl(
            "ocsp",
            "-url",
            f"{self.listener.url}/ocsp/{self.authority(issued)}",
            "-issuer",
            issuer,
            *options,
            "-cert",
            self.file("leaf.pem", pem(issued.certificate)),
            "-CAfile",
            self.file("root.pem", pem(*issued.chain)),
        )

    def authority(self, issued: IssuedCertificate) -> str:
        return next(name for name, found in self.site.authorities.items() if found.certificate == issued.chain[0])

    def get(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        with httpx.Client() as client:
            told = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.request(method, f"{self.listener.url}{path}", headers=told)

    def post(self, path: str, body: bytes, media_type: str = "application/ocsp-request") -> httpx.Response:
        with httpx.Client() as client:
            return client.post(f"{self.listener.url}{path}", content=body, headers={"Content-Type": media_type})
