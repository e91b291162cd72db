# SPDX-License-Identifier: Apache-2.0
"""Authorities, responders and escrow whose keys are in a PKCS#11 token. OpenSSL judges; the token fails meanwhile."""

import subprocess
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.ca import ceremony, crl, issuance, ocsp, revocation
from etymon.ca.model import CertificateState, RevocationReason
from etymon.escrow.key_encryption import SoftwareKeyEncryptionKey, TokenKeyEncryptionKey
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.token import Token
from etymon.pki.token_keys import TokenCipher, TokenKeys
from etymon.storage.database import Database
from support.ca_site import ORGANIZATION, CASite
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.tokens import (
    DEVICE_REMOVED,
    FAULT_SHIM_PROGRAMS,
    SESSION_HANDLE_INVALID,
    Faults,
    TestToken,
    Tokens,
)

pytestmark = pytest.mark.needs("softhsm2-util", "openssl")


def openssl(*arguments: str | Path) -> tuple[int, str]:
    run = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)
    return run.returncode, run.stdout + run.stderr


def in_token(database: Database, directory: Path, token: Token, kind: KeyType, entropy: Entropy) -> CASite:
    """Return a root and an issuing authority all of whose keys are in a token."""
    site, keys = CASite(database, TurnedClock(), entropy, directory, hierarchy=()), TokenKeys(token)
    site.deps = replace(site.deps, signers=keys)
    made = ceremony.create(site.deps, keys, ceremony.deployment(ORGANIZATION, kind)[:2], actor="init")
    site.authorities = {authority.name: authority for authority in made}
    return site


@pytest.mark.parametrize("kind", [KeyType.RSA3072, KeyType.P256, KeyType.P384])
def test_openssl_verifies_certificate_list_and_answer(
    kind: KeyType, sqlite_databases: SQLiteDatabases, tokens: Tokens, tmp_path: Path, entropy: Entropy
) -> None:
    database = sqlite_databases.migrated()
    site = in_token(database, tmp_path, tokens.make().open(), kind, entropy)
    leaf, root, issuer, revoked = (tmp_path / name for name in ("leaf", "root", "issuer", "list"))
    issued = site.issue()
    leaf.write_bytes(issued.certificate.public_bytes(Encoding.PEM))
    issuer.write_bytes(issued.chain[0].public_bytes(Encoding.PEM))
    root.write_bytes(issued.chain[1].public_bytes(Encoding.PEM))
    at = f"{site.deps.clock.now():%s}"
    verify = ("verify", "-x509_strict", "-attime", at, "-CAfile", root, "-untrusted", issuer, leaf)
    assert openssl(*verify) == (0, f"{leaf}: OK\n")
    with database.transaction() as tx:
        revocation.revoke(tx, site.deps, issued.id, RevocationReason.KEY_COMPROMISE, actor="officer:7")
    listed = x509.load_der_x509_crl(crl.refresh(site.deps, "derived").der)
    revoked.write_bytes(listed.public_bytes(Encoding.PEM))
    assert "certificate revoked" in openssl(*verify[:-1], "-crl_check", "-CRLfile", revoked, leaf)[1]
    question, answer = tmp_path / "question", tmp_path / "answer"
    openssl("ocsp", "-issuer", issuer, "-cert", leaf, "-reqout", question, "-no_nonce")
    answer.write_bytes(ocsp.answer(site.deps, "derived", question.read_bytes()).der)
    _, told = openssl("ocsp", "-respin", answer, "-issuer", issuer, "-cert", leaf, "-CAfile", root, "-attime", at)
    assert "Response verify OK" in told
    assert f"{leaf}: revoked" in told
    database.close()


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_what_was_planned_while_the_token_was_away_is_issued_once_when_it_is_back(
    database: Database, faulty: TestToken, faults: Faults, tmp_path: Path, entropy: Entropy
) -> None:
    site = in_token(database, tmp_path, faulty.open(), KeyType.P256, entropy)
    with faults.unplugged(faulty.slot):
        with database.transaction() as tx:
            planned = issuance.plan(tx, site.deps, site.request())
        with pytest.raises(Unavailable, match="token_not_present"):
            issuance.complete(site.deps, planned.id)
        site.seal()
        site.deps.clock.advance(timedelta(minutes=6))  # type: ignore[attr-defined]  # a turned clock
        assert issuance.sweep(site.deps) == 0
        with database.snapshot() as tx:
            record = issuance.find_record(tx, planned.id)
        assert record.state is CertificateState.PLANNED
        with pytest.raises(Unavailable):
            crl.publish(site.deps, "derived")
    assert issuance.sweep(site.deps) == 1
    issued = issuance.complete(site.deps, planned.id)
    assert issuance.complete(site.deps, planned.id).certificate == issued.certificate
    faults.fail(DEVICE_REMOVED, 1)  # in the middle of a signature: another session, the same certificate
    assert site.issue().certificate.issuer == issued.certificate.issuer


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_a_token_that_hangs_in_the_middle_of_an_issuance_lets_go_of_it(
    sqlite_databases: SQLiteDatabases, faulty: TestToken, faults: Faults, tmp_path: Path, entropy: Entropy
) -> None:
    database = sqlite_databases.migrated()
    site = in_token(database, tmp_path, faulty.open(limit_seconds=0.3), KeyType.P256, entropy)
    with database.transaction() as tx:
        planned = issuance.plan(tx, site.deps, site.request())
    with faults.hanging(), pytest.raises(Unavailable, match="token_silent"):
        issuance.complete(site.deps, planned.id)
    assert issuance.complete(site.deps, planned.id).id == planned.id
    database.close()


