# SPDX-License-Identifier: Apache-2.0
"""Key history: whose keys come to which phone, once, and who is told; what happens once on both engines."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from etymon.directory import people
from etymon.escrow import deposit, history
from etymon.escrow.key_encryption import SoftwareKeyEncryptionKey
from etymon.escrow.model import EscrowedKey
from etymon.escrow.tables import keys as escrow_keys
from etymon.issuer import key_history
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.key_history import HistoryRequest
from etymon.issuer.model import EndReason, Purpose
from etymon.kernel.errors import EtymonError, Malformed, NotPermitted, Unavailable
from etymon.kernel.secret import Secret
from etymon.phone.key_store import server_generated
from etymon.phone.key_store.contract import WrappedKey
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import spki, to_der
from etymon.storage.database import Database
from etymon.web.peer_certificate import PeerCertificate
from etymon.wire import est
from support.databases import SQLiteDatabases
from support.issuer_phone import transport_csr
from support.issuer_rekey import Holder, holder, rekeying_site, shown
from support.issuer_site import ADMINISTRATOR, PHONE_ADDRESS, IssuerSite

OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


class UnpluggedKeyEncryptionKey:
    """Escrow's key in a token that is not there."""

    def __init__(self, name: str) -> None:
        self.id = name

    def wrap(self, plain: Secret[bytes], context: bytes) -> bytes:
        del plain, context
        raise Unavailable("token_silent", "The key token does not answer.")

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret[bytes]:
        del wrapped, context
        raise Unavailable("token_silent", "The key token does not answer.")


@pytest.fixture(scope="module")
def shared(sqlite_databases: SQLiteDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerSite]:
    """One for the module: every test has phones of its own, and puts right what it changed."""
    database = sqlite_databases.migrated()
    yield rekeying_site(database, tmp_path_factory.mktemp("history"))
    sqlite_databases.drop(database)


@pytest.fixture(scope="module")
def transport() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 3072)


def phone(site: IssuerSite) -> Holder:
    """Return a phone with credentials for signing in and for mail."""
    return holder(site, Purpose.AUTHENTICATION, Purpose.ENCRYPTION, due=False)


def listed(held: Holder, peer: PeerCertificate | None = None) -> tuple[EscrowedKey, ...]:
    return key_history.listed(held.site.deps, peer or held.peer, source=PHONE_ADDRESS).keys


def ask(
    held: Holder, transport: rsa.RSAPrivateKey, *wanted: uuid.UUID, deps: Dependencies | None = None
) -> tuple[tuple[EscrowedKey, bytes], ...]:
    request = HistoryRequest(wanted, transport_csr(transport))
    return key_history.release(deps or held.site.deps, request, held.peer, source=PHONE_ADDRESS)


def refusal(held: Holder, transport: rsa.RSAPrivateKey, *wanted: uuid.UUID, deps: Dependencies | None = None) -> str:
    with pytest.raises(EtymonError) as refused:
        ask(held, transport, *wanted, deps=deps)
    return refused.value.code


def refused_and_told(held: Holder, request: HistoryRequest, peer: PeerCertificate | None = None) -> tuple[str, int]:
    """Send what is refused; return its code, and how many mails say so."""
    held.site.mail()
    with pytest.raises(EtymonError) as refused:
        key_history.release(held.site.deps, request, peer or held.peer, source=PHONE_ADDRESS)
    told = [mail for mail in held.site.mail() if "asked for and not delivered" in str(mail["text"])]
    assert all(mail["to"] == ["alice@agency.example"] for mail in told)
    return refused.value.code, len(told)


def opened(site: IssuerSite, envelope: bytes, transport: rsa.RSAPrivateKey) -> bytes:
    """Return the public half of what a phone's key store reads in an envelope."""
    issuers = (to_der(site.ca.authorities["derived"].certificate),)
    package = WrappedKey(envelope, issuers, site.clock.now())
    return spki(server_generated.open_package(package, lambda text: transport.decrypt(text, OAEP)).public_key())


def released(site: IssuerSite, key: EscrowedKey) -> int:
    subject = f"escrowed_key:{key.id}"
    return len([event for event in site.events("escrow:key:released") if event.subject == subject])


