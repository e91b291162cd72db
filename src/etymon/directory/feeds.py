# SPDX-License-Identifier: Apache-2.0
"""Identity feeds: programs of whoever knows who works here. An Officer names them, a key authenticates them.

A feed tells of its own people only. What could open an account to somebody, a card, it may tell of only if an Officer
said so, and never for people who hold a role.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from etymon.audit.model import Fact
from etymon.audit.refusals import ANONYMOUS
from etymon.directory.dependencies import FeedDependencies, Recording, record
from etymon.directory.errors import account_owned, feed_unknown
from etymon.directory.store import feeds as store
from etymon.directory.store import identity_accounts
from etymon.directory.store import people as people_store
from etymon.directory.store.feeds import Feed
from etymon.kernel.entropy import random_token
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction
from etymon.web import client_assertion

SCOPE: Final = "scim"
TOKEN_PATH: Final = "/scim/oauth/token"  # noqa: S105 - an address
TOKEN_LIFETIME: Final = timedelta(minutes=10)
TOKEN_BITS: Final = 256


def register(
    tx: Transaction,
    deps: Recording,
    *,
    feed_id: str,
    name: str,
    public_key: Mapping[str, Any],
    may_bind_cards: bool,
    actor: str,
) -> Feed:
    """Register a feed, or change its name, key and right; the tokens it has end. `public_key` is a P-256 JWK.

    Raises `Malformed` `malformed_client`.
    """
    client_assertion.check_client(feed_id, name)
    key = client_assertion.public_part(public_key)
    store.save(tx, Feed(feed_id, name, key, may_bind_cards, deps.clock.now()))
    facts: dict[str, Fact] = {"name": name, "may_bind_cards": may_bind_cards}
    record(tx, deps, "feed:registered", actor=actor, subject=f"feed:{feed_id}", facts=facts)
    return find(tx, feed_id)


def end(tx: Transaction, deps: Recording, feed_id: str, *, actor: str) -> None:
    """End a feed and its tokens; its people stay. `NotFound` when there is none."""
    if not store.end(tx, feed_id, deps.clock.now()):
        raise feed_unknown()
    record(tx, deps, "feed:ended", actor=actor, subject=f"feed:{feed_id}")


def hand_over(
    tx: Transaction, deps: Recording, feed_id: str, person_id: UUID, *, external_id: str | None, actor: str
) -> None:
    """Let a feed tell of a person who was there before; `Conflict` when somebody else does, or the name is taken."""
    find(tx, feed_id)
    people_store.locked(tx, person_id)
    if not identity_accounts.add(tx, person_id, feed_id, external_id):
        known = identity_accounts.find(tx, person_id)
        if known is None or (known.feed, known.external_id) != (feed_id, external_id):
            raise account_owned()
        return
    store.count_accounts(tx, feed_id, 1)
    record(
        tx, deps, "identity_account:handed_over", actor=actor, subject=f"person:{person_id}", facts={"feed": feed_id}
    )


def find(tx: Transaction, feed_id: str) -> Feed:
    """Return a feed; `NotFound` when there is none."""
    found = store.find(tx, feed_id)
    if found is None:
        raise feed_unknown()
    return found


def all_of(tx: Transaction) -> list[Feed]:
    """Return the feeds by id."""
    return store.all_of(tx)


def give_token(deps: FeedDependencies, assertion: str, *, source: str) -> Secret[str]:
    """Return an access token for the feed that signed `assertion`, good for `TOKEN_LIFETIME`.

    An assertion is good once. Raises `NotAuthenticated` `invalid_client`, which is recorded.
    """
    with deps.refusals.noted("directory:feed:refused", actor=ANONYMOUS, subject="feed", source=source):
        return _give_token(deps, assertion, source)


def by_token(deps: FeedDependencies, token: Secret[str], *, source: str) -> Feed:
    """Return the feed whose live token this is; `NotAuthenticated` otherwise, which is recorded if there was one."""
    with deps.database.snapshot() as tx:
        feed = store.by_token(tx, _digest(deps, token), deps.clock.now())
    if feed is not None:
        return feed
    refusal = client_assertion.token_not_valid()
    if token.reveal():
        deps.refusals.record(
            "directory:feed:refused", actor=ANONYMOUS, subject="feed", source=source, code=refusal.code
        )
    raise refusal


def remove_what_is_over(deps: FeedDependencies) -> int:
    """Forget tokens and assertions whose time is over; return how many."""
    with deps.database.transaction() as tx:
        return store.remove_what_is_over(tx, deps.clock.now())


def _give_token(deps: FeedDependencies, assertion: str, source: str) -> Secret[str]:
    now = deps.clock.now()
    token = Secret(random_token(deps.entropy, bits=TOKEN_BITS))
    with deps.database.transaction() as tx:
        feed = store.find(tx, client_assertion.claimed_client(assertion))
        if feed is None:
            raise client_assertion.invalid_client()
        audiences = (f"{deps.site_url}{TOKEN_PATH}", f"{deps.site_url}/scim/v2")
        proven = client_assertion.prove(assertion, feed.id, feed.public_key, audiences=audiences, now=now)
        digest = deps.digest_key.digest("directory.feed_assertion", f"{feed.id}\x00{proven.id}")
        if not store.use_assertion(tx, digest, proven.forget_at):
            raise client_assertion.invalid_client()
        store.add_token(tx, _digest(deps, token), feed.id, now + TOKEN_LIFETIME)
        record(tx, deps, "feed:signed_in", actor=f"feed:{feed.id}", subject=f"feed:{feed.id}", source=source)
    return token


def _digest(deps: FeedDependencies, token: Secret[str]) -> bytes:
    return deps.digest_key.digest("directory.feed_token", token)
