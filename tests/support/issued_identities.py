# SPDX-License-Identifier: Apache-2.0
"""Certificates straight from a site's authorities, with keys that a test holds."""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from etymon.ca import issuance
from etymon.ca.model import AlternativeNames, IssuanceRequest, SubjectNames
from etymon.card.external_key import SoftwareKey
from etymon.card.tls import TLSIdentity
from etymon.kernel.entropy import random_id
from etymon.pki.csr import verify_proof_of_possession
from support import tls_files
from support.ca_site import csr_der
from support.whole_site import TEST, WholeSite


def context(site: WholeSite, identity: TLSIdentity, directory: Path) -> ssl.SSLContext:
    """Return TLS of the standard library that shows an identity, for connections that are kept open."""
    found = tls_files.trusting(site.server_anchors)
    key = identity.key._private_key  # type: ignore[attr-defined]  # noqa: SLF001 - a test's own key
    found.load_cert_chain(*tls_files.write_identity(directory, "shown", identity.certificate, key))
    return found


def device(site: WholeSite) -> TLSIdentity:
    """Return a device identity, as a managed phone has one."""
    id_ = random_id(site.entropy)
    return _issued(site, "device", "device-identity", str(id_), AlternativeNames(uuid=id_))


def server(site: WholeSite) -> TLSIdentity:
    """Return a certificate of the TLS CA, as this site's own listeners show."""
    return _issued(site, "tls", "tls-server", "localhost", AlternativeNames(dns=("localhost",)))


def endpoint(site: WholeSite) -> TLSIdentity:
    """Return a certificate as connectors give it to devices that others manage."""
    return _issued(site, "managed", "managed-endpoint", "kiosk 7", AlternativeNames(uuid=random_id(site.entropy)))


def _issued(site: WholeSite, ca: str, profile: str, name: str, alternative: AlternativeNames) -> TLSIdentity:
    key = ec.generate_private_key(ec.SECP256R1())
    request = IssuanceRequest(
        ca=ca,
        profile=profile,
        request_key=f"test:{random_id(site.entropy)}",
        key=verify_proof_of_possession(csr_der(key)),
        subject=SubjectNames(common_name=name),
        alternative=alternative,
        authorized_by=TEST,
    )
    with site.deployment.database.transaction() as tx:
        planned = issuance.plan(tx, site.deployment.ca, request)
    certificate: x509.Certificate = issuance.complete(site.deployment.ca, planned.id).certificate
    return TLSIdentity(certificate, SoftwareKey(key))