def test_a_second_phone_gets_the_keys_of_the_first_which_was_lost(
    database: Database, tmp_path: Path, transport: rsa.RSAPrivateKey
) -> None:
    site = rekeying_site(database, tmp_path)
    lost, second = phone(site), phone(site)
    site.end_own(lost.link.begun, EndReason.KEY_COMPROMISE)
    assert site.is_revoked(lost.held[Purpose.ENCRYPTION])
    (old,) = listed(second)
    assert old.certificate == lost.held[Purpose.ENCRYPTION], "not the one it got with its own certificate"
    before = released(site, old)
    assert before == 1, "looking releases nothing"
    site.mail()
    ((key, envelope),) = ask(second, transport, old.id)
    assert key.id == old.id
    assert opened(site, envelope, transport) == spki(old.public_key)
    assert released(site, old) == before + 1
    (event,) = site.events("issuer:key_history:released")
    assert (event.actor, event.facts["keys"], event.source) == (f"person:{site.alice.id}", 1, PHONE_ADDRESS)
    (notice,) = site.mail()
    assert notice["to"] == ["alice@agency.example"]
    assert f"{lost.held[Purpose.ENCRYPTION].serial_number:x}" in str(notice["text"])


def test_the_same_request_is_answered_again_and_another_is_not(
    database: Database, tmp_path: Path, transport: rsa.RSAPrivateKey
) -> None:
    site = rekeying_site(database, tmp_path)
    first, second = phone(site), phone(site)
    (old,) = listed(second)
    another = rsa.generate_private_key(65537, 2048)
    together = threading.Barrier(2)

    def at_once(key: rsa.RSAPrivateKey) -> str:
        together.wait()
        try:
            ask(second, key, old.id)
        except EtymonError as refused:
            return refused.code
        return "served"

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(at_once, (transport, another))) == ["key_history_used", "served"]
    answers: list[object] = []
    for key in (transport, another):
        try:
            answers.append(ask(second, key, old.id)[0][0].id)
        except EtymonError as refused:
            answers.append(refused.code)
    assert sorted(map(str, answers)) == sorted(["key_history_used", str(old.id)])
    assert ask(first, transport, listed(first)[0].id), "each credential has its own"


def test_a_new_credential_opens_the_history_again_and_the_old_one_nothing(
    shared: IssuerSite, transport: rsa.RSAPrivateKey
) -> None:
    site = shared
    phone(site)
    held = holder(site, Purpose.AUTHENTICATION, Purpose.ENCRYPTION)
    old = listed(held)[0]
    assert ask(held, transport, old.id)
    before = held.held[Purpose.AUTHENTICATION]
    held.take()
    assert ask(held, transport, old.id)
    held.held[Purpose.AUTHENTICATION] = before
    assert refusal(held, transport, old.id) == "already_rekeyed"


def test_nobody_gets_the_key_of_somebody_else_who_is_told_of_the_attempt(
    shared: IssuerSite, transport: rsa.RSAPrivateKey
) -> None:
    site, held = shared, phone(shared)
    mallory = site.person(f"mallory{uuid.uuid4().hex[:6]}")
    generated = deposit.generate(site.deps.escrow, person_id=mallory.id, key_type=site.rule.encryption_key_type)
    with site.database.transaction() as tx:
        deposit.deposit(tx, site.deps.escrow, generated)
        tx.execute(
            escrow_keys.update()
            .where(escrow_keys.c.id == generated.id)
            .values(certificate=to_der(held.held[Purpose.ENCRYPTION]), keep_until=site.clock.now())
        )
    phone(site)
    own = listed(held)[0]
    site.mail()
    assert generated.id not in {key.id for key in listed(held)}
    before = released(site, own)
    assert refusal(held, transport, own.id, generated.id) == "escrowed_key_unknown"
    assert released(site, own) == before, "all or none"
    told = {tuple(notice["to"]): str(notice["text"]) for notice in site.mail()}
    assert "not delivered" in told[(mallory.mail_addresses[0],)]
    assert "not delivered" in told[(site.alice.mail_addresses[0],)]
    assert "escrowed_key_unknown" in {event.facts["code"] for event in site.events("issuer:key_history:refused")}
    assert refusal(held, transport, uuid.uuid4()) == "escrowed_key_unknown"
    assert ask(held, transport, own.id), "what was refused used nothing up"


