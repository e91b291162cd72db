# SPDX-License-Identifier: Apache-2.0
"""Who the phone at the device listener is: a device identity of an endpoint manager that is trusted here."""

import hashlib

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
    with deps.database.snapshot() as tx:
        entries = trust.entries(tx)
    others = [entry for entry in entries if entry.kind is not TrustKind.DEVICE]
    for entry in entries:
        if entry.kind is not TrustKind.DEVICE:
            continue
        try:
            validate(leaf, entry, at=deps.clock.now(), status=deps.status_of(entry), other_entries=others)
        except NotTrusted as refusal:
            if refusal.code == "untrusted_root":
                continue
            raise
        return DeviceIdentity(entry.name, reading.thumbprint(leaf), reading.to_der(leaf))
    raise unmanaged_device()


def require_same(linked: DeviceIdentity | None, presented: DeviceIdentity | None) -> None:
    """Refuse another phone than the one the link was redeemed with."""
    if (linked.thumbprint if linked else None) != (presented.thumbprint if presented else None):
        raise other_device()
