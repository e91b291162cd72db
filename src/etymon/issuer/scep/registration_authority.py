# SPDX-License-Identifier: Apache-2.0
"""The registration authority: the RSA key that SCEP clients encrypt to, and that signs what they get (RFC 8894 §2.1.2).

The issuing authority's key never opens a message. A registration authority lives a year; a month before its end
another one is made with a new key, and messages to the older one are opened until it has ended.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from etymon.ca import authorities, certificates, issuance
from etymon.ca.model import CertificateState, IssuanceRequest, SubjectNames
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.scep import connector_store, store
from etymon.issuer.scep.errors import registration_authority_missing
from etymon.issuer.scep.model import AUTHORITY
from etymon.pki.csr import hold
from etymon.pki.envelope import Registrar
from etymon.storage.database import Transaction

PROFILE: Final = "registration-authority"
RENEWED_BEFORE_END: Final = timedelta(days=30)


def in_force(tx: Transaction, deps: Dependencies) -> Sequence[Registrar]:
    """Return the registration authorities that are good now, the newest first; `Unavailable` where there is none."""
    found = _good_at(tx, deps, deps.clock.now())
    if not found:
        raise registration_authority_missing()
    return found


def _good_at(tx: Transaction, deps: Dependencies, moment: datetime) -> Sequence[Registrar]:
    found: list[Registrar] = []
    for key_name, certificate_id in store.valid_registration_authorities(tx, moment):
        kept, key = certificates.find(tx, certificate_id), deps.registration_keys.find(key_name)
        if kept is None or kept.der is None or kept.state is not CertificateState.ISSUED or key is None:
            continue
        found.append(Registrar(x509.load_der_x509_certificate(kept.der), key))
    return found


def lineage(tx: Transaction) -> list[x509.Certificate]:
    """Return the issuing authority's certificate and those above it, the root last."""
    found: list[x509.Certificate] = []
    name: str | None = AUTHORITY
    while name is not None:
        authority = authorities.load(tx, name)
        found.append(authority.certificate)
        name = authority.parent
    return found


def renew(deps: Dependencies) -> bool:
    """Make a registration authority where there are connectors and none is good for another month; say whether.

    Safe to run anywhere and at any time; two that are made at once do no harm.
    """
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        if not connector_store.in_force(tx) or _good_at(tx, deps, now + RENEWED_BEFORE_END):
            return False
    name = f"scep-{now:%Y%m%d%H%M}"  # an interrupted try that begins again at once goes on with it
    key = deps.registration_keys.find(name) or deps.registration_keys.make(name)
    request = IssuanceRequest(
        ca=AUTHORITY,
        profile=PROFILE,
        request_key=f"registration-authority:{name}",
        key=hold(key.public_key),
        subject=SubjectNames(
            common_name=f"SCEP Registration Authority {name[5:]}", organization=deps.subject_organization
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
