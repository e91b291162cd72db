# SPDX-License-Identifier: Apache-2.0
"""Identity feeds, what they presented, and the tokens they were given."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from etymon.directory.tables import feed_assertions, feed_tokens, feeds
from etymon.storage.database import Transaction
from etymon.storage.rows import insert_unless_taken


@dataclass(frozen=True, slots=True)
class Feed:
    """A program that tells of people. `may_bind_cards` lets it bind cards to its people who hold no role.

    `accounts` is how many people it has told of and not removed.
    """

    id: str
    name: str
    public_key: dict[str, str]
    may_bind_cards: bool
    registered_at: datetime
    accounts: int = 0


_COLUMNS = [feeds.c[name] for name in Feed.__dataclass_fields__]
_LIVE = feeds.c.ended_at.is_(None)


def save(tx: Transaction, feed: Feed) -> None:
    """Register a feed, or replace its name, key and right; tokens that were made for another key end."""
    values: dict[str, Any] = {
        "name": feed.name,
        "public_key": feed.public_key,
        "may_bind_cards": feed.may_bind_cards,
        "ended_at": None,
    }
    if insert_unless_taken(tx, feeds, id=feed.id, registered_at=feed.registered_at, accounts=0, **values):
        return
    tx.execute(feeds.update().where(feeds.c.id == feed.id).values(values))
    tx.execute(feed_tokens.delete().where(feed_tokens.c.feed_id == feed.id))


def end(tx: Transaction, feed: str, now: datetime) -> bool:
    """End a feed and its tokens; False when there is none."""
    tx.execute(feed_tokens.delete().where(feed_tokens.c.feed_id == feed))
    return tx.execute(feeds.update().where(feeds.c.id == feed, _LIVE).values(ended_at=now)).rowcount == 1


def find(tx: Transaction, feed: str) -> Feed | None:
    """Return a feed that has not ended."""
    row = tx.execute(sa.select(*_COLUMNS).where(feeds.c.id == feed, _LIVE)).one_or_none()
    return None if row is None else Feed(*row)


def all_of(tx: Transaction) -> list[Feed]:
    """Return the feeds by id: they are few."""
    return [Feed(*row) for row in tx.execute(sa.select(*_COLUMNS).where(_LIVE).order_by(feeds.c.id))]


def count_accounts(tx: Transaction, feed: str, by: int) -> None:
    """Note that a feed has more people, or fewer."""
    tx.execute(feeds.update().where(feeds.c.id == feed).values(accounts=feeds.c.accounts + by))


def use_assertion(tx: Transaction, digest: bytes, expires_at: datetime) -> bool:
    """Remember an assertion; False when it was presented before."""
    return insert_unless_taken(tx, feed_assertions, digest=digest, expires_at=expires_at)


def add_token(tx: Transaction, digest: bytes, feed: str, expires_at: datetime) -> None:
    """Keep an access token."""
    tx.execute(feed_tokens.insert().values(digest=digest, feed_id=feed, expires_at=expires_at))


def by_token(tx: Transaction, digest: bytes, now: datetime) -> Feed | None:
    """Return the feed whose token this is, as it stands now."""
    wanted = sa.select(*_COLUMNS).join(feed_tokens, feed_tokens.c.feed_id == feeds.c.id)
    row = tx.execute(wanted.where(feed_tokens.c.digest == digest, feed_tokens.c.expires_at > now, _LIVE)).one_or_none()
    return None if row is None else Feed(*row)


def remove_what_is_over(tx: Transaction, now: datetime) -> int:
    """Remove tokens and assertions whose time is over."""
    removed = tx.execute(feed_tokens.delete().where(feed_tokens.c.expires_at <= now)).rowcount
    return removed + tx.execute(feed_assertions.delete().where(feed_assertions.c.expires_at <= now)).rowcount
