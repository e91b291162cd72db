# SPDX-License-Identifier: Apache-2.0
"""The end of certificates that connectors gave out: by their endpoint manager, or with all of a person's."""

import re
from typing import Final
from uuid import UUID

from etymon.issuer.dependencies import Dependencies
from etymon.issuer.model import EndReason
from etymon.issuer.scep import completion, connectors, errors, store
from etymon.issuer.store.clients import Client
from etymon.storage.database import Transaction

SERIAL_NUMBER: Final = re.compile(r"[0-9a-f]{1,40}")


def end_certificate(
    deps: Dependencies, client: Client, connector_name: str, serial_number: str, reason: EndReason, *, source: str
) -> UUID:
    """End the certificate with a serial number that the client's connector gave out; ending it twice does no harm.

    Raises `NotFound` for any other, and `not_your_connector`.
    """
    actor = f"client:{client.id}"
    subject = f"scep_connector:{connector_name}"
    with (
        deps.refusals.noted("issuer:scep_ending:refused", actor=actor, subject=subject, source=source),
        deps.database.transaction() as tx,
    ):
        connector = connectors.load(tx, connector_name)
        if connector.client != client.id:
            raise errors.not_the_connectors_client()
        usable = SERIAL_NUMBER.fullmatch(serial_number)
        mine = store.enrollments_by_serial(tx, serial_number.lstrip("0"), connector) if usable else ()
        if len(mine) != 1:
            raise errors.certificate_unknown()
        completion.end_one(tx, deps, mine[0].id, reason, actor=actor, source=source)
        return mine[0].id


def account_ended(deps: Dependencies, person: UUID) -> None:
    """End every certificate of a person whose account has ended (FIPS 201-3 §2.9.4)."""
    with deps.database.transaction() as tx:
        end_of_person(tx, deps, person, EndReason.AFFILIATION_CHANGED, actor="directory", source="worker")


def end_of_person(
    tx: Transaction, deps: Dependencies, person: UUID, reason: EndReason, *, actor: str, source: str
) -> int:
    """End all that connectors gave a person, and the challenges that wait for one; return how many certificates.

    The challenges go first: whoever was using one is waited for, and what came of it is among the certificates. A
    renewal that was under way is found when its predecessor has ended.
    """
    store.end_waiting_challenges(tx, deps.clock.now(), person=person)
    ended = 0
    while found := store.enrollments_of_person(tx, person):
        ended += sum(completion.end_one(tx, deps, each.id, reason, actor=actor, source=source) for each in found)
    return ended
