# SPDX-License-Identifier: Apache-2.0
"""Connectors: made, changed and withdrawn by officers; issuance by SCEP and EST runs under one (CP 4.1.2, 5.2.1)."""

import re
from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog

from etymon.ca import authorities
from etymon.directory import roles
from etymon.directory.model import Role
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import Purpose
from etymon.issuer.scep import connector_store
from etymon.issuer.scep.errors import connector_unknown, name_reserved, not_by_officer
from etymon.issuer.scep.model import HIERARCHY, ChallengeSource, Connector
from etymon.issuer.store import clients
from etymon.kernel.entropy import random_id, random_token
from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.kernel.secret import Secret
from etymon.storage import jobs
from etymon.storage.database import Transaction

log = structlog.get_logger("etymon.issuer")

PREPARE: Final = "issuer.scep_prepare"
"""Kind of the job that makes a registration authority where there is none."""

PASSWORD_BITS: Final = 128
PASSWORD: Final = re.compile(r"[!-~]{20,200}")

RESERVED_NAMES: Final = frozenset(
    {*Purpose, "cacerts", "csrattrs", "fullcmc", "serverkeygen", "simpleenroll", "simplereenroll"}
)
"""Labels of EST that are a phone's, and what no label may be (RFC 7030 §3.2.2)."""


def save(
    tx: Transaction,
    deps: Dependencies,
    connector: Connector,
    *,
    officer: UUID,
    page_password: Secret[str] | None = None,
) -> Secret[str] | None:
    """Put a connector in force under its name; the one in force there is changed to it.

    One that was withdrawn under that name is another one: the new one has nothing of what it gave out.
    A challenge page has `page_password`; without one a new password is made and returned, which is shown once and not
    kept. Letting old algorithms in is written to log and trail. Raises `officer_required`, `page_password_unsuitable`,
    `name_reserved`, and `NotFound` for an unknown client, or where this deployment has no authority for endpoints.
    """
    _require_officer(tx, officer)
    _require_possible(tx, connector, page_password)
    password, made = page_password, None
    if connector.source is ChallengeSource.PAGE and password is None:
        password = made = Secret(random_token(deps.entropy, bits=PASSWORD_BITS))
    known = connector_store.find(tx, connector.name)
    kept = replace(connector, created_by=officer, created_at=deps.clock.now())
    saved = connector_store.save(
        tx,
        kept,
        page_password_digest(deps, kept.name, password) if password else None,
        fresh=random_id(deps.entropy),
        former=random_id(deps.entropy),
    )
    jobs.enqueue(tx, deps.clock, deps.entropy, PREPARE, {}, key=PREPARE)
    if kept.legacy_algorithms:
        log.warning("scep_lets_old_algorithms_in", connector=kept.name)
    record(
        tx,
        deps,
        "scep_connector:changed" if known else "scep_connector:made",
        actor=f"person:{officer}",
        subject=f"scep_connector:{kept.name}",
        connector_id=str(saved),
        asked_from=kept.source.value,
        client=kept.client or "",
        lifetime_days=kept.lifetime.days,
        key_types=" ".join(sorted(kind.value for kind in kept.key_types)),
        old_algorithms="SHA-1 and triple DES let in" if kept.legacy_algorithms else "refused",
    )
    return made


def check(tx: Transaction, deps: Dependencies, connector: Connector, page_password: Secret[str] | None) -> None:
    """Refuse what `save` would refuse of an officer, and what could let nobody in; nothing is saved.

    Raises like `save`, and `Conflict` `intune_not_configured` where no tenant is named that could confirm requests.
    """
    _require_possible(tx, connector, page_password)
    if connector.source is ChallengeSource.INTUNE and deps.validation is None:
        raise Conflict(
            "intune_not_configured",
            "No tenant is configured that could confirm requests. Set intune_tenant, intune_client_id and "
            "intune_client_secret_file on the machines that serve.",
        )


def withdraw(tx: Transaction, deps: Dependencies, name: str, *, officer: UUID) -> None:
    """End a connector: nothing is answered there any more; what it gave out lives on. Raises like `save`."""
    _require_officer(tx, officer)
    if not connector_store.withdraw(tx, name, deps.clock.now()):
        raise connector_unknown()
    record(tx, deps, "scep_connector:withdrawn", actor=f"person:{officer}", subject=f"scep_connector:{name}")


def load(tx: Transaction, name: str) -> Connector:
    """Return a connector in force; `NotFound` otherwise."""
    found = connector_store.find(tx, name)
    if found is None:
        raise connector_unknown()
    return found[0]


def in_force(tx: Transaction) -> tuple[Connector, ...]:
    """Return the connectors in force, by name."""
    return connector_store.in_force(tx)


def page_password_digest(deps: Dependencies, name: str, password: Secret[str]) -> bytes:
    """Return what is kept of the password of a challenge page."""
    return deps.digest_key.digest("issuer.scep_page", f"{name}\x00{password.reveal()}")


def _require_possible(tx: Transaction, connector: Connector, password: Secret[str] | None) -> None:
    if connector.name in RESERVED_NAMES:
        raise name_reserved()
    authorities.current(tx, HIERARCHY)
    if connector.client is not None and clients.find(tx, connector.client) is None:
        raise NotFound("client_unknown", "There is no such client.")
    if password is not None and connector.source is not ChallengeSource.PAGE:
        raise Malformed("page_password_unsuitable", "Only a connector with a challenge page has a password.")
    if password is not None and not PASSWORD.fullmatch(password.reveal()):
        raise Malformed(
            "page_password_unsuitable",
            "A page's password has 20 to 200 printable characters of ASCII without spaces; draw it at random.",
        )


def _require_officer(tx: Transaction, person: UUID) -> None:
    if Role.OFFICER not in roles.roles_of(tx, person):
        raise not_by_officer()