def test_escrowed_keys_open_with_the_token_alone(tokens: Tokens, entropy: Entropy) -> None:
    token, plain = tokens.make(), Secret(b"a private key" * 100)
    TokenCipher(token.open(), "escrow").generate(entropy.octets(32))
    kept = TokenKeyEncryptionKey(TokenCipher(token.open(), "escrow"), entropy)
    wrapped = kept.wrap(plain, b"context")
    again = TokenKeyEncryptionKey(TokenCipher(token.open(), "escrow"), entropy)
    assert (again.id, len(again.id) <= 80) == (kept.id, True)
    assert again.unwrap(wrapped, b"context") == plain
    for damaged, context in ((wrapped, b"other"), (wrapped[:-1], b"context"), (b"", b"context")):
        with pytest.raises(Unavailable, match="escrowed_key_unusable"):
            again.unwrap(damaged, context)
    elsewhere = tokens.make()
    TokenCipher(elsewhere.open(), "escrow").generate(uuid.uuid4().bytes)
    for other in (
        TokenKeyEncryptionKey(TokenCipher(elsewhere.open(), "escrow"), entropy),
        SoftwareKeyEncryptionKey(Secret(bytes(32)), entropy),
    ):
        assert other.id != kept.id
        with pytest.raises(Unavailable, match="escrowed_key_unusable"):
            other.unwrap(wrapped, b"context")


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
def test_what_escrow_keeps_is_not_given_up_while_the_token_is_away(
    faulty: TestToken, faults: Faults, entropy: Entropy
) -> None:
    plain, cipher = Secret(b"a private key" * 100), TokenCipher(faulty.open(), "escrow")
    cipher.generate(entropy.octets(32))
    kept = TokenKeyEncryptionKey(cipher, entropy)
    faults.fail(DEVICE_REMOVED, 1)  # in the middle of a deposit
    wrapped = kept.wrap(plain, b"context")
    with faults.unplugged(faulty.slot):
        for act in (lambda: kept.wrap(plain, b"context"), lambda: kept.unwrap(wrapped, b"context")):
            with pytest.raises(Unavailable, match="token_not_present"):  # and not `escrowed_key_unusable`
                act()
    faults.fail(DEVICE_REMOVED, 1)  # in the middle of a release
    assert kept.unwrap(wrapped, b"context") == plain


@pytest.mark.needs(*FAULT_SHIM_PROGRAMS)
@pytest.mark.parametrize("kind", [KeyType.RSA2048, KeyType.P384])
def test_a_session_that_is_lost_stops_no_issuance_under_a_key_of_any_kind(
    kind: KeyType,
    sqlite_databases: SQLiteDatabases,
    faulty: TestToken,
    faults: Faults,
    tmp_path: Path,
    entropy: Entropy,
) -> None:
    database = sqlite_databases.migrated()
    site = in_token(database, tmp_path, faulty.open(), kind, entropy)
    for answer in (DEVICE_REMOVED, SESSION_HANDLE_INVALID):
        faults.fail(answer, 1)
        issued = site.issue()
        issued.certificate.verify_directly_issued_by(issued.chain[0])
    database.close()
