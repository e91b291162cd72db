# SPDX-License-Identifier: Apache-2.0
"""Which card or credential stands for whom, and the one-time codes that make a first binding."""

import re
from datetime import timedelta
from typing import Final
from uuid import UUID

from etymon.audit.model import Outcome
from etymon.directory import addresses, notices
from etymon.directory.dependencies import CodeKeeping, Recording, record
from etymon.directory.errors import (
    binding_unknown,
    code_refused,
    identifier_bound,
    not_a_card,
    same_card,
    trust_entry_unknown,
)
from etymon.directory.model import HARMLESS_ENDS, Binding, BindingEnd, Person, PresentedCode, check_identifier
from etymon.directory.store import bindings as store
from etymon.directory.store import people as people_store
from etymon.kernel.entropy import random_id, random_text
from etymon.kernel.errors import Unavailable
from etymon.kernel.secret import Secret, same
from etymon.pki.trust_entry import TrustKind
from etymon.storage import jobs
from etymon.storage.database import Transaction

CARDS_ENDED_JOB: Final = "directory.cards_ended"
"""Payload: `trust_entry`, `binding` (null: all there were under the entry) and `ended_at`. Whoever derived credentials
from these cards looks at what was derived lately (SP 800-157r1 §2.4)."""

CARD_REPLACED_JOB: Final = "directory.card_replaced"
"""Payload: `person`, `old` and `new`, both bindings. Whoever derived credentials from the old card links them to the
new one (SP 800-157 §2.4)."""

CODE_LIFETIME: Final = timedelta(minutes=10)
"""How long a binding code lives (SP 800-63B-4 §4.1.2.2: at most ten minutes)."""

INITIAL_CODE_LIFETIME: Final = timedelta(hours=24)
"""How long the codes of the first administrator and officer live, which `init` hands to whoever installs."""

