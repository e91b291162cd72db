# SPDX-License-Identifier: Apache-2.0
"""EST at a connector (RFC 7030): the challenge comes beside the request, a renewal with its certificate in TLS.

Connectors, challenges, enrollments and what is certified are those of SCEP: one challenge is good once, by either way.
"""

import hashlib
from typing import Final

from cryptography import x509

from etymon.audit.refusals import ANONYMOUS
from etymon.ca import authorities
from etymon.ca.model import IssuedCertificate
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.scep import (
    challenges,
    connector_store,
    enrollment,
    errors,
    own_certificates,
    registration_authority,
    store,
)
from etymon.issuer.scep.model import CONNECTOR_NAME, HIERARCHY, ChallengeSource, Connector
from etymon.issuer.scep.planning import EnrollmentRequest
from etymon.kernel.secret import Secret
from etymon.pki import csr
from etymon.storage.database import Transaction
from etymon.web.peer_certificate import PeerCertificate
from etymon.wire import est, pkcs10

REFUSED_EVENT: Final = "issuer:est_request:refused"


def load(tx: Transaction, name: str) -> Connector:
    """Return a connector that EST is offered at; `NotFound` otherwise."""
    found = connector_store.find(tx, name) if CONNECTOR_NAME.fullmatch(name) else None
    if found is None:
        raise errors.label_unknown()
    if found[0].source is ChallengeSource.INTUNE:
        raise errors.challenge_elsewhere()
    return found[0]


def lineage(deps: Dependencies, name: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates of the authority whose certificates a connector gives out, the root last."""
    with deps.database.snapshot() as tx:
        load(tx, name)
        return tuple(registration_authority.lineage(tx, _authority(tx)))


def enroll(deps: Dependencies, name: str, body: bytes, challenge: Secret[str], *, source: str) -> IssuedCertificate:
    """Grant the request in `body`, which `challenge` lets in, and return its certificate.

    Raises what `errors` lists, `Malformed` for what is no request, and `enrollment.Pending`.
    """
    with deps.database.snapshot() as tx:
        connector = load(tx, name)
    subject = f"scep_connector:{name}"
    with deps.refusals.noted(REFUSED_EVENT, actor=ANONYMOUS, subject=subject, source=source):
        with deps.database.snapshot() as tx:
            if store.find_challenge(tx, connector, challenges.digest(deps, challenge)) is None:  # before any more work
                raise errors.challenge_wrong()
            authority = _authority(tx)
        return enrollment.begin(deps, _request(connector, authority, body), challenge, source=source)


def renew(
    deps: Dependencies, name: str, body: bytes, peer: PeerCertificate | None, *, source: str
) -> IssuedCertificate:
    """Grant a request for a new key by the TLS client that showed a certificate of the connector's.

    Raises like `enroll`, and `certificate_required` without one.
    """
    with deps.database.snapshot() as tx:
        connector = load(tx, name)
    if peer is None:
        raise errors.certificate_required()
    actor = f"certificate:{hashlib.sha256(peer.der).hexdigest()}"
    with deps.refusals.noted(REFUSED_EVENT, actor=actor, subject=f"scep_connector:{name}", source=source):
        with deps.database.snapshot() as tx:
            if own_certificates.find(tx, connector, peer.der) is None:  # before any more work
                raise errors.certificate_unknown()
            authority = _authority(tx)
        return enrollment.renew(deps, _request(connector, authority, body), peer.der, source=source)


def _authority(tx: Transaction) -> str:
    """Return the name of the authority that certifies now; `authority_revoked` while it has no successor."""
    present = authorities.current(tx, HIERARCHY)
    if present.revoked_at is not None:
        raise errors.authority_revoked(present.name)
    return present.name


def _request(connector: Connector, authority: str, body: bytes) -> EnrollmentRequest:
    """Return the proven request of a body; EST knows no transaction, and the request's digest stands for one."""
    proven = csr.verify_proof_of_possession(est.decode_body(body))
    digest = hashlib.sha256(proven.der).digest()
    return EnrollmentRequest(connector, authority, digest, proven, pkcs10.decode(proven.der))
