# SPDX-License-Identifier: Apache-2.0
"""Judging a certificate that a browser showed: path, policy, time, revocation, and whom it is bound to."""

import base64
from collections.abc import Collection
from hashlib import sha256
from typing import Final

from cryptography import x509

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import bindings, trust
from etymon.idp.dependencies import Dependencies
from etymon.idp.model import ACR_CARD, ACR_DERIVED, ProvenCertificate, Purpose
from etymon.kernel.errors import NotPermitted
from etymon.pki.certificate import load, to_der
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import ValidatedPath, validate
from etymon.pki.trust_entry import TrustEntry, TrustKind

ACR: Final = {TrustKind.CARD: ACR_CARD, TrustKind.DERIVED: ACR_DERIVED}

KINDS: Final = {
    Purpose.SIGN_IN: (TrustKind.CARD, TrustKind.DERIVED),
    Purpose.SIGN_IN_WITH_CARD: (TrustKind.CARD,),
    Purpose.BINDING: (TrustKind.CARD,),
    Purpose.APPROVAL: (TrustKind.CARD,),
}
"""Only a card binds, approves and administers; a derived credential signs in where the request allows."""

NO_PATH: Final = frozenset({"untrusted_root", "path_invalid"})


def judge(deps: Dependencies, der: bytes, purpose_text: str, source: str) -> ProvenCertificate:
    """Return what the certificate proves for a purpose. Network may be used: call it outside a transaction.

    Raises NotTrusted with its code, NotPermitted `certificate_not_bound`, or Malformed; that is on record then.
    """
    subject = f"certificate:{sha256(der).hexdigest()}"
    with deps.refusals.noted(
        "idp:certificate:refused", actor=ANONYMOUS, subject=subject, source=source, purpose=purpose_text
    ):
        return _judge(deps, der, purpose_text)


def _judge(deps: Dependencies, der: bytes, purpose_text: str) -> ProvenCertificate:
    purpose = Purpose(purpose_text.partition(":")[0])
    with deps.database.snapshot() as tx:
        entries = trust.entries(tx)
    leaf = load(der)
    allowed = [entry for entry in entries if entry.kind in KINDS[purpose]]
    path, entry = _validate(deps, leaf, allowed, [entry for entry in entries if entry not in allowed])
    with deps.database.snapshot() as tx:
        person = bindings.person_for(tx, entry.name, path.identifier)
    if person is None and purpose is not Purpose.BINDING:
        raise NotPermitted(
            "certificate_not_bound",
            "This certificate is good, but it is not bound to an account here. If you were given a one-time code, "
            "bind your card first.",
        )
    return ProvenCertificate(
        acr=ACR[entry.kind],
        trust_entry=entry.name,
        identifier=path.identifier,
        person=person.id if person is not None else None,
        validated_at=path.validated_at,
        evidence=_evidence(path),
    )


def _validate(
    deps: Dependencies, leaf: x509.Certificate, allowed: Collection[TrustEntry], others: Collection[TrustEntry]
) -> tuple[ValidatedPath, TrustEntry]:
    """Return the path under the first entry that accepts the certificate; the refusal that got furthest otherwise."""
    refusals: list[NotTrusted] = []
    for entry in allowed:
        status = deps.status_of(entry)
        try:
            return validate(leaf, entry, at=deps.clock.now(), status=status, other_entries=others), entry
        except NotTrusted as refusal:
            refusals.append(refusal)
    if refusals:
        raise next((found for found in refusals if found.code not in NO_PATH), refusals[0])
    raise NotTrusted("untrusted_root", "No card issuer is accepted here yet. Ask the administrator.")


def _evidence(path: ValidatedPath) -> dict[str, object]:
    return {
        "certificates": [_text(to_der(certificate)) for certificate in path.certificates],
        "policies": sorted(path.policies),
        "status": [
            {
                "kind": item.kind.value,
                "url": item.url,
                "this_update": item.this_update.isoformat(),
                "content": _text(item.der),
            }
            for item in path.evidence
        ],
    }


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
