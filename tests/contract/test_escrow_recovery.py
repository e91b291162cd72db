# SPDX-License-Identifier: Apache-2.0
"""Recovery of somebody else's keys: an official asks, two agents approve, the official collects; on both engines."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from etymon.directory import roles
from etymon.directory.model import Role
from etymon.escrow import deposit, recovery, recovery_analysis, recovery_store
from etymon.escrow.key_encryption import SoftwareKeyEncryptionKey
from etymon.escrow.recovery_model import (
    RECOVERY_ALLOWED,
    Approval,
    Authority,
    Cause,
    Choice,
    Notice,
    Order,
    RecoveryState,
)
from etymon.kernel.entropy import Entropy
from etymon.kernel.errors import Conflict, EtymonError, Expired, Malformed, NotPermitted
from etymon.kernel.secret import Secret
from etymon.pki.certificate import spki
from etymon.storage.database import Database
from support import packed_keys
from support.appointments import give
from support.clock import TurnedClock
from support.directory_site import ADMINISTRATOR
from support.recovery_office import KRA, KRO, Office, codes
from support.vault import Vault, refusal_of


@pytest.fixture(scope="module")
def signing_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def office(database: Database, clock: TurnedClock, entropy: Entropy, signing_key: ec.EllipticCurvePrivateKey) -> Office:
    return Office(Vault(database, clock, entropy, signing_key))


def at_once(*acts: Callable[[], object]) -> list[str]:
    together = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> str:
        together.wait()
        try:
            act()
        except EtymonError as refusal:
            return refusal.code
        return "done"

    with ThreadPoolExecutor(len(acts)) as workers:
        return sorted(workers.map(run, acts))


def test_another_persons_key_is_recovered_by_two_agents_once(office: Office) -> None:
    vault = office.vault
    vault.end_account(office.owner)  # as when somebody has left
    office.mails()
    asked, halves = office.approved()
    mails = office.mails()
    assert [name for name in ("first@", "second@", "official@") for mail in mails if name in mail]
    assert not any(half in mail for half in halves for mail in mails)
    (recovered,) = vault.collect(asked, halves, office.official)
    key, certificate, others = pkcs12.load_key_and_certificates(recovered.package, "-".join(halves).encode())
    assert key is not None
    assert key.public_key() == office.key.public_key
    assert (certificate, others) == (office.key.certificate, [])
    assert codes(lambda: vault.collect(asked, halves, office.official)) == ["recovery_state"]
    assert vault.release_count() == 1
    assert Counter(vault.events(f"recovery:{asked.id}")) == {
        "escrow:recovery:requested": 1,
        "escrow:recovery:approved": 2,
        "escrow:recovery:delivered": 1,
        "escrow:recovery:delivery_refused": 1,
    }
    assert "escrow:key:released" in vault.events(f"escrowed_key:{office.key.id}")


@pytest.mark.needs("openssl")
def test_openssl_says_that_what_is_collected_is_under_aes_256(office: Office, tmp_path: Path) -> None:
    asked, halves = office.approved()
    (recovered,) = office.vault.collect(asked, halves, office.official)
    found = packed_keys.judge(recovered.package, "-".join(halves), tmp_path)
    assert found == (spki(office.key.public_key), office.key.certificate)


def test_the_database_holds_digests_of_the_halves_and_nothing_that_opens_the_key(office: Office) -> None:
    asked, halves = office.approved()
    office.vault.collect(asked, halves, office.official)
    with office.vault.database.snapshot() as tx:
        tables = map(sa.table, ("escrow_recoveries", "escrow_releases", "audit_pending", "jobs"))
        rows = [str(row) for table in tables for row in tx.execute(sa.select(sa.text("*")).select_from(table))]
    assert rows
    assert not any(half in row for half in halves for row in rows)


def test_one_half_or_a_wrong_one_opens_nothing(office: Office) -> None:
    vault = office.vault
    asked, halves = office.approved()
    other, theirs = office.approved()
    for wrong in (halves[:1], [halves[0], halves[0]], theirs, [halves[0], theirs[1]], [halves[0], ""], []):
        refusal = refusal_of(partial(vault.collect, asked, wrong, office.official))
        assert (type(refusal), refusal.code) == (NotPermitted, "halves_wrong")
    assert vault.release_count() == 0
    typed = [f" {half.lower()}\n" for half in reversed(halves)]  # as people type, in whatever order
    assert len(vault.collect(asked, typed, office.official)) == 1
    assert office.state(other) is RecoveryState.APPROVED


def test_who_asked_approves_nothing_and_nobody_approves_twice(office: Office) -> None:
    vault = office.vault
    both = vault.holding("both", KRO, KRA)
    asked = vault.ask(both, office.owner)
    refusal = refusal_of(lambda: vault.approve(asked, both))
    assert (type(refusal), refusal.code) == (NotPermitted, "other_agent_needed")
    half = vault.approve(asked, office.first)
    assert codes(lambda: vault.approve(asked, office.first)) == ["other_agent_needed"]
    assert codes(lambda: vault.collect(asked, [half, half], both)) == ["recovery_state"]
    assert office.state(asked) is RecoveryState.HALF_APPROVED


def test_the_database_takes_no_agent_who_asked_twice_or_whose_keys_they_are(office: Office) -> None:
    asked = office.vault.ask(office.official, office.owner)
    given = partial(Approval, approved_at=office.vault.clock.now(), half_digest=bytes(32))
    for agent in (asked.requested_by, asked.order.person):
        with pytest.raises(sa.exc.IntegrityError), office.vault.database.transaction() as tx:
            recovery_store.approve(tx, asked, given(agent))
    with office.vault.database.transaction() as tx:
        half = recovery_store.approve(tx, asked, given(office.first.id))
    for agent in (office.first.id, asked.requested_by, asked.order.person):
        with pytest.raises(sa.exc.IntegrityError), office.vault.database.transaction() as tx:
            recovery_store.approve(tx, half, given(agent))
    with pytest.raises(sa.exc.IntegrityError), office.vault.database.transaction() as tx:
        tx.execute(sa.text("UPDATE escrow_recoveries SET state = 'approved'"))


def test_nobody_without_the_role_takes_part(office: Office) -> None:
    vault = office.vault
    asked = vault.ask(office.official, office.owner)
    others = [vault.holding("nobody"), vault.holding("gone", KRA, KRO)]
    others += [vault.holding(role.value, role) for role in set(Role) - {KRA, KRO}]
    vault.end_account(others[1])
    for other in others:
        assert (
            codes(
                partial(vault.ask, other, office.owner),
                partial(vault.approve, asked, other),
                partial(vault.refuse, asked, other),
            )
            == ["role_missing"] * 3
        )
    assert codes(lambda: vault.ask(office.first, office.owner), lambda: vault.approve(asked, office.official)) == [
        "role_missing",
        "role_missing",
    ]
    assert office.found(asked) == asked


def test_nobody_takes_part_where_the_own_keys_are_asked_for(office: Office) -> None:
    vault = office.vault
    subject = vault.holding("subject", KRA, KRO)
    vault.certified(subject)
    assert codes(lambda: vault.ask(subject, subject)) == ["own_key"]
    office.mails()
    asked = vault.ask(office.official, subject)
    assert not any("subject@" in mail for mail in office.mails())
    assert codes(lambda: vault.approve(asked, subject), lambda: vault.refuse(asked, subject)) == ["own_key", "own_key"]
    with vault.database.snapshot() as tx:
        seen = recovery_store.page(tx, hidden_from=office.first.id, after=None, limit=100)
        assert asked in seen
        assert asked not in recovery_store.page(tx, hidden_from=subject.id, after=None, limit=100)
        place = seen.index(asked)
        following = recovery_store.page(tx, hidden_from=office.first.id, after=asked.id, limit=100)
        assert following == seen[place + 1 :]


def test_what_was_approved_is_collected_by_the_official_who_asked(office: Office) -> None:
    asked, halves = office.approved()
    other = office.vault.holding("other", KRO)
    assert codes(lambda: office.vault.collect(asked, halves, other)) == ["recovery_unknown"]
    assert office.vault.release_count() == 0


@pytest.mark.parametrize("who", ["official", "first", "second"])
@pytest.mark.parametrize("anew", [False, True])
def test_with_the_role_of_one_of_the_three_the_recovery_ends(office: Office, who: str, *, anew: bool) -> None:
    asked, halves = office.approved()
    person, role = getattr(office, who), KRO if who == "official" else KRA
    with office.vault.database.transaction() as tx:
        roles.withdraw(tx, office.vault.deps, person.id, role, actor=ADMINISTRATOR, authority="letter 2")
        if anew:  # with another card, perhaps
            office.vault.clock.advance(timedelta(seconds=1))
            give(tx, office.vault.deps, person, role)
    expected = "role_missing" if who == "official" else "approval_void"
    assert codes(lambda: office.vault.collect(asked, halves, office.official)) == [expected]
    assert office.vault.release_count() == 0
    assert office.state(asked) is (RecoveryState.APPROVED if who == "official" else RecoveryState.FAILED)


def test_a_refused_recovery_is_over_and_everybody_is_told(office: Office) -> None:
    vault = office.vault
    asked, halves = office.approved()
    office.mails()
    refused = vault.refuse(asked, office.second)
    assert refused == office.found(asked)
    assert refused.state is RecoveryState.REFUSED
    told = office.mails()
    assert [name for name in ("alice@", "official@") if any(name in mail for mail in told)] == ["alice@", "official@"]
    third = vault.holding("third", KRA)
    assert (
        codes(
            lambda: vault.approve(asked, third),
            lambda: vault.refuse(asked, third),
            lambda: vault.collect(asked, halves, office.official),
        )
        == ["recovery_state"] * 3
    )
    assert "is refused, which does not allow this" in (refusal_of(lambda: vault.approve(asked, third)).detail or "")
    mine = vault.ask(office.official, office.owner)
    assert vault.refuse(mine, office.official).state is RecoveryState.REFUSED
    other = vault.holding("other", KRO)
    assert codes(lambda: vault.refuse(vault.ask(office.official, office.owner), other)) == ["role_missing"]
    assert isinstance(refusal_of(lambda: vault.refuse(mine, office.official, " ")), Malformed)


def test_a_recovery_that_is_not_finished_in_time_is_over(office: Office) -> None:
    vault = office.vault
    asked, halves = office.approved()
    late = vault.ask(office.official, office.owner)
    office.mails()
    office.later(recovery.LIFETIME - timedelta(seconds=1))
    assert recovery.end_late(vault.escrow) == 0
    office.later(timedelta(seconds=1))
    for act in (lambda: vault.approve(late, office.first), lambda: vault.collect(asked, halves, office.official)):
        assert isinstance(refusal_of(act), Expired)
    assert recovery.end_late(vault.escrow) == 2
    assert recovery.end_late(vault.escrow) == 0
    assert {office.state(asked), office.state(late)} == {RecoveryState.EXPIRED}
    assert isinstance(refusal_of(lambda: vault.refuse(late, office.first)), Expired)
    assert len([mail for mail in office.mails() if "alice@" in mail and "not delivered" in mail]) == 2
    assert vault.events(f"recovery:{late.id}")[0] == "escrow:recovery:expired"


def test_of_several_collections_at_once_one_is_made(office: Office) -> None:
    asked, halves = office.approved()
    collect = partial(office.vault.collect, asked, halves, office.official)
    assert at_once(collect, collect, collect) == ["done", "recovery_state", "recovery_state"]
    assert office.vault.release_count() == 1


def test_approvals_at_once_count_once_for_each_agent(office: Office) -> None:
    vault = office.vault
    asked = vault.ask(office.official, office.owner)
    same = partial(vault.approve, asked, office.first)
    assert at_once(same, same, same) == ["done", "other_agent_needed", "other_agent_needed"]
    assert office.state(asked) is RecoveryState.HALF_APPROVED
    third, fourth = vault.holding("third", KRA), vault.holding("fourth", KRA)
    two = [partial(vault.approve, asked, agent) for agent in (office.second, third, fourth)]
    assert at_once(*two) == ["done", "recovery_state", "recovery_state"]
    assert office.state(asked) is RecoveryState.APPROVED
    again = vault.ask(office.official, office.owner)
    assert at_once(*(partial(vault.approve, again, agent) for agent in (office.first, third))) == ["done", "done"]
    assert office.state(again) is RecoveryState.APPROVED


def test_keys_are_asked_for_all_the_newest_or_by_their_serial_numbers(office: Office) -> None:
    vault, first = office.vault, office.key
    vault.clock.advance(timedelta(seconds=1))
    second = vault.certified(office.owner)
    vault.kept(office.owner)  # never certified: nothing is encrypted to it
    assert first.certificate
    ask = partial(vault.ask, office.official, office.owner)
    assert set(ask().key_ids) == {first.id, second.id}
    assert ask(wanted=Choice.CURRENT).key_ids == (second.id,)
    serial = first.certificate.serial_number
    assert ask(wanted=[serial, serial]).key_ids == (first.id,)
    of_another = vault.certified(vault.person("bob")).certificate
    assert of_another
    for unknown in ([1], [serial, 1], [of_another.serial_number], []):
        assert codes(partial(ask, wanted=unknown)) == ["escrowed_key_unknown"]
    assert codes(lambda: vault.ask(office.official, vault.person("carol"))) == ["escrowed_key_unknown"]
    assert codes(lambda: vault.ask(office.official, replace(office.owner, id=uuid.uuid4()))) == ["escrowed_key_unknown"]


def test_a_destroyed_key_is_not_asked_for_and_not_collected(office: Office) -> None:
    vault = office.vault
    asked, halves = office.approved()
    assert office.key.certificate
    with vault.database.transaction() as tx:
        tx.execute(sa.text("UPDATE escrow_keys SET keep_until = deposited_at"))
        deposit.destroy(tx, vault.escrow, office.key.id, reason="retention over", actor=ADMINISTRATOR)
    refusal = refusal_of(lambda: vault.collect(asked, halves, office.official))
    assert (type(refusal), refusal.code) == (Conflict, "escrowed_key_destroyed")
    assert vault.release_count() == 0
    assert office.state(asked) is RecoveryState.FAILED
    by_serial = partial(vault.ask, office.official, office.owner, wanted=[office.key.certificate.serial_number])
    assert codes(by_serial) == ["escrowed_key_destroyed"]
    assert codes(lambda: vault.ask(office.official, office.owner)) == ["escrowed_key_unknown"]


def test_a_key_that_does_not_open_makes_the_recovery_fail_which_is_analyzed_once(office: Office) -> None:
    vault = office.vault
    asked, halves = office.approved()
    office.mails()
    other = SoftwareKeyEncryptionKey(Secret(bytes(32)), vault.escrow.entropy)
    lost = replace(vault.escrow, key_encryption_key=other)
    refused = refusal_of(lambda: recovery.collect(lost, asked.id, halves, official=office.official.id))
    assert refused.code == "escrowed_key_unusable"
    assert office.state(asked) is RecoveryState.FAILED
    assert codes(lambda: vault.collect(asked, halves, office.official)) == ["recovery_state"]
    assert any("alice@" in mail and "not delivered" in mail for mail in office.mails())
    explain = partial(recovery_analysis.explain, vault.escrow, asked.id, "the token was away")
    auditor = vault.holding("auditor", Role.AUDITOR)
    assert codes(partial(explain, by=auditor.id), partial(explain, by=office.owner.id)) == ["role_missing"] * 2
    explained = explain(by=office.second.id)
    assert explained.cause == Cause("the token was away", office.second.id, vault.clock.now())
    assert codes(partial(explain, by=office.first.id)) == ["recovery_state"]
    waiting = vault.ask(office.official, office.owner)
    assert codes(lambda: recovery_analysis.explain(vault.escrow, waiting.id, "none", by=office.first.id)) == [
        "recovery_state"
    ]
    assert {"escrow:recovery:failed", "escrow:recovery:analyzed"} < set(vault.events(f"recovery:{asked.id}"))


def test_the_person_is_told_unless_legal_process_keeps_it(office: Office) -> None:
    vault = office.vault
    for notice, expected in ((Notice.TOLD, 1), (Notice.WITHHELD, 0)):
        asked = vault.ask(office.official, office.owner, notice=notice)
        halves = [vault.approve(asked, agent) for agent in (office.first, office.second)]
        office.mails()
        vault.collect(asked, halves, office.official)
        vault.refuse(vault.ask(office.official, office.owner, notice=notice), office.first)
        told = [mail for mail in office.mails() if "alice@" in mail]
        assert len(told) == 2 * expected
        assert all("The court, order 12/34" in mail and "an inquiry" not in mail for mail in told)
    refusal = refusal_of(
        lambda: vault.ask(office.official, office.owner, authority=Authority.POLICY, notice=Notice.WITHHELD)
    )
    assert (type(refusal), refusal.code) == (Malformed, "notice")


def test_who_gets_the_keys_on_what_authority_and_why_is_said() -> None:
    order = partial(Order, uuid.uuid4(), authority=Authority.POLICY)
    for wrong in ("", "  ", "x" * 201, "two\nlines"):
        for name, make in {
            "requestor": partial(order, requestor=wrong, reference="order", reason="inquiry"),
            "reference": partial(order, requestor="Court", reference=wrong, reason="inquiry"),
            "reason": partial(order, requestor="Court", reference="order", reason=wrong),
        }.items():
            assert codes(make) == [name]
    with pytest.raises(Malformed):
        order(requestor="Court", reference="order", reason="inquiry", document_sha256=b"short")


def test_every_move_that_is_not_written_down_is_refused(office: Office) -> None:
    asked = office.vault.ask(office.official, office.owner)

    def move(before: RecoveryState, after: RecoveryState) -> None:
        with office.vault.database.transaction() as tx:
            recovery_store.move(tx, replace(asked, state=before), after)

    for before in RecoveryState:
        for after in set(RecoveryState) - RECOVERY_ALLOWED[before]:
            assert codes(partial(move, before, after)) == ["recovery_state"]
    assert codes(lambda: office.vault.approve(replace(asked, id=uuid.uuid4()), office.first)) == ["recovery_unknown"]
    assert office.found(asked) == asked
