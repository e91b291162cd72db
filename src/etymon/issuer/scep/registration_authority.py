# SPDX-License-Identifier: Apache-2.0
"""The registration authority: the RSA key that SCEP clients encrypt to, and that signs what they get (RFC 8894 §2.1.2).

The issuing authority's key never opens a message. A registration authority lives a year; a month before its end, or
when a key ceremony has made another issuing authority, another one is made with a new key. Messages to the older one
are opened until it has ended, or its authority was revoked. Connectors give out certificates of the authority that
certified the newest: clients learn of both at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from etymon.ca import authorities, certificates, issuance
from etymon.ca.model import CertificateState, IssuanceRequest, SubjectNames
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.scep import connector_store, store
from etymon.issuer.scep.errors import authority_revoked, registration_authority_missing
from etymon.issuer.scep.model import HIERARCHY
from etymon.pki.csr import hold
from etymon.pki.envelope import Registrar
from etymon.storage.database import Transaction

PROFILE: Final = "registration-authority"
RENEWED_BEFORE_END: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class RegistrationAuthority:
    """A registration authority, and the name of the authority that certified it."""

    authority: str
    registrar: Registrar


def in_force(tx: Transaction, deps: Dependencies) -> Sequence[RegistrationAuthority]:
    """Return the registration authorities that are good now: the present issuing authority's first, then the newest.

    Raises `Unavailable` `registration_authority_missing` where there is none, and `authority_revoked` while the present
    issuing authority is revoked and has no successor.
    """
    present = authorities.current(tx, HIERARCHY)
    if present.revoked_at is not None:
        raise authority_revoked(present.name)
    found = _good_at(tx, deps, deps.clock.now())
    if not found:
        raise registration_authority_missing()
    return sorted(found, key=lambda each: each.authority != present.name)


def _good_at(tx: Transaction, deps: Dependencies, moment: datetime) -> Sequence[RegistrationAuthority]:
    found: list[RegistrationAuthority] = []
    revoked = authorities.revoked(tx)
    for key_name, certificate_id in store.valid_registration_authorities(tx, moment):
        kept, key = certificates.find(tx, certificate_id), deps.registration_keys.find(key_name)
        if kept is None or kept.der is None or kept.state is not CertificateState.ISSUED or key is None:
            continue
        if kept.ca not in revoked:
            found.append(RegistrationAuthority(kept.ca, Registrar(x509.load_der_x509_certificate(kept.der), key)))
    return found


def lineage(tx: Transaction, authority: str) -> list[x509.Certificate]:
    """Return an issuing authority's certificate and those above it, the root last."""
    found: list[x509.Certificate] = []
    name: str | None = authority
    while name is not None:
        above = authorities.load(tx, name)
        found.append(above.certificate)
        name = above.parent
    return found


def renew(deps: Dependencies) -> bool:
    """Make a registration authority where there are connectors and none of the issuing authority is good for a month.

    Return whether one was made.

    Safe to run anywhere and at any time; two that are made at once do no harm.
    """
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        if not connector_store.in_force(tx):
            return False
        present, good = authorities.current(tx, HIERARCHY), _good_at(tx, deps, now + RENEWED_BEFORE_END)
        if present.revoked_at is not None or any(each.authority == present.name for each in good):
            return False
    minute = f"{now:%Y%m%d%H%M}"
    name = f"scep-{present.name}-{minute}"  # an interrupted try that begins again at once goes on with it
    key = deps.registration_keys.find(name) or deps.registration_keys.make(name)
    request = IssuanceRequest(
        ca=present.name,
        profile=PROFILE,
        request_key=f"registration-authority:{name}",
        key=hold(key.public_key),
        subject=SubjectNames(
            common_name=f"SCEP Registration Authority {minute}", organization=deps.subject_organization
        ),
        authorized_by="server",
    )
    with deps.database.transaction() as tx:
        planned = issuance.plan(tx, deps.ca, request)
    issued = issuance.complete(deps.ca, planned.id)
    with deps.database.transaction() as tx:
        if store.add_registration_authority(tx, name, issued.id, issued.certificate.not_valid_after_utc):
            serial = f"{issued.certificate.serial_number:x}"
            record(tx, deps, "registration_authority:made", actor="server", subject=name, serial=serial)
    return True
