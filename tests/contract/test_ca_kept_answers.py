# SPDX-License-Identifier: Apache-2.0
"""Kept OCSP answers: signed once for all who ask without a nonce, and never older than what they say."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as client

from etymon.ca import ceremony, holds, ocsp, responder, revocation, store
from etymon.ca.model import IssuedCertificate, RevocationReason
from etymon.ca.ocsp import ANSWER_LIFETIME, KEPT_FOR, AnswerKind
from etymon.kernel.entropy import Entropy
from etymon.pki.signer import Signer
from etymon.storage.database import Database
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock

GOOD, REVOKED, UNKNOWN = (
    client.OCSPCertStatus.GOOD,
    client.OCSPCertStatus.REVOKED,
    client.OCSPCertStatus.UNKNOWN,
)
SECOND = timedelta(seconds=1)


@pytest.fixture
def site(database: Database, clock: TurnedClock, entropy: Entropy, tmp_path: Path) -> CASite:
    return CASite(database, clock, entropy, tmp_path, hierarchy=ceremony.deployment(ORGANIZATION)[:2])


def question(issued: IssuedCertificate, hash_: hashes.HashAlgorithm | None = None, nonce: bytes | None = None) -> bytes:
    asked = client.OCSPRequestBuilder().add_certificate(issued.certificate, issued.chain[0], hash_ or hashes.SHA256())
    if nonce is not None:
        asked = asked.add_extension(x509.OCSPNonce(nonce), critical=False)
    return asked.build().public_bytes(serialization.Encoding.DER)


def ask(site: CASite, request: bytes) -> tuple[AnswerKind, client.OCSPCertStatus, ocsp.Answer]:
    found = ocsp.answer(site.deps, "derived", request)
    return found.kind, client.load_der_ocsp_response(found.der).certificate_status, found


def revoke(site: CASite, issued: IssuedCertificate) -> None:
    with site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, issued.id, RevocationReason.KEY_COMPROMISE, actor="officer:7")


def test_an_answer_is_signed_once_for_all_who_ask_alike(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    kind, status, first = ask(site, question(issued))
    assert (kind, status, first.cacheable) == (AnswerKind.SIGNED, GOOD, True)
    clock.advance(timedelta(minutes=10))
    kind, status, second = ask(site, question(issued))
    assert (kind, second.der) == (AnswerKind.KEPT, first.der)
    assert (second.produced_at, second.next_update) == (first.produced_at, first.produced_at + ANSWER_LIFETIME)
    kind, _, other_hash = ask(site, question(issued, hashes.SHA1()))  # noqa: S303 - what most clients send
    assert kind is AnswerKind.SIGNED  # never under another hash than the question's
    assert isinstance(client.load_der_ocsp_response(other_hash.der).hash_algorithm, hashes.SHA1)
    assert ask(site, question(issued, hashes.SHA1()))[0] is AnswerKind.KEPT  # noqa: S303 - the same


def test_a_kept_answer_is_replaced_while_it_still_holds(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    first = ask(site, question(issued))[2]
    clock.advance(KEPT_FOR - SECOND)
    assert ask(site, question(issued))[2].der == first.der
    clock.advance(SECOND)
    kind, _, second = ask(site, question(issued))
    assert (kind, second.produced_at) == (AnswerKind.SIGNED, clock.now())
    assert ask(site, question(issued))[2].der == second.der
    clock.advance(-KEPT_FOR)  # a clock that is set back: nothing from the future is shown
    assert ask(site, question(issued))[0] is AnswerKind.SIGNED


def test_a_nonce_gets_an_answer_of_its_own_unless_nonces_are_off(site: CASite) -> None:
    issued = site.issue()
    kept = ask(site, question(issued))[2]
    kind, _, mine = ask(site, question(issued, nonce=b"n" * 32))
    assert (kind, mine.cacheable) == (AnswerKind.SIGNED, False)
    nonce = client.load_der_ocsp_response(mine.der).extensions.get_extension_for_class(x509.OCSPNonce)
    assert (nonce.value.nonce, nonce.critical) == (b"n" * 32, False)
    site.deps = replace(site.deps, ocsp_nonces=False)
    kind, _, same = ask(site, question(issued, nonce=b"n" * 32))
    assert (kind, same.der, same.cacheable) == (AnswerKind.KEPT, kept.der, True)


def test_a_change_of_status_is_told_at_once(site: CASite) -> None:
    issued, other = site.issue(), site.issue()
    for one in (issued, other):
        ask(site, question(one))
    who = {"requested_by": "person:9", "actor": "officer:7"}
    with site.deps.database.transaction() as tx:
        holds.hold(tx, site.deps, issued.id, **who)
    assert ask(site, question(issued))[:2] == (AnswerKind.SIGNED, REVOKED)
    assert ask(site, question(issued))[:2] == (AnswerKind.KEPT, REVOKED)
    with site.deps.database.transaction() as tx:
        holds.restore(tx, site.deps, issued.id, **who, identity_evidence="card-session:12")
    assert ask(site, question(issued))[:2] == (AnswerKind.SIGNED, GOOD)
    revoke(site, issued)
    assert ask(site, question(issued))[:2] == (AnswerKind.SIGNED, REVOKED)
    assert ask(site, question(other))[:2] == (AnswerKind.KEPT, GOOD)


class Interrupted(Mapping[str, Signer]):
    """Signers between whose use and whose signature something happens."""

    def __init__(self, signers: Mapping[str, Signer], act: object) -> None:
        self._signers, self._act = signers, act

    def __getitem__(self, name: str) -> Signer:
        signer, act = self._signers[name], self._act

        class Slow:
            public_key, algorithm = signer.public_key, signer.algorithm

            def sign(self, tbs: bytes) -> bytes:
                assert callable(act)
                act()
                return signer.sign(tbs)

        return Slow()

    def __iter__(self) -> Iterator[str]:
        return iter(self._signers)

    def __len__(self) -> int:
        return len(self._signers)


def test_an_answer_that_a_revocation_overtook_is_not_kept(site: CASite) -> None:
    issued = site.issue()
    overtaken = replace(site.deps, signers=Interrupted(site.keys, lambda: revoke(site, issued)))
    assert (
        client.load_der_ocsp_response(ocsp.answer(overtaken, "derived", question(issued)).der).certificate_status
        is GOOD
    )  # it was, when it was looked at
    assert ask(site, question(issued))[:2] == (AnswerKind.SIGNED, REVOKED)


def test_with_a_responder_all_its_answers_end(site: CASite, clock: TurnedClock) -> None:
    issued = site.issue()
    first = ask(site, question(issued))[2]
    with site.deps.database.snapshot() as tx:
        record = store.newest_responder(tx, "derived", clock.now())
    assert record is not None
    with site.deps.database.transaction() as tx:
        revocation.revoke(tx, site.deps, record.id, RevocationReason.KEY_COMPROMISE, actor="officer:7")
    clock.advance(timedelta(minutes=1))
    assert responder.renew(site.deps, site.keys, "derived", actor="worker")
    kind, _, second = ask(site, question(issued))
    certificates = [client.load_der_ocsp_response(found.der).certificates[0] for found in (first, second)]
    assert kind is AnswerKind.SIGNED
    assert certificates[0].public_key() != certificates[1].public_key()


def test_what_is_unknown_or_asked_together_or_oddly_is_not_kept(site: CASite) -> None:
    issued, other = site.issue(), site.issue()
    missing = client.OCSPRequestBuilder().add_certificate(issued.chain[0], issued.chain[0], hashes.SHA256()).build()
    unknown = missing.public_bytes(serialization.Encoding.DER)
    for _ in range(2):
        kind, status, found = ask(site, unknown)
        assert (kind, status, found.cacheable) == (AnswerKind.SIGNED, UNKNOWN, False)
        assert ask(site, question(issued, hashes.SHA384()))[0] is AnswerKind.SIGNED
    plain = question(other)
    null = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00"  # SHA-256 with its NULL parameters
    assert null in plain
    odd = plain.replace(null, null[:-2] + b"\x02\x00")  # an empty INTEGER in their place: any bytes would do
    assert [ocsp.answer(site.deps, "derived", odd).kind for _ in range(2)] == [AnswerKind.SIGNED] * 2
    assert [ask(site, plain)[0] for _ in range(2)] == [AnswerKind.SIGNED, AnswerKind.KEPT]


def test_answers_that_are_over_are_forgotten_some_at_a_time(site: CASite, clock: TurnedClock) -> None:
    for _ in range(3):
        ask(site, question(site.issue()))
    assert ocsp.forget_old(site.deps, at_a_time=2) == 0
    clock.advance(ANSWER_LIFETIME)
    assert ocsp.forget_old(site.deps, at_a_time=2) == 3
