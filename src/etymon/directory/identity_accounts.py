# SPDX-License-Identifier: Apache-2.0
"""PIV identity accounts as a feed tells of them (FIPS 201-3 §2.9.4, SP 800-157 §2.4): people, their cards, their end.

A feed that is in the wrong hands must not become anybody. It reaches its own people only; ending is always its right;
binding a card is a right of its own that an Officer gives, and of people who hold a role it changes nothing but ends.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from etymon.directory import bindings, people
from etymon.directory.dependencies import FeedDependencies, record
from etymon.directory.errors import (
    account_over,
    account_unknown,
    card_unknown,
    cards_not_permitted,
    external_id_taken,
    role_holder,
)
from etymon.directory.model import Binding, BindingEnd, Person, Termination, TerminationReason
from etymon.directory.store import bindings as binding_store
from etymon.directory.store import feeds as feed_store
from etymon.directory.store import groups as group_store
from etymon.directory.store import identity_accounts as store
from etymon.directory.store import people as people_store
from etymon.directory.store import terminations
from etymon.directory.store.feeds import Feed
from etymon.directory.store.identity_accounts import Ownership
from etymon.pki.trust_entry import TrustKind
from etymon.storage import jobs
from etymon.storage.database import Transaction

ACCOUNT_CHANGED_JOB: Final = "directory.account_changed"
"""Payload: `person`. Whoever shows people to devices looks again."""

PAGE_LIMIT: Final = 100


class CardName(NamedTuple):
    """What names a card: a binding's trust entry and identifier."""

    trust_entry: str
    identifier: str


@dataclass(frozen=True, slots=True)
class CardWish:
    """How a card of a person is to stand. `end` is None for one that is in use; `replaces` is the one before it."""

    card: CardName
    end: BindingEnd | None
    replaces: CardName | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """How an account is to be: all of it but for cards, of which those that are not named stay as they are."""

    user_principal_name: str
    display_name: str
    mail_addresses: tuple[str, ...]
    external_id: str | None
    termination: TerminationReason | None = None
    cards: tuple[CardWish, ...] = ()


@dataclass(frozen=True, slots=True)
class IdentityAccount:
    """An account as its feed sees it; `cards` are all there were, oldest first."""

    person: Person
    external_id: str | None
    cards: tuple[Binding, ...]
    termination: Termination | None
    created_at: datetime
    modified_at: datetime


def create(tx: Transaction, deps: FeedDependencies, feed: Feed, wish: Wish) -> IdentityAccount:
    """Return a new account of a feed; `Conflict` when a name or address of it is taken.

    Raises what binding its cards does.
    """
    person = people.create(
        tx,
        deps,
        user_principal_name=wish.user_principal_name,
        display_name=wish.display_name,
        mail_addresses=wish.mail_addresses,
        actor=_actor(feed),
    )
    if not store.add(tx, person.id, feed.id, wish.external_id):
        raise external_id_taken()
    feed_store.count_accounts(tx, feed.id, 1)
    facts = {"feed": feed.id}
    record(tx, deps, "identity_account:created", actor=_actor(feed), subject=f"person:{person.id}", facts=facts)
    for card in wish.cards:
        _stand(tx, deps, feed, person, card)
    if wish.termination is not None:
        _terminate(tx, deps, feed, person.id, wish.termination)
    return find(tx, feed, person.id)


def find(tx: Transaction, feed: Feed, person_id: UUID) -> IdentityAccount:
    """Return an account of a feed; `NotFound` for anybody else's."""
    return _whole(tx, _own(tx, feed, person_id))


def page(tx: Transaction, feed: Feed, *, after: UUID | None = None, skip: int = 0, limit: int) -> list[IdentityAccount]:
    """Return accounts of a feed by id, at most `PAGE_LIMIT`: those after a known one, or but for the first ones."""
    found = store.page(tx, feed.id, after=after, skip=skip, limit=min(limit, PAGE_LIMIT))
    return [_whole(tx, ownership) for ownership in found]


def by_user_principal_name(tx: Transaction, feed: Feed, name: str) -> list[IdentityAccount]:
    """Return the active account of a feed with this name."""
    person = people.by_user_principal_name(tx, name) if name.isprintable() else None
    known = store.find(tx, person.id) if person else None
    return [_whole(tx, known)] if known is not None and known.feed == feed.id else []


def by_external_id(tx: Transaction, feed: Feed, external_id: str) -> list[IdentityAccount]:
    """Return the accounts that a feed calls so: the active one, and those before it."""
    return [_whole(tx, known) for known in store.by_external_id(tx, feed.id, external_id, PAGE_LIMIT)]


def kept(tx: Transaction, feed: Feed, person_id: UUID) -> IdentityAccount:
    """Return an account of a feed that nobody else changes before this transaction ends."""
    people.keep_active(tx, _own(tx, feed, person_id).person)
    return find(tx, feed, person_id)


