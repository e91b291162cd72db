# SPDX-License-Identifier: Apache-2.0
"""Attestation authorities, and what was found of a phone's keys: resources of our own."""

import base64
from typing import Annotated, Any

from cryptography import x509
from pydantic import Field

from etymon.graph.representations.body import Base64, Body, octets
from etymon.issuer.attestation.model import AttestationAuthority, KeyAttestation
from etymon.pki.attestation_status import MOST_ENTRIES, AttestationStatusList
from etymon.pki.certificate import load, to_der

Serial = Annotated[str, Field(max_length=64)]


class AttestationAuthorityBody(Body):
    """A whole attestation authority, but for its name. Without `revokedSerialNumbers` no status list is known."""

    roots: Annotated[list[Base64], Field(max_length=100)]
    revoked_serial_numbers: Annotated[list[Serial], Field(max_length=MOST_ENTRIES)] | None = None

    def authority(self, name: str) -> AttestationAuthority:
        """Return the authority; raises Malformed."""
        listed = self.revoked_serial_numbers
        return AttestationAuthority(
            name, tuple(map(_root, self.roots)), None if listed is None else AttestationStatusList(frozenset(listed))
        )


def attestation_authority(shown: AttestationAuthority) -> dict[str, Any]:
    """Show an attestation authority."""
    return {
        "@odata.type": "#etymon.graph.attestationAuthority",
        "id": shown.name,
        "name": shown.name,
        "roots": [base64.b64encode(to_der(root)).decode("ascii") for root in shown.roots],
        "revokedSerialNumbers": sorted(shown.status.serials) if shown.status else None,
    }


def key_attestation(shown: KeyAttestation) -> dict[str, Any]:
    """Show what was found of a key, without the chain."""
    return {
        "purpose": shown.purpose.value,
        "keySha256": shown.key_sha256.hex(),
        "verdict": shown.verdict,
        "authority": shown.authority or None,
        "securityLevel": shown.security_level or None,
        "manufacturer": shown.manufacturer or None,
        "model": shown.model or None,
        "osPatchLevel": shown.os_patch_level,
        "statusListChecked": shown.status_list,
        "judgedDateTime": shown.judged_at,
    }


def _root(encoded: str) -> x509.Certificate:
    return load(octets(encoded, "roots"))
