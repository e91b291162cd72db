# SPDX-License-Identifier: Apache-2.0
"""Escrow on both engines: keys kept wrapped, released to their owner on record."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etymon.directory.notices import MAIL_JOB
from etymon.escrow import deposit, retention
from etymon.escrow.key_encryption import SoftwareKeyEncryptionKey
from etymon.escrow.model import ALLOWED, EscrowState
from etymon.escrow.recovery_model import RECOVERY_ALLOWED, RecoveryState
from etymon.escrow.tables import keys
from etymon.kernel.entropy import Entropy, SystemEntropy
from etymon.kernel.errors import Conflict, Malformed, NotFound, Unavailable
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.storage.database import Database
from support import earlier_addresses
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR
from support.tampering import tamper
from support.vault import Vault, certificate_of, refusal_of


@pytest.fixture(scope="module")
def transport() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def signing_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def vault(database: Database, clock: TurnedClock, entropy: Entropy, signing_key: ec.EllipticCurvePrivateKey) -> Vault:
    return Vault(database, clock, entropy, signing_key)


def test_a_kept_key_is_in_the_history_and_on_record(vault: Vault) -> None:
    alice = vault.person("alice")
    key = vault.deposit(deposit.generate(vault.escrow, person_id=alice.id, key_type=KeyType.RSA2048))
    assert (key.person_id, key.state, key.public_key.key_size) == (alice.id, EscrowState.DEPOSITED, 2048)
    with vault.database.snapshot() as tx:
        assert deposit.history(tx, alice.id) == [key]
        assert deposit.history(tx, uuid.uuid4()) == []
    assert vault.events(f"escrowed_key:{key.id}") == ["escrow:key:deposited"]


def test_no_private_key_is_in_the_database(vault: Vault) -> None:
    """Neither as PKCS #8 nor by the start of any DER private key of its kind."""
    key = vault.kept(vault.person())
    with vault.database.snapshot() as tx:
        wrapped = tx.scalar(sa.select(keys.c.wrapped).where(keys.c.id == key.id))
    assert wrapped is not None
    assert b"\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01" not in wrapped
    assert key.public_key.public_numbers().n.to_bytes(256, "big") not in wrapped


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.P384, KeyType.RSA4096])
def test_a_key_mail_programs_cannot_use_is_not_made(vault: Vault, key_type: KeyType) -> None:
    alice = vault.person()
    refusal = refusal_of(lambda: deposit.generate(vault.escrow, person_id=alice.id, key_type=key_type))
    assert (type(refusal), refusal.code) == (Malformed, "key_type_not_escrowed")