def change(tx: Transaction, deps: FeedDependencies, feed: Feed, before: IdentityAccount, wish: Wish) -> IdentityAccount:
    """Return a kept account as it is wished; nothing happens where it is so already.

    Of one that is over nothing changes any more: `Conflict` `account_over`. Raises `role_holder`,
    `cards_not_permitted`, `card_unknown`, and what binding a card does.
    """
    person = before.person
    profile = replace(
        person,
        user_principal_name=wish.user_principal_name,
        display_name=wish.display_name,
        mail_addresses=wish.mail_addresses,
    )
    differs = profile != person or wish.external_id != before.external_id
    if not person.active:
        if differs or wish.termination is None or any(card.end is None for card in wish.cards):
            raise account_over()
        return before
    if differs:
        _update(tx, deps, feed, before, wish)
    for card in wish.cards:
        _stand(tx, deps, feed, person, card)
    if wish.termination is not None:
        _terminate(tx, deps, feed, person.id, wish.termination)
    return find(tx, feed, person.id)


def remove(tx: Transaction, deps: FeedDependencies, feed: Feed, before: IdentityAccount) -> None:
    """End a kept account if it is active, and show it to its feed no more."""
    person = before.person
    if person.active:
        _terminate(tx, deps, feed, person.id, TerminationReason.UNSPECIFIED)
    if store.remove(tx, person.id, deps.clock.now()):
        feed_store.count_accounts(tx, feed.id, -1)
        facts = {"feed": feed.id}
        record(tx, deps, "identity_account:removed", actor=_actor(feed), subject=f"person:{person.id}", facts=facts)


def _update(tx: Transaction, deps: FeedDependencies, feed: Feed, before: IdentityAccount, wish: Wish) -> None:
    person = before.person
    if group_store.roles_of(tx, person.id):
        raise role_holder()
    if wish.external_id != before.external_id:
        store.rename(tx, person.id, wish.external_id)
    people.update(
        tx,
        deps,
        person.id,
        user_principal_name=wish.user_principal_name,
        display_name=wish.display_name,
        mail_addresses=wish.mail_addresses,
        actor=_actor(feed),
    )
    jobs.enqueue(tx, deps.clock, deps.entropy, ACCOUNT_CHANGED_JOB, {"person": str(person.id)})


def _stand(tx: Transaction, deps: FeedDependencies, feed: Feed, person: Person, wish: CardWish) -> None:
    """Bring a card of a person to how it is to stand."""
    live = binding_store.live(tx, *wish.card)
    mine = live is not None and live.person_id == person.id
    if wish.end is not None:
        _end(tx, deps, feed, person, wish.card, wish.end)
        return
    before = _card(tx, person, wish.replaces) if wish.replaces else None
    if mine and (before is None or before.ended_at is not None):
        return
    if not feed.may_bind_cards or group_store.roles_of(tx, person.id):
        raise cards_not_permitted()
    if binding_store.keep_entry(tx, wish.card.trust_entry) is not TrustKind.CARD:
        raise card_unknown()
    entry, identifier = wish.card
    if before is None:
        bindings.bind(tx, deps, trust_entry=entry, identifier=identifier, person_id=person.id, actor=_actor(feed))
    else:
        bindings.replace(tx, deps, before.id, trust_entry=entry, identifier=identifier, actor=_actor(feed))


def _end(
    tx: Transaction, deps: FeedDependencies, feed: Feed, person: Person, card: CardName, reason: BindingEnd
) -> None:
    known = _card(tx, person, card)
    if known.ended_at is None:
        bindings.end(tx, deps, known.id, reason=reason, actor=_actor(feed))


def _card(tx: Transaction, person: Person, name: CardName) -> Binding:
    """Return the newest binding of a card to a person; a derived credential is none, and not a feed's to end."""
    known = binding_store.last(tx, name.trust_entry, name.identifier, person.id)
    if known is None or binding_store.kind_of(tx, name.trust_entry) is not TrustKind.CARD:
        raise card_unknown()
    return known


def _terminate(tx: Transaction, deps: FeedDependencies, feed: Feed, person: UUID, reason: TerminationReason) -> None:
    people.end_account(tx, deps, person, reason=reason, within=deps.terminated_within, actor=_actor(feed))


def _own(tx: Transaction, feed: Feed, person_id: UUID) -> Ownership:
    known = store.find(tx, person_id)
    if known is None or known.feed != feed.id:
        raise account_unknown()
    return known


def _whole(tx: Transaction, ownership: Ownership) -> IdentityAccount:
    person = people_store.find(tx, ownership.person)
    if person is None:
        raise account_unknown()
    cards = tuple(binding_store.cards_of(tx, person.id))
    termination = None if person.active else terminations.find(tx, person.id)
    moments = [ownership.updated_at, *(card.ended_at or card.bound_at for card in cards)]
    if termination is not None:
        moments += [termination.reported_at, termination.closed_at or termination.reported_at]
    return IdentityAccount(person, ownership.external_id, cards, termination, ownership.created_at, max(moments))


def _actor(feed: Feed) -> str:
    return f"feed:{feed.id}"
