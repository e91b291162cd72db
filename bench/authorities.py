# SPDX-License-Identifier: Apache-2.0
"""What the authorities cost: issuance from request to stored certificate, signed OCSP answers, path validation."""

import base64
import itertools
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as client
from starlette.applications import Starlette

from bench.machine import served
from bench.measure import Bench
from bench.place import KEY_PASSPHRASE, Place
from etymon.audit import sealer, trail
from etymon.audit.model import AuditEvent
from etymon.ca import ceremony, content, issuance, ocsp, template
from etymon.ca.dependencies import Dependencies
from etymon.ca.http import status
from etymon.ca.lint import Linted, require_clean
from etymon.ca.lints import LINTS
from etymon.ca.model import AlternativeNames, IssuanceRequest, IssuedCertificate, SubjectNames
from etymon.ca.profiles import EXAMPLE_POLICY_OIDS, profile_named
from etymon.ca.status import DatabaseStatusSource
from etymon.kernel.clock import SystemClock
from etymon.kernel.entropy import SystemEntropy
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.csr import verify_proof_of_possession
from etymon.pki.keys import KeyDirectory
from etymon.pki.path_validation import validate
from etymon.pki.signer import SoftwareSigner, checked_signature
from etymon.pki.trust_entry import IdentifierKind, TrustEntry, TrustKind
from etymon.storage.database import Database
from support.ca_site import names_for

ORGANIZATION: Final = SubjectNames(organization="Example Agency", country="US")


class Bureau:
    """One hierarchy for derived credentials in a migrated database of its own."""

    def __init__(self, database: Database, directory: Path, kind: KeyType) -> None:
        self.keys = KeyDirectory(directory, KEY_PASSPHRASE)
        self.deps = Dependencies(
            database, SystemClock(), SystemEntropy(), self.keys, EXAMPLE_POLICY_OIDS, "http://status.agency.example"
        )
        hierarchy = ceremony.deployment(ORGANIZATION, kind)[:2]
        ceremony.create(self.deps, self.keys, hierarchy, actor="bench")
        self._sealer = SoftwareSigner(keys.generate(KeyType.P256))
        self._numbers = itertools.count()

    def issue(self, request: bytes) -> IssuedCertificate:
        """Prove, plan, commit, sign, check and commit again."""
        wanted = self.wanted(request)
        with self.deps.database.transaction() as tx:
            planned = issuance.plan(tx, self.deps, wanted)
        return issuance.complete(self.deps, planned.id)

    def wanted(self, request: bytes) -> IssuanceRequest:
        """Prove, and say what is asked for."""
        proven = verify_proof_of_possession(request)
        number = next(self._numbers)
        return IssuanceRequest(
            ca="derived",
            profile="derived-piv-authentication",
            request_key=f"bench-{number}",
            key=proven,
            subject=SubjectNames(common_name=f"ADAMS.ALICE.{number}", organization="Example Agency", country="US"),
            authorized_by="bench",
            alternative=AlternativeNames(upn="alice@agency.example"),
        )

    def issue_card(self, request: bytes) -> IssuedCertificate:
        """Issue the authentication certificate of a card."""
        wanted = IssuanceRequest(
            ca="card",
            profile="piv-authentication",
            request_key="bench-card",
            key=verify_proof_of_possession(request),
            subject=SubjectNames(common_name="ADAMS.ALICE.CARD", organization="Example Agency", country="US"),
            authorized_by="bench",
            alternative=names_for("piv-authentication"),
            not_after=self.deps.clock.now() + timedelta(days=1000),
        )
        return issuance.issue(self.deps, wanted)

    def seal(self) -> None:
        """Do what the worker does every few seconds; issuance stops without it."""
        sealer.seal(self.deps.database, self.deps.clock, self.deps.entropy, self._sealer)


def requests() -> Iterator[bytes]:
    """Yield requests, each with a key of its own."""
    while True:
        key = keys.generate(KeyType.P256)
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        yield builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def measure(name: str, kind: KeyType, bench: Bench, place: Place) -> None:
    """Measure with one kind of authority key."""
    with place.migrated() as database:
        bureau = Bureau(database, place.directory / "keys", kind)
        issued = _measure_issuance(bench, name, bureau)
        _measure_status(bench, name, bureau, issued)
        if kind is KeyType.P256:
            _measure_validation(bench, bureau)