def test_a_released_key_is_on_record_and_its_owner_is_told(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    alice = vault.person("alice")
    key = vault.kept(alice)
    for _ in range(2):
        vault.clock.advance(timedelta(seconds=1))
        assert vault.release(key, transport).startswith(b"\x30\x82")
    assert vault.find(key).state is EscrowState.RELEASED
    assert vault.release_count() == 2
    assert vault.events(f"escrowed_key:{key.id}")[:2] == ["escrow:key:released"] * 2
    mails = vault.jobs(MAIL_JOB)
    assert [mail.payload["to"] for mail in mails] == [["alice@example.test"]] * 2
    assert "new phone" in str(mails[0].payload["text"])


def test_a_key_goes_to_nobody_but_its_owner_who_is_told_of_the_attempt(
    vault: Vault, transport: rsa.RSAPrivateKey
) -> None:
    alice, mallory = vault.person("alice"), vault.person("mallory")
    key = vault.kept(alice)
    refusal = refusal_of(lambda: vault.release(key, transport, owner=mallory.id))
    assert (type(refusal), refusal.code) == (NotFound, "escrowed_key_unknown")
    assert vault.find(key).state is EscrowState.DEPOSITED
    assert vault.release_count() == 0
    assert "escrow:key:release_refused" in vault.events(f"escrowed_key:{key.id}")
    (mail,) = vault.jobs(MAIL_JOB)
    assert mail.payload["to"] == ["alice@example.test"]
    assert "not delivered" in str(mail.payload["text"])


def test_an_unknown_key_is_refused_and_recorded(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    alice = vault.person("alice")
    unknown = replace(vault.kept(alice), id=uuid.uuid4())
    assert refusal_of(lambda: vault.release(unknown, transport)).code == "escrowed_key_unknown"
    assert vault.events(f"escrowed_key:{unknown.id}") == ["escrow:key:release_refused"]


def test_an_owner_who_cannot_be_told_gets_no_key(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    alice = vault.person("alice", mail_addresses=[])
    key = vault.kept(alice)
    refusal = refusal_of(lambda: vault.release(key, transport))
    assert (type(refusal), refusal.code) == (Conflict, "no_notice_address")
    earlier_addresses.give(vault.database, alice.id)
    assert refusal_of(lambda: vault.release(key, transport)).code == "no_notice_address"
    assert vault.release_count() == 0


def test_an_ended_account_gets_no_key(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    alice = vault.person("alice")
    key = vault.kept(alice)
    vault.end_account(alice)
    assert refusal_of(lambda: vault.release(key, transport)).code == "person_unknown"


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 201])
def test_a_release_needs_a_reason(vault: Vault, transport: rsa.RSAPrivateKey, reason: str) -> None:
    key = vault.kept(vault.person())
    assert refusal_of(lambda: vault.release(key, transport, reason=reason)).code == "reason"


def test_a_transport_key_that_would_be_the_weakest_link_is_refused(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    alice = vault.person("alice")
    strong = vault.deposit(vault.generate(alice, KeyType.RSA3072))
    assert refusal_of(lambda: vault.release(strong, transport)).code == "transport_key_too_weak"
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what is refused
    assert refusal_of(lambda: vault.release(strong, short)).code == "weak_key"
    elliptic = ec.generate_private_key(ec.SECP256R1())
    refusal = refusal_of(lambda: vault.release(strong, elliptic))  # type: ignore[arg-type]  # what is refused
    assert (type(refusal), refusal.code) == (Malformed, "transport_key")
    assert vault.release_count() == 0


def test_nothing_is_released_while_the_audit_trail_stands_still(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    key = vault.kept(vault.person())
    vault.clock.advance(timedelta(seconds=61))
    refusal = refusal_of(lambda: vault.release(key, transport))
    assert (type(refusal).__mro__[1], refusal.code) == (Unavailable, "audit_not_sealed")
    assert vault.release_count() == 0


def test_a_row_given_to_another_person_does_not_open(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    alice, mallory = vault.person("alice"), vault.person("mallory")
    stolen = vault.kept(alice)
    change = f"UPDATE escrow_keys SET person_id = '{mallory.id.hex}' WHERE id = '{stolen.id.hex}'"  # noqa: S608 - the attack
    tamper(vault.database, change)
    with vault.database.snapshot() as tx:
        assert stolen.id in {key.id for key in deposit.history(tx, mallory.id)}
    refusal = refusal_of(lambda: vault.release(stolen, transport, owner=mallory.id))
    assert (type(refusal), refusal.code) == (Unavailable, "escrowed_key_unusable")
    assert "escrow:key:release_refused" in vault.events(f"escrowed_key:{stolen.id}")


def test_a_wrapped_key_moved_to_another_row_does_not_open(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    alice, mallory = vault.person("alice"), vault.person("mallory")
    stolen, own = vault.kept(alice).id.hex, vault.kept(mallory)
    source = f"SELECT wrapped FROM escrow_keys WHERE id = '{stolen}'"  # noqa: S608 - the attack
    change = f"UPDATE escrow_keys SET wrapped = ({source}) WHERE id = '{own.id.hex}'"  # noqa: S608 - the attack
    tamper(vault.database, change)
    assert refusal_of(lambda: vault.release(own, transport)).code == "escrowed_key_unusable"


def test_a_key_opens_under_a_former_key_encryption_key_and_under_no_other(
    vault: Vault, transport: rsa.RSAPrivateKey
) -> None:
    key = vault.kept(vault.person())
    later = SoftwareKeyEncryptionKey(Secret(b"k" * 32), SystemEntropy())
    rotated = replace(vault.escrow, key_encryption_key=later, former_keys=(vault.escrow.key_encryption_key,))
    assert vault.release(key, transport, escrow=rotated)
    lost = replace(vault.escrow, key_encryption_key=later)
    assert refusal_of(lambda: vault.release(key, transport, escrow=lost)).code == "escrowed_key_unusable"


def test_the_certificate_stays_with_its_key(vault: Vault, signing_key: ec.EllipticCurvePrivateKey) -> None:
    key = vault.kept(vault.person())
    right, other = certificate_of(key.public_key, signing_key), certificate_of(key.public_key, signing_key)
    strange = certificate_of(signing_key.public_key(), signing_key)

    def certify(certificate: x509.Certificate) -> None:
        with vault.database.transaction() as tx:
            deposit.certify(tx, vault.escrow, key.id, certificate)

    assert refusal_of(lambda: certify(strange)).code == "certificate_of_another_key"
    certify(right)
    certify(right)
    assert refusal_of(lambda: certify(other)).code == "certificate_of_another_key"
    assert vault.find(key).certificate == right
    assert vault.events(f"escrowed_key:{key.id}").count("escrow:key:certified") == 1


def test_the_history_has_the_newest_key_first(vault: Vault) -> None:
    alice = vault.person("alice")
    made = [vault.generate(alice), vault.generate(alice)]
    for generated in made:
        vault.clock.advance(timedelta(days=1))
        vault.deposit(generated)
    with vault.database.snapshot() as tx:
        assert [key.id for key in deposit.history(tx, alice.id)] == [made[1].id, made[0].id]


def test_a_key_is_kept_for_a_year_after_its_certificate_and_then_destroyed_once(
    vault: Vault, signing_key: ec.EllipticCurvePrivateKey
) -> None:
    alice = vault.person("alice")
    key = vault.kept(alice)
    certificate = certificate_of(key.public_key, signing_key)

    def destroy() -> None:
        with vault.database.transaction() as tx:
            deposit.destroy(tx, vault.escrow, key.id, reason="retention over", actor=ADMINISTRATOR)

    with vault.database.transaction() as tx:
        deposit.certify(tx, vault.escrow, key.id, certificate)
    vault.clock.advance(certificate.not_valid_after_utc + timedelta(days=364) - vault.clock.now())
    assert refusal_of(destroy).code == "retention_not_over"
    vault.clock.advance(timedelta(days=1))
    destroy()
    assert refusal_of(destroy).code == "escrowed_key_destroyed"
    assert vault.find(key).state is EscrowState.DESTROYED
    with vault.database.snapshot() as tx:
        assert deposit.history(tx, alice.id) == []
        assert tx.scalar(sa.select(keys.c.wrapped).where(keys.c.id == key.id)) is None
    assert vault.events(f"escrowed_key:{key.id}").count("escrow:key:destroyed") == 1


def test_a_destroyed_key_is_not_released(vault: Vault, transport: rsa.RSAPrivateKey) -> None:
    key = vault.kept(vault.person())
    with vault.database.transaction() as tx:
        deposit.destroy(tx, vault.escrow, key.id, reason="never certified", actor=ADMINISTRATOR)
    assert refusal_of(lambda: vault.release(key, transport)).code == "escrowed_key_destroyed"
    assert vault.release_count() == 0


def test_the_database_keeps_no_private_key_of_a_destroyed_one(vault: Vault) -> None:
    key = vault.kept(vault.person())
    with pytest.raises(sa.exc.IntegrityError), vault.database.transaction() as tx:
        tx.execute(keys.update().where(keys.c.id == key.id).values(state="destroyed"))


def test_ends_are_ends() -> None:
    assert ALLOWED[EscrowState.DESTROYED] == frozenset()
    assert RECOVERY_ALLOWED[RecoveryState.FAILED] == RECOVERY_ALLOWED[RecoveryState.REFUSED] == frozenset()
    assert set(ALLOWED) == set(EscrowState)
    assert set(RECOVERY_ALLOWED) == set(RecoveryState)


def test_dependencies_with_a_certificate_of_another_key_are_not_made(vault: Vault) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(ValueError, match="of another key"):
        replace(vault.escrow, signer_certificate=certificate_of(other.public_key(), other))


@pytest.mark.parametrize("wrapped", [b"", b"short", bytes(100)])
def test_what_was_never_wrapped_does_not_unwrap(wrapped: bytes) -> None:
    wrapping = SoftwareKeyEncryptionKey(Secret(bytes(32)), SystemEntropy())
    assert refusal_of(lambda: wrapping.unwrap(wrapped, b"context")).code == "escrowed_key_unusable"


def test_a_wrapped_key_unwraps_in_its_context_only() -> None:
    wrapping = SoftwareKeyEncryptionKey(Secret(bytes(32)), SystemEntropy())
    wrapped = wrapping.wrap(Secret(b"private key"), b"alice")
    assert wrapping.unwrap(wrapped, b"alice") == Secret(b"private key")
    assert wrapping.wrap(Secret(b"private key"), b"alice") != wrapped
    assert refusal_of(lambda: wrapping.unwrap(wrapped, b"bob")).code == "escrowed_key_unusable"
    with pytest.raises(ValueError, match="32 bytes"):
        SoftwareKeyEncryptionKey(Secret(bytes(16)), SystemEntropy())


def test_keys_are_destroyed_when_their_time_is_over_and_no_other(
    vault: Vault, signing_key: ec.EllipticCurvePrivateKey
) -> None:
    alice = vault.person("alice")
    over, bare = [vault.kept(alice) for _ in range(3)], vault.kept(alice)
    with vault.database.transaction() as tx:
        for key in over:
            deposit.certify(tx, vault.escrow, key.id, certificate_of(key.public_key, signing_key))
    end = certificate_of(signing_key.public_key(), signing_key).not_valid_after_utc
    two_years = timedelta(days=730)
    vault.clock.advance(end + two_years - timedelta(seconds=1) - vault.clock.now())
    assert retention.destroy_over(vault.escrow, two_years) == 0
    assert retention.destroy_over(vault.escrow, None) == 0
    vault.clock.advance(timedelta(seconds=1))
    assert retention.destroy_over(vault.escrow, two_years, batch=2) == 3
    assert retention.destroy_over(vault.escrow, two_years) == 0
    assert {vault.find(key).state for key in over} == {EscrowState.DESTROYED}
    assert vault.find(bare).state is EscrowState.DEPOSITED
    for key in over:
        assert vault.events(f"escrowed_key:{key.id}").count("escrow:key:destroyed") == 1


def test_no_key_is_kept_for_less_than_a_year(vault: Vault) -> None:
    with pytest.raises(ValueError, match="at least a year"):
        retention.destroy_over(vault.escrow, timedelta(days=364))
