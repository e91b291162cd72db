# SPDX-License-Identifier: Apache-2.0
"""One-time challenges: an endpoint manager asks for one, its device sends it back inside a request, once.

Whose certificate it will be is decided when the challenge is made, not by the request that brings it.
"""

from typing import Final

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import people
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.scep import connector_store, connectors, errors, store
from etymon.issuer.scep.model import CHALLENGE_LIFETIME, Challenge, ChallengeSource, Connector, Holder
from etymon.issuer.store.clients import Client
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import NotAuthenticated
from etymon.kernel.secret import Secret, same
from etymon.storage.database import Transaction

REFUSED_EVENT: Final = "issuer:scep_challenge:refused"

CHALLENGE_OCTETS: Final = 16
"""128 random bits, as upper-case hexadecimal: any string type of a request can carry that."""

LONGEST: Final = 16 * 1024
"""Challenges of Intune are sealed documents of some kilobytes."""

MOST_WAITING: Final = 5000
"""A page that gave out more would have lost the device, or its password."""


def ask(
    deps: Dependencies, client: Client, connector_name: str, holder: Holder, *, source: str
) -> tuple[Secret[str], Challenge]:
    """Return a new challenge for `holder` to the management client of the connector; it lives an hour.

    Raises `NotFound`, `not_your_connector`, `no_challenges_here`, `not_eligible` for a person whose account has ended.
    """
    with (
        deps.refusals.noted(
            REFUSED_EVENT,
            actor=f"client:{client.id}",
            subject=f"scep_connector:{connector_name}",
            source=source,
        ),
        deps.database.transaction() as tx,
    ):
        connector = connectors.load(tx, connector_name)
        if connector.client != client.id:
            raise errors.not_the_connectors_client()
        if connector.source is not ChallengeSource.MANAGEMENT:
            raise errors.no_challenges_here()
        return _make(tx, deps, connector, holder, actor=f"client:{client.id}", source=source)


def ask_page(
    deps: Dependencies, connector_name: str, password: Secret[str], *, person: str | None, source: str
) -> tuple[Secret[str], Challenge]:
    """Return a new challenge to whoever has the password of the connector's page.

    `person` is a user principal name. Without one the challenge is for a device that is only a fresh number: the page
    of NDES names nobody. Raises `NotAuthenticated` `page_password_wrong`, and like `ask`.
    """
    subject = f"scep_connector:{connector_name}"
    with (
        deps.refusals.noted(REFUSED_EVENT, actor=ANONYMOUS, subject=subject, source=source),
        deps.database.transaction() as tx,
    ):
        connector = _of_page(tx, deps, connector_name, password)
        found = people.by_user_principal_name(tx, person) if person is not None else None
        if person is not None and found is None:
            raise errors.holder_not_active()
        holder = Holder(found.id if found else None, None if found else random_id(deps.entropy))
        return _make(tx, deps, connector, holder, actor=f"scep_page:{connector_name}", source=source)


def digest(deps: Dependencies, challenge: Secret[str]) -> bytes:
    """Return what is kept of a challenge."""
    return deps.digest_key.digest("issuer.scep_challenge", challenge)


def _of_page(tx: Transaction, deps: Dependencies, name: str, password: Secret[str]) -> Connector:
    found = connector_store.find(tx, name)
    kept = found[1] if found and found[1] else bytes(32)
    if not same(kept, connectors.page_password_digest(deps, name, password)) or found is None:
        raise NotAuthenticated("page_password_wrong", "Sign in with the connector's name and its page's password.")
    return found[0]


def _make(
    tx: Transaction, deps: Dependencies, connector: Connector, holder: Holder, *, actor: str, source: str
) -> tuple[Secret[str], Challenge]:
    now = deps.clock.now()
    person = people.find(tx, holder.person) if holder.person is not None else None
    if holder.person is not None and (person is None or not person.active):
        raise errors.holder_not_active()
    if store.waiting_challenges(tx, connector, now) >= MOST_WAITING:
        raise errors.cache_full()
    secret = Secret(deps.entropy.octets(CHALLENGE_OCTETS).hex().upper())
    challenge = Challenge(
        id=random_id(deps.entropy),
        connector=connector.name,
        connector_id=connector.id,
        holder=holder,
        asked_by=actor,
        made_at=now,
        expires_at=now + CHALLENGE_LIFETIME,
    )
    store.add_challenge(tx, challenge, digest(deps, secret))
    record(
        tx,
        deps,
        "scep_challenge:made",
        actor=actor,
        subject=challenge.id,
        source=source,
        connector=connector.name,
        person=str(holder.person or ""),
        device=str(holder.device or ""),
    )
    return secret, challenge