def test_a_destroyed_key_is_not_in_the_history_and_not_released(
    shared: IssuerSite, transport: rsa.RSAPrivateKey
) -> None:
    site, gone, held = shared, phone(shared), phone(shared)
    (key,) = [one for one in listed(held) if one.certificate == gone.held[Purpose.ENCRYPTION]]
    with site.database.transaction() as tx:
        past = {"keep_until": site.clock.now() - timedelta(days=1)}
        tx.execute(escrow_keys.update().where(escrow_keys.c.id == key.id).values(**past))
        deposit.destroy(tx, site.deps.escrow, key.id, reason="retention over", actor=ADMINISTRATOR)
    assert key.id not in {one.id for one in listed(held)}
    assert refusal(held, transport, key.id) == "escrowed_key_destroyed"


def test_a_key_that_does_not_open_keeps_no_other_from_its_owner(
    shared: IssuerSite, transport: rsa.RSAPrivateKey
) -> None:
    site, first, second, held = shared, phone(shared), phone(shared), phone(shared)
    mine = {first.held[Purpose.ENCRYPTION], second.held[Purpose.ENCRYPTION]}
    good, damaged = [key for key in listed(held) if key.certificate in mine]
    with site.database.transaction() as tx:
        tx.execute(escrow_keys.update().where(escrow_keys.c.id == damaged.id).values(wrapped=bytes(100)))
    ((key, _),) = ask(held, transport, damaged.id, good.id)
    assert key.id == good.id
    (event,) = [one for one in site.events("escrow:key:release_refused") if one.subject.endswith(str(damaged.id))]
    assert event.facts["refusal"] == "escrowed_key_unusable"


def test_while_escrow_or_the_trail_does_not_answer_the_phone_comes_again_with_the_same_request(
    shared: IssuerSite, transport: rsa.RSAPrivateKey
) -> None:
    site, held = shared, phone(shared)
    phone(site)
    key = listed(held)[0]
    wrapping = site.deps.escrow.key_encryption_key
    away = replace(
        site.deps, escrow=replace(site.deps.escrow, key_encryption_key=UnpluggedKeyEncryptionKey(wrapping.id))
    )
    assert refusal(held, transport, key.id, deps=away) == "token_silent"
    assert ask(held, transport, key.id)
    lost = replace(site.deps.escrow, key_encryption_key=SoftwareKeyEncryptionKey(Secret(b"k" * 32), site.entropy))
    assert ask(held, transport, key.id, deps=replace(site.deps, escrow=lost)) == (), "of another key-encryption key"
    site.clock.advance(timedelta(seconds=61))
    assert refusal(held, transport, key.id) == "audit_not_sealed"
    site.turn(seconds=1)
    assert ask(held, transport, key.id)


def test_a_transport_key_is_as_strong_as_what_it_carries_and_the_phones_own(
    shared: IssuerSite, transport: rsa.RSAPrivateKey
) -> None:
    site = shared
    site.save_rule(lifetime=timedelta(days=3), most_derivations=100, encryption_key_type=KeyType.RSA3072)
    try:
        long = {Purpose.ENCRYPTION: est.encode_body(transport_csr(transport))}
        holder(site, Purpose.AUTHENTICATION, Purpose.ENCRYPTION, phone=site.phone(bodies=long), due=False)
    finally:
        site.save_rule(lifetime=timedelta(days=3), most_derivations=100)
    held = phone(site)
    key = next(one for one in listed(held) if one.public_key.key_size == 3072)
    assert refusal(held, rsa.generate_private_key(65537, 2048), key.id) == "transport_key_too_weak"
    for body in (b"", b"nothing", transport_csr(transport, b"another key")):
        with pytest.raises(Malformed):
            key_history.release(site.deps, HistoryRequest((key.id,), body), held.peer, source=PHONE_ADDRESS)
    assert ask(held, transport, key.id)


