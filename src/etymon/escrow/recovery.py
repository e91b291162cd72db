# SPDX-License-Identifier: Apache-2.0
"""Recovering another person's keys: an official asks, two agents approve, and the official collects, once (KRP 4.2).

Each agent is shown one half of a password when approving. The official, who has both from them, collects with both
halves: until then nothing is opened, and what is handed out opens with both alone. Of the halves digests are kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from etymon.audit import sealer
from etymon.audit.model import Fact, Outcome
from etymon.directory.model import Role
from etymon.escrow import delivery, owner_notice, recovered_key, store
from etymon.escrow import recovery_participants as participants
from etymon.escrow import recovery_store as recoveries
from etymon.escrow.dependencies import Dependencies, record
from etymon.escrow.errors import (
    approval_void,
    halves_wrong,
    key_destroyed,
    key_unknown,
    key_unusable,
    other_agent_needed,
    recovery_expired,
    recovery_state,
    recovery_unknown,
)
from etymon.escrow.model import EscrowedKey, EscrowState, check_reason
from etymon.escrow.recovery_model import (
    WAITING,
    Approval,
    Choice,
    End,
    Notice,
    Order,
    RecoveredKey,
    Recovery,
    RecoveryState,
)
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret, same
from etymon.storage.database import Transaction

LIFETIME: Final = timedelta(hours=72)
"""Within this a recovery is approved and collected."""
HOPELESS: Final = frozenset({approval_void().code, key_destroyed().code, key_unusable().code})
"""What no waiting mends: a recovery that is refused for one of these has failed."""


def request(
    deps: Dependencies, order: Order, wanted: Choice | Sequence[int], *, official: UUID, source: str = ""
) -> Recovery:
    """Return an official's request for keys of somebody else, by choice or by serial numbers; agents are told.

    Raises `role_missing`, `own_key`; `NotFound` `escrowed_key_unknown`, `Conflict` `escrowed_key_destroyed`.
    """
    now = deps.clock.now()
    with deps.database.transaction() as tx:
        participants.require(tx, official, Role.KEY_RECOVERY_OFFICIAL, owner=order.person)
        recovery = Recovery(
            id=random_id(deps.entropy),
            order=order,
            key_ids=tuple(sorted(key.id for key in _chosen(tx, order.person, wanted))),
            state=RecoveryState.REQUESTED,
            requested_by=official,
            requested_at=now,
            expires_at=now + LIFETIME,
        )
        recoveries.add(tx, recovery)
        _record(tx, deps, "requested", recovery, actor=official, source=source)
        participants.tell_agents(tx, deps, recovery)
    return recovery


def approve(deps: Dependencies, recovery_id: UUID, *, agent: UUID, source: str = "") -> tuple[Recovery, Secret[str]]:
    """Approve a recovery as one of two agents; return it, and the half of the password that is shown this once.

    Raises `role_missing`, `own_key`, `other_agent_needed`, `recovery_unknown`, `recovery_state`, `recovery_expired`;
    `approval_void` and `escrowed_key_destroyed`, which end the recovery.
    """
    try:
        return _approve(deps, recovery_id, agent=agent, source=source)
    except EtymonError as refusal:
        with deps.database.transaction() as tx:
            _fail(tx, deps, recovery_id, refusal)
        raise


def _approve(deps: Dependencies, recovery_id: UUID, *, agent: UUID, source: str) -> tuple[Recovery, Secret[str]]:
    with deps.database.transaction() as tx:
        recovery = _live(tx, deps, recovery_id)
        participants.require(tx, agent, Role.KEY_RECOVERY_AGENT, owner=recovery.order.person)
        if agent in {recovery.requested_by, recovery.first.agent if recovery.first else None}:
            raise other_agent_needed()
        participants.require_agents_still(tx, recovery)
        for key_id in recovery.key_ids:
            store.wrapped(tx, key_id)
        is_first = recovery.state is RecoveryState.REQUESTED
        half = recovered_key.half(deps.entropy, 1 if is_first else 2)
        given = Approval(agent, deps.clock.now(), _digest(deps, recovery_id, half))
        approved = recoveries.approve(tx, recovery, given)
        _record(tx, deps, "approved", approved, actor=agent, source=source)
        if not is_first:
            participants.tell_official(tx, deps, approved, "approved by two agents: collect it with both halves")
    return approved, half


def refuse(deps: Dependencies, recovery_id: UUID, reason: str, *, by: UUID, source: str = "") -> Recovery:
    """End a recovery that waits, for a reason: any agent may, and the official who asked. Raises as `approve` does."""
    check_reason(reason)
    with deps.database.transaction() as tx:
        recovery = _live(tx, deps, recovery_id)
        is_asking = by == recovery.requested_by
        role = Role.KEY_RECOVERY_OFFICIAL if is_asking else Role.KEY_RECOVERY_AGENT
        participants.require(tx, by, role, owner=recovery.order.person)
        refused = _end(tx, deps, recovery, RecoveryState.REFUSED, reason, by=by, source=source)
        if not is_asking:
            participants.tell_official(tx, deps, refused, f"refused by an agent: {reason}")
    return refused


def collect(
    deps: Dependencies, recovery_id: UUID, halves: Sequence[str], *, official: UUID, source: str = ""
) -> tuple[RecoveredKey, ...]:
    """Return the keys of an approved recovery, once, to the official who asked and has both halves of the password.

    Runs transactions of its own; every refusal is recorded. Whoever loses the answer asks anew. A key that does not
    open makes the whole recovery fail. Raises as `approve` does, `halves_wrong`, `escrowed_key_unusable`, and
    `Unavailable` while the audit trail stands still or a token is away: the recovery then waits on.
    """
    try:
        with deps.database.transaction() as tx:
            sealer.require_live(tx, deps.clock)
            recovery, under = _admitted(tx, deps, recovery_id, halves, official=official)
            wrapped = [store.wrapped(tx, key_id) for key_id in recovery.key_ids]
        packed = tuple(
            recovered_key.packed(deps, each, under) for each in wrapped
        )  # may ask a token: in no transaction
        with deps.database.transaction() as tx:
            sealer.require_live(tx, deps.clock)
            recovery, _ = _admitted(tx, deps, recovery_id, halves, official=official)
            _deliver(tx, deps, recovery, official=official, source=source)
    except EtymonError as refusal:
        with deps.database.transaction() as tx:
            _not_delivered(tx, deps, recovery_id, refusal, official=official, source=source)
        raise
    return packed


def end_late(deps: Dependencies, limit: int = 100) -> int:
    """Let what was not collected in time expire, and tell those whose keys were asked for; return how many."""
    with deps.database.snapshot() as tx:
        late = recoveries.over_at(tx, deps.clock.now(), limit)
    for recovery_id in late:
        with deps.database.transaction() as tx:
            recovery = recoveries.lock(tx, recovery_id)
            if recovery.state in WAITING:
                _end(tx, deps, recovery, RecoveryState.EXPIRED, "not collected in time")
    return len(late)


def _chosen(tx: Transaction, person: UUID, wanted: Choice | Sequence[int]) -> list[EscrowedKey]:
    """Return the certified keys that are asked for; a key without a certificate has nothing encrypted to it."""
    known = store.ever_of_person(tx, person)
    if isinstance(wanted, Choice):
        kept = [key for key in known if key.state is not EscrowState.DESTROYED]
        chosen = kept[:1] if wanted is Choice.CURRENT else kept
    else:
        chosen = [key for key in known if key.certificate and key.certificate.serial_number in wanted]
        if len(chosen) != len(set(wanted)):
            raise key_unknown()
    if not chosen:
        raise key_unknown()
    if any(key.state is EscrowState.DESTROYED for key in chosen):
        raise key_destroyed()
    return chosen


def _live(tx: Transaction, deps: Dependencies, recovery_id: UUID) -> Recovery:
    """Return a recovery that waits, locked."""
    recovery = recoveries.lock(tx, recovery_id)
    if recovery.state is RecoveryState.EXPIRED or deps.clock.now() >= recovery.expires_at:
        raise recovery_expired()
    if recovery.state not in WAITING:
        raise recovery_state(recovery.state.value)
    return recovery


def _admitted(
    tx: Transaction, deps: Dependencies, recovery_id: UUID, halves: Sequence[str], *, official: UUID
) -> tuple[Recovery, Secret[bytes]]:
    """Return a recovery, locked, and its password if this person collects it, and who approved it may still."""
    recovery = _live(tx, deps, recovery_id)
    if official != recovery.requested_by:
        raise recovery_unknown()
    asked, role = recovery.requested_at, Role.KEY_RECOVERY_OFFICIAL
    participants.require(tx, official, role, owner=recovery.order.person, since=asked)
    if recovery.state is not RecoveryState.APPROVED or recovery.first is None or recovery.second is None:
        raise recovery_state(recovery.state.value)
    participants.require_agents_still(tx, recovery)
    typed = sorted((recovered_key.typed(half) for half in halves), key=lambda half: half.reveal())
    digests = [_digest(deps, recovery.id, half) for half in typed]
    if len(digests) != 2 or not (
        same(digests[0], recovery.first.half_digest) & same(digests[1], recovery.second.half_digest)
    ):
        raise halves_wrong()
    return recovery, recovered_key.password(*typed)


def _digest(deps: Dependencies, recovery_id: UUID, half: Secret[str]) -> bytes:
    return deps.digest_key.digest(f"key-recovery-half:{recovery_id}", half)


def _deliver(tx: Transaction, deps: Dependencies, recovery: Recovery, *, official: UUID, source: str) -> None:
    """Put a recovery and the release of each of its keys on record, and tell whose keys they are."""
    recoveries.move(tx, recovery, RecoveryState.DELIVERED)
    reason, actor = recovery.order.reason, f"person:{official}"
    for key_id in recovery.key_ids:
        delivery.release_recovered(tx, deps, key_id, recovery.id, reason=reason, actor=actor, source=source)
    _record(tx, deps, "delivered", recovery, actor=official, source=source)
    owner_notice.recovered(tx, deps, recovery)


def _not_delivered(
    tx: Transaction, deps: Dependencies, recovery_id: UUID, refusal: EtymonError, *, official: UUID, source: str
) -> None:
    """Record that a recovery was not delivered."""
    subject, facts = f"recovery:{recovery_id}", {"refusal": refusal.code}
    actor = f"person:{official}"
    failure = Outcome.FAILURE
    record(
        tx, deps, "recovery:delivery_refused", actor=actor, subject=subject, facts=facts, outcome=failure, source=source
    )
    _fail(tx, deps, recovery_id, refusal)


def _fail(tx: Transaction, deps: Dependencies, recovery_id: UUID, refusal: EtymonError) -> None:
    """End a recovery that nothing can deliver any more; one that was refused for another reason goes on."""
    if refusal.code in HOPELESS:
        recovery = recoveries.lock(tx, recovery_id)
        if recovery.state in WAITING:
            _end(tx, deps, recovery, RecoveryState.FAILED, refusal.code)


def _end(
    tx: Transaction,
    deps: Dependencies,
    recovery: Recovery,
    to: RecoveryState,
    reason: str,
    *,
    by: UUID | None = None,
    source: str = "",
) -> Recovery:
    """End a recovery without a key, on record, and tell whose keys were asked for."""
    end = End(deps.clock.now(), by, reason)
    recoveries.move(tx, recovery, to, ended_at=end.at, ended_by=by, end_reason=reason)
    ended = replace(recovery, state=to, end=end)
    _record(tx, deps, to.value, ended, actor=by, source=source, refusal=reason)
    owner_notice.not_recovered(tx, deps, ended)
    return ended


def _record(
    tx: Transaction, deps: Dependencies, verb: str, recovery: Recovery, *, actor: UUID | None, source: str, **more: Fact
) -> None:
    order = recovery.order
    facts: dict[str, Fact] = {
        "owner": str(order.person),
        "escrowed_keys": ",".join(map(str, recovery.key_ids)),
        "requestor": order.requestor,
        "authority": order.authority.value,
        "reference": order.reference,
        "document_sha256": order.document_sha256.hex() if order.document_sha256 else None,
        "reason": order.reason,
        "notice_withheld": order.notice is Notice.WITHHELD,
        **more,
    }
    who = "worker" if actor is None else f"person:{actor}"
    record(tx, deps, f"recovery:{verb}", actor=who, subject=f"recovery:{recovery.id}", facts=facts, source=source)
