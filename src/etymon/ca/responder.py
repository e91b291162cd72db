# SPDX-License-Identifier: Apache-2.0
"""Delegated OCSP responders: a key and a certificate of their own for each authority, renewed with a new key.

The responder's certificate lives 120 days at most; the authority's own key is not needed to answer.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from etymon.ca import issuance, status_store, store
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import IssuanceRequest, SubjectNames
from etymon.kernel.errors import NotFound, Unavailable
from etymon.pki.algorithms import key_type
from etymon.pki.certificate import public_key
from etymon.pki.csr import hold
from etymon.pki.keys import KeyStore
from etymon.pki.signer import Signer
from etymon.storage.database import Transaction

RENEWED_BEFORE_END: Final = timedelta(days=30)

_REQUEST: Final = "responder:"


@dataclass(frozen=True, slots=True)
class Responder:
    """Who answers for an authority: the responder's certificate and key, and the authority's own certificate.

    `asked` has id, state, revoked_at and reason of the certificate that the question named first, if we issued it.
    """

    der: bytes
    issuer_der: bytes
    signer: Signer
    asked: sa.Row[Any] | None


def current(tx: Transaction, deps: Dependencies, ca: str, serial: int) -> Responder:
    """Return the responder of an authority that is valid longest, with the record that it is asked about.

    Raises `NotFound` for an unknown authority and `Unavailable` where there is no responder.
    """
    row = status_store.responding(tx, ca, serial, deps.clock.now())
    if row is None:
        raise NotFound("authority_not_found", f"There is no certification authority called {ca}.")
    if row.der is None:
        raise Unavailable("responder_missing", f"The authority {ca} has no OCSP responder. Run the worker.")
    signer = deps.signer(row.request_key.removeprefix(_REQUEST))
    return Responder(row.der, row.certificate, signer, row if row.id is not None else None)


def renew(deps: Dependencies, keys: KeyStore, ca: str, *, actor: str) -> bool:
    """Make a responder with a new key where none is valid for another 30 days; say whether one was made."""
    with deps.database.snapshot() as tx:
        authority = issuance.find_authority(tx, ca)
        newest = store.newest_responder(tx, ca, deps.clock.now())
    if newest is not None and newest.not_after - deps.clock.now() > RENEWED_BEFORE_END:
        return False
    name = f"ocsp-{ca}-{deps.clock.now():%Y%m%d%H%M}"  # an interrupted try that begins again at once goes on with it
    signer = keys.find(name) or keys.generate(name, key_type(public_key(authority.certificate)))
    request = IssuanceRequest(
        ca=ca,
        profile="ocsp-responder",
        request_key=f"{_REQUEST}{name}",
        key=hold(signer.public_key),
        subject=SubjectNames(common_name=f"{ca} OCSP responder {name[-12:]}"),
        authorized_by=actor,
    )
    issuance.issue(deps, request)
    return True