def test_only_a_derived_authentication_credential_in_force_asks(
    shared: IssuerSite, transport: rsa.RSAPrivateKey
) -> None:
    site, held = shared, phone(shared)
    for peer, code in (
        (held.link.phone.peer, "wrong_certificate_kind"),
        (shown(site.card.certificate), "wrong_certificate_kind"),
        (shown(held.held[Purpose.ENCRYPTION]), "wrong_policy"),
    ):
        with pytest.raises(NotPermitted) as refused:
            listed(held, peer)
        assert refused.value.code == code
    with pytest.raises(EtymonError, match="derived_credential_required"):
        key_history.listed(site.deps, None, source=PHONE_ADDRESS)
    request = HistoryRequest((uuid.uuid4(),), transport_csr(transport))
    with pytest.raises(EtymonError, match="derived_credential_required"):
        key_history.release(site.deps, request, None, source=PHONE_ADDRESS)
    phone(site)
    key = listed(held)[0]
    assert refused_and_told(held, HistoryRequest((key.id,), b"nothing")) == ("csr_malformed", 1)
    site.end_own(held.link.begun)
    request = HistoryRequest((key.id,), transport_csr(transport))
    assert refused_and_told(held, request) == ("revoked_by_database", 1)
    assert "revoked_by_database" in {event.facts["code"] for event in site.events("issuer:key_history:refused")}
    assert refused_and_told(held, request, shown(held.held[Purpose.ENCRYPTION])) == ("wrong_policy", 1)
    assert refused_and_told(held, request, shown(site.card.certificate)) == ("wrong_certificate_kind", 0)


def test_one_credential_causes_so_many_mails_about_refusals_in_an_hour(shared: IssuerSite) -> None:
    phone(shared)
    held = phone(shared)
    request = HistoryRequest((listed(held)[0].id,), b"nothing")
    told = [refused_and_told(held, request)[1] for _ in range(key_history.MOST_TOLD + 2)]
    assert told == [1] * key_history.MOST_TOLD + [0, 0]


def test_who_cannot_be_told_and_whom_no_rule_gives_it_gets_nothing(
    shared: IssuerSite, transport: rsa.RSAPrivateKey
) -> None:
    site, held = shared, phone(shared)
    phone(site)
    key = listed(held)[0]
    with site.database.transaction() as tx:
        people.update(tx, site.deps, site.alice.id, mail_addresses=(), actor=ADMINISTRATOR)
    assert refusal(held, transport, key.id) == "not_eligible"
    with site.database.transaction() as tx:
        people.update(tx, site.deps, site.alice.id, mail_addresses=("alice@agency.example",), actor=ADMINISTRATOR)
    site.settle(site.alice)
    for changes in ({"key_history": False}, {"purposes": (Purpose.AUTHENTICATION,)}):
        site.save_rule(lifetime=timedelta(days=3), most_derivations=100, **changes)
        try:
            with pytest.raises(NotPermitted, match="key_history_off"):
                listed(held)
            assert refusal(held, transport, key.id) == "key_history_off"
        finally:
            site.save_rule(lifetime=timedelta(days=3), most_derivations=100)
    assert ask(held, transport, key.id)


@pytest.mark.parametrize("count", [0, 21])
def test_a_request_names_one_to_twenty_keys(count: int) -> None:
    with pytest.raises(Malformed):
        HistoryRequest(tuple(uuid.uuid4() for _ in range(count)), b"")
    twice = uuid.uuid4()
    with pytest.raises(Malformed):
        HistoryRequest((twice, twice), b"")


def test_the_history_has_at_most_the_twenty_newest_keys(shared: IssuerSite) -> None:
    site = shared
    owner = site.person(f"many{uuid.uuid4().hex[:6]}")
    generated = deposit.generate(site.deps.escrow, person_id=owner.id, key_type=site.rule.encryption_key_type)
    certificate = to_der(phone(site).held[Purpose.ENCRYPTION])
    made = [replace(generated, id=uuid.uuid4()) for _ in range(23)]
    with site.database.transaction() as tx:
        for number, key in enumerate(made):
            tx.execute(
                escrow_keys.insert().values(
                    id=key.id,
                    person_id=owner.id,
                    key_type=key.key_type.value,
                    public_key=spki(key.public_key),
                    public_key_sha256=number.to_bytes(32, "big"),
                    wrapped=key.wrapped,
                    wrapped_by=key.wrapped_by,
                    state="deposited",
                    deposited_at=site.clock.now() + timedelta(seconds=number),
                    certificate=certificate if number else None,
                    keep_until=site.clock.now() if number else None,
                )
            )
    with site.database.snapshot() as tx:
        found = history.listed(tx, owner.id, but=[made[-1].id])
        assert tx.scalar(sa.select(sa.func.count()).where(escrow_keys.c.person_id == owner.id)) == 23
    assert [key.id for key in found] == [key.id for key in made[-2:1:-1]]