def _measure_issuance(bench: Bench, name: str, bureau: Bureau) -> IssuedCertificate:
    spent = _spent(bench, bureau, next(requests()))
    waiting = list(itertools.islice(requests(), bench.sizes.requests))
    bench.measure(
        f"issuance.{name}",
        lambda: bureau.issue(waiting.pop()),
        limit=f"limit.build_and_sign.{name}",
        made=len(waiting),
        further=lambda rate: _in_all(spent, 1000 / rate),
    )
    bureau.seal()
    return bureau.issue(next(requests()))


def _measure_status(bench: Bench, name: str, bureau: Bureau, issued: IssuedCertificate) -> None:
    asked = client.OCSPRequestBuilder().add_certificate(issued.certificate, issued.chain[0], hashes.SHA256())
    with_nonce = asked.add_extension(x509.OCSPNonce(bytes(32)), critical=False)
    question = with_nonce.build().public_bytes(serialization.Encoding.DER)  # without a nonce it would be signed once
    bench.measure(
        f"ocsp_signed.{name}", lambda: ocsp.answer(bureau.deps, "derived", question), limit=f"limit.sign.{name}"
    )
    if name == "p256":
        _measure_kept(bench, bureau, asked.build().public_bytes(serialization.Encoding.DER))


def _spent(bench: Bench, bureau: Bureau, request: bytes) -> dict[str, float]:
    """Return what an issuance is spent on beside statements and their results, in CPU milliseconds.

    Each part is measured alone and so is warmer than between the others, where it costs up to twice as much.
    """
    wanted, deps = bureau.wanted(request), bureau.deps
    with deps.database.snapshot() as tx:
        authority = issuance.find_authority(tx, wanted.ca)
    what = content.subscriber_content(deps, authority, profile_named(wanted.profile), wanted)
    drafted, signer = template.draft(what), deps.signer(wanted.ca)
    event = AuditEvent("bench:event:recorded", "bench", "bench", facts={"profile": wanted.profile, "serial": "0"})
    with deps.database.transaction() as tx:
        audited = bench.milliseconds(lambda: trail.record(tx, deps.clock, deps.entropy, event))
        tx.rollback()
    return {
        "prove_ms": bench.milliseconds(lambda: verify_proof_of_possession(request)),
        "build_ms": bench.milliseconds(lambda: template.draft(what)),
        "lint_ms": bench.milliseconds(
            lambda: require_clean(Linted(drafted, what.profile, authority.certificate, what.policies), LINTS)
        ),
        "audit_ms": round(2 * audited, 3),
        "commit_ms": round(2 * 1000 / bench.measured["limit.commit.sqlite"], 3),
        "sign_and_check_ms": bench.milliseconds(lambda: checked_signature(signer, drafted.tbs_certificate_bytes)),
    }


def _in_all(spent: Mapping[str, float], total: float) -> Mapping[str, float]:
    """Return the parts of an issuance with what is left of it, which they add up to."""
    return {**spent, "statements_ms": round(total - sum(spent.values()), 3), "total_ms": round(total, 3)}


def _measure_kept(bench: Bench, bureau: Bureau, question: bytes) -> None:
    """Measure the answer that caches keep, over HTTP as they fetch it."""
    with served(Starlette(routes=status.routes(bureau.deps))) as url, httpx.Client() as relying_party:
        address = f"{url}ocsp/derived/{quote(base64.b64encode(question), safe='')}"
        bench.measure("ocsp_cached", lambda: relying_party.get(address).raise_for_status(), limit="limit.http")


def _measure_validation(bench: Bench, bureau: Bureau) -> None:
    """Measure the path of a PIV card: root, intermediate, issuing authority, card; policies and status included."""
    ceremony.create(bureau.deps, bureau.keys, ceremony.card_issuer(ORGANIZATION), actor="bench")
    card = bureau.issue_card(next(requests()))
    entry = TrustEntry(
        name="cards",
        kind=TrustKind.CARD,
        anchors=(card.chain[-1],),
        intermediates=card.chain[:-1],
        policies=frozenset({EXAMPLE_POLICY_OIDS["piv-authentication"]}),
        identifier=IdentifierKind.UUID,
    )
    source = DatabaseStatusSource(bureau.deps.database)
    now = bureau.deps.clock.now()
    assert len(validate(card.certificate, entry, at=now, status=source).certificates) == 4
    bench.measure(
        "path_validation",
        lambda: validate(card.certificate, entry, at=now, status=source),
        limit="limit.sign.p256",
    )
