# SPDX-License-Identifier: Apache-2.0
"""Who the phone at the device listener is: a device identity of an endpoint manager that is trusted here."""

import hashlib
from itertools import pairwise

from cryptography import x509

from etymon.audit.refusals import ANONYMOUS
from etymon.directory import trust
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.errors import other_device, unmanaged_device
from etymon.issuer.model import DeviceIdentity
from etymon.pki import certificate as reading
from etymon.pki.errors import NotTrusted
from etymon.pki.path_validation import validate
from etymon.pki.trust_entry import TrustKind
from etymon.web.peer_certificate import PeerCertificate


def judge(deps: Dependencies, peer: PeerCertificate | None, *, source: str = "") -> DeviceIdentity | None:
    """Return the device identity that the TLS peer showed; None when it showed no certificate. Refusals are recorded.

    Raises `NotTrusted` for one that is revoked, over, of another kind, or whose status nobody tells, and
    `unmanaged_device` for a certificate no trusted device CA issued. May ask for revocation status: call it outside
    transactions.
    """
    if peer is None:
        return None
    subject = f"certificate:{hashlib.sha256(peer.der).hexdigest()}"
    with deps.refusals.noted("issuer:device:refused", actor=ANONYMOUS, subject=subject, source=source):
        return _judge(deps, peer)


def _judge(deps: Dependencies, peer: PeerCertificate) -> DeviceIdentity:
    leaf = reading.load(peer.der)
    thumbprint = reading.thumbprint(leaf)
    return _recalled(deps, thumbprint) or _validated(deps, leaf, thumbprint)


def _recalled(deps: Dependencies, thumbprint: bytes) -> DeviceIdentity | None:
    """Return a device identity that was validated lately, still holds and is not revoked; all else is validated."""
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        trusted = trust.versions(tx, TrustKind.DEVICE)
    known = deps.device_paths.recall(thumbprint, trusted, now)
    if known is None:
        return None
    status = deps.status_of(known.entry)
    try:
        for certificate, issuer in pairwise(known.certificates):
            status.status(certificate, issuer, at=now)
    except NotTrusted:
        return None
    return DeviceIdentity(known.entry.name, thumbprint, reading.to_der(known.certificates[0]))


def _validated(deps: Dependencies, leaf: x509.Certificate, thumbprint: bytes) -> DeviceIdentity:
    now = deps.clock.now()
    with deps.database.snapshot() as tx:
        entries = trust.entries(tx)
        trusted = trust.versions(tx, TrustKind.DEVICE)
    others = [entry for entry in entries if entry.kind is not TrustKind.DEVICE]
    for entry in entries:
        if entry.kind is not TrustKind.DEVICE:
            continue
        try:
            found = validate(leaf, entry, at=now, status=deps.status_of(entry), other_entries=others)
        except NotTrusted as refusal:
            if refusal.code == "untrusted_root":
                continue
            raise
        deps.device_paths.remember(thumbprint, found, entry, trusted)
        return DeviceIdentity(entry.name, thumbprint, reading.to_der(leaf))
    raise unmanaged_device()


def require_same(linked: DeviceIdentity | None, presented: DeviceIdentity | None) -> None:
    """Refuse another phone than the one the link was redeemed with."""
    if (linked.thumbprint if linked else None) != (presented.thumbprint if presented else None):
        raise other_device()