CODE_TRIES: Final = 5
CODE_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""32 characters without I, L, O and U, which are misread or misspoken."""

SELECTOR_LENGTH: Final = 6
SECRET_LENGTH: Final = 24
"""120 bits (SP 800-63B-4 §4.1.2.2: at least 112 for a code used without an account identifier)."""
GROUP_LENGTH: Final = 5
TYPED_LIMIT: Final = 100
"""Characters that are looked at of what somebody typed."""

CODE_PURPOSE: Final = "directory.binding_code"
_CODE: Final = re.compile(f"[{CODE_ALPHABET}]{{{SELECTOR_LENGTH + SECRET_LENGTH}}}")
_MISREAD: Final = str.maketrans("OIL", "011", "- \t\r\n")


def bind(
    tx: Transaction, deps: Recording, *, trust_entry: str, identifier: str, person_id: UUID, actor: str
) -> Binding:
    """Let certificates that the entry accepts and that carry `identifier` stand for an active person.

    Nothing happens when that is so already; `Conflict` when the identifier stands for somebody else. The person is
    told of a new card; of a new derived credential, whoever issues it tells.
    """
    kind = store.keep_entry(tx, trust_entry)
    if kind is None:
        raise trust_entry_unknown()
    person, binding, is_new = _bound(tx, deps, trust_entry, identifier, person_id, actor=actor)
    if is_new and kind is TrustKind.CARD:
        _tell(tx, deps, person)
    return binding


def end(tx: Transaction, deps: Recording, binding_id: UUID, *, reason: str, actor: str) -> None:
    """End a binding: the card or credential no longer stands for anybody. The record of it stays.

    What was derived from a card lately is looked at, for the card may have been in other hands; not so where `reason`
    is one of `HARMLESS_ENDS`.
    """
    ended = store.end(tx, binding_id, deps.clock.now(), reason)
    if ended is None:
        raise binding_unknown()
    facts = {"trust_entry": ended.trust_entry, "binding": str(binding_id), "reason": reason}
    record(tx, deps, "binding:ended", actor=actor, subject=f"person:{ended.person_id}", facts=facts)
    if reason not in HARMLESS_ENDS and store.kind_of(tx, ended.trust_entry) is TrustKind.CARD:
        cards_ended(tx, deps, ended.trust_entry, binding_id)


def replace(
    tx: Transaction, deps: Recording, binding_id: UUID, *, trust_entry: str, identifier: str, actor: str
) -> Binding:
    """Let a new card of the same person take the place of one that is bound, or that ended without harm.

    What was derived from the old card stays and is linked to the new one (SP 800-157 §2.4). Nothing happens when that
    is so already. Raises `binding_unknown`, `not_a_card`, `trust_entry_unknown`, and `Conflict` `identifier_bound`.
    """
    old = store.find(tx, binding_id)
    if old is None or store.kind_of(tx, old.trust_entry) is not TrustKind.CARD:
        raise binding_unknown()
    if (old.trust_entry, old.identifier) == (trust_entry, identifier):
        raise same_card()
    kind = store.keep_entry(tx, trust_entry)
    if kind is None:
        raise trust_entry_unknown()
    if kind is not TrustKind.CARD:
        raise not_a_card()
    person, new, is_new = _bound(tx, deps, trust_entry, identifier, old.person_id, actor=actor)
    old = store.find(tx, binding_id) or old  # now that the account is locked
    if old.ended_at is None:
        end(tx, deps, binding_id, reason=BindingEnd.REPLACED, actor=actor)
    elif old.end_reason not in HARMLESS_ENDS:
        raise binding_unknown()
    elif not is_new:
        return new
    payload: dict[str, jobs.JSONValue] = {"person": str(person.id), "old": str(binding_id), "new": str(new.id)}
    jobs.enqueue(tx, deps.clock, deps.entropy, CARD_REPLACED_JOB, payload)
    _tell(tx, deps, person)
    return new


def cards_ended(tx: Transaction, deps: Recording, trust_entry: str, binding_id: UUID | None = None) -> None:
    """Have looked at what was derived lately from a card that stands for nobody any more, or from all of an entry."""
    payload: dict[str, jobs.JSONValue] = {
        "trust_entry": trust_entry,
        "binding": None if binding_id is None else str(binding_id),
        "ended_at": deps.clock.now().isoformat(),
    }
    jobs.enqueue(tx, deps.clock, deps.entropy, CARDS_ENDED_JOB, payload)


def find(tx: Transaction, binding_id: UUID) -> Binding | None:
    """Return a binding, ended or not."""
    return store.find(tx, binding_id)


def person_for(tx: Transaction, trust_entry: str, identifier: str) -> Person | None:
    """Return the active person for whom a validated certificate stands; None when there is none."""
    holder = holder_of(tx, trust_entry, identifier)
    return None if holder is None else people_store.find(tx, holder)


def holder_of(tx: Transaction, trust_entry: str, identifier: str) -> UUID | None:
    """Return the id of the active person for whom a validated certificate stands; None when there is none."""
    binding = store.live(tx, trust_entry, identifier)
    return None if binding is None else binding.person_id


def last_of(tx: Transaction, trust_entry: str, identifier: str, person_id: UUID) -> Binding | None:
    """Return the newest binding of a card to a person, ended or not."""
    return store.last(tx, trust_entry, identifier, person_id)


def bindings_of(tx: Transaction, person_id: UUID) -> tuple[Binding, ...]:
    """Return all bindings a person has or had, oldest first."""
    return tuple(store.of_person(tx, person_id))


def live_cards_of(tx: Transaction, person_id: UUID) -> tuple[Binding, ...]:
    """Return the cards that stand for a person, oldest first."""
    return tuple(card for card in store.cards_of(tx, person_id) if card.ended_at is None)


def issue_code(
    tx: Transaction, deps: CodeKeeping, *, person_id: UUID, actor: str, lifetime: timedelta = CODE_LIFETIME
) -> Secret[str]:
    """Return a new one-time code for an active person, in groups for typing; an earlier one ends.

    Hand it over on paper or aloud, never by mail or message (SP 800-63B-4 §4.1.2.2).
    """
    if not timedelta(0) < lifetime <= INITIAL_CODE_LIFETIME:
        message = "a binding code lives at most a day"
        raise ValueError(message)
    people_store.locked(tx, person_id)
    store.replace_codes(tx, person_id)
    selector = random_text(deps.entropy, CODE_ALPHABET, SELECTOR_LENGTH)
    code = selector + random_text(deps.entropy, CODE_ALPHABET, SECRET_LENGTH)
    now = deps.clock.now()
    added = store.add_code(
        tx,
        random_id(deps.entropy),
        person_id=person_id,
        selector=selector,
        digest=deps.digest_key.digest(CODE_PURPOSE, code),
        issued_at=now,
        expires_at=now + lifetime,
    )
    if not added:  # one in a thousand million: the selector is another code's
        raise Unavailable("binding_code_not_made", "The code could not be made. Try again.")
    facts = {"expires_at": (now + lifetime).isoformat()}
    record(tx, deps, "binding_code:issued", actor=actor, subject=f"person:{person_id}", facts=facts)
    return Secret("-".join(code[start : start + GROUP_LENGTH] for start in range(0, len(code), GROUP_LENGTH)))


def present_code(deps: CodeKeeping, code: Secret[str], *, source: str) -> PresentedCode:
    """Return a code as one that `redeem_code` takes; `NotPermitted` `binding_code_refused` when it is none.

    Wrong, used, replaced, too old and tried five times are not told apart. Runs transactions of its own: a try is
    counted, and a refusal recorded, whatever becomes of the caller's. `source` is where it was typed.
    """
    text = code.reveal()[:TYPED_LIMIT].upper().translate(_MISREAD)
    presented = None
    if _CODE.fullmatch(text):
        with deps.database.transaction() as tx:
            presented = store.try_code(tx, text[:SELECTOR_LENGTH], deps.clock.now(), tries_limit=CODE_TRIES)
    if presented is not None and same(presented.digest, deps.digest_key.digest(CODE_PURPOSE, text)):
        return presented
    subject = "binding_code" if presented is None else f"person:{presented.person_id}"
    with deps.database.transaction() as tx:
        record(
            tx,
            deps,
            "binding_code:refused",
            actor="anonymous",
            subject=subject,
            outcome=Outcome.FAILURE,
            source=source,
        )
    raise code_refused()


def redeem_code(
    tx: Transaction, deps: Recording, presented: PresentedCode, *, trust_entry: str, identifier: str
) -> Person:
    """Bind the card that was just proved to the person whose code this is, once, and return the person.

    The caller tells the person. `NotPermitted` `binding_code_refused` when the code was used or replaced meanwhile,
    `wrong_certificate_kind` unless the entry is one of cards; `Conflict` `identifier_bound` when the card is
    somebody else's. The code stays as it was when the caller's transaction fails.
    """
    kind = store.keep_entry(tx, trust_entry)
    people_store.lock(tx, presented.person_id)  # before the code, as whoever ends the person's codes does
    if not store.use_code(tx, presented.id, deps.clock.now()):
        raise code_refused()
    if kind is not TrustKind.CARD:
        raise not_a_card()
    actor = f"person:{presented.person_id}"
    person, _, _ = _bound(tx, deps, trust_entry, identifier, presented.person_id, actor=actor)
    record(tx, deps, "binding_code:redeemed", actor=actor, subject=actor)
    return person


def _bound(
    tx: Transaction, deps: Recording, trust_entry: str, identifier: str, person_id: UUID, *, actor: str
) -> tuple[Person, Binding, bool]:
    check_identifier(identifier)
    person = people_store.locked(tx, person_id)
    binding = Binding(random_id(deps.entropy), trust_entry, identifier, person_id, deps.clock.now(), None)
    if not store.add(tx, binding):
        known = store.live(tx, trust_entry, identifier)
        if known is None or known.person_id != person_id:
            raise identifier_bound()
        return person, known, False
    facts = {"trust_entry": trust_entry, "binding": str(binding.id)}
    record(tx, deps, "binding:bound", actor=actor, subject=f"person:{person_id}", facts=facts)
    return person, binding, True


def _tell(tx: Transaction, deps: Recording, person: Person) -> None:
    text = (
        f"A smart card or another credential was linked to your account {person.user_principal_name} and can now "
        "sign in as you.\n\nIf you do not expect this, tell your administrator at once."
    )
    to = addresses.to_tell(tx, deps.clock, person)
    notices.notify(tx, deps.clock, deps.entropy, to, "A credential was linked to your account", text)
