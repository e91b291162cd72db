# SPDX-License-Identifier: Apache-2.0
"""Attestation authorities, and what was found of a phone's keys: resources of our own."""

import base64
from typing import Annotated, Any, Final

from cryptography import x509
from pydantic import Field

from etymon.graph.representations.body import Base64, Body, octets
from etymon.issuer.attestation.evidence import Described, described
from etymon.issuer.attestation.model import AttestationAuthority, KeyAttestation, KeyUse
from etymon.pki.attestation_status import MOST_ENTRIES, AttestationStatusList
from etymon.pki.certificate import load, to_der

Serial = Annotated[str, Field(max_length=64)]

_USES: Final = {KeyUse.CERTIFICATE: "certificate", KeyUse.KEY_HISTORY: "keyHistory"}


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
    """Show what was found of a key and when, and what its chain says, without the chain."""
    said = described(shown)
    return {
        "id": shown.id,
        "purpose": shown.purpose.value,
        "use": _USES[shown.use],
        "keySha256": shown.key_sha256.hex(),
        "verdict": shown.verdict,
        "authority": shown.authority or None,
        "securityLevel": shown.security_level or None,
        "bootState": (said.boot_state or None) if said else None,
        "deviceLocked": said.device_locked if said else None,
        "manufacturer": shown.manufacturer or None,
        "model": shown.model or None,
        "osVersion": said.os_version if said else None,
        "osPatchLevel": shown.os_patch_level,
        "applicationId": _application(said) if said else None,
        "statusListChecked": shown.status_list,
        "judgedDateTime": shown.judged_at,
    }


def _application(said: Described) -> dict[str, list[str]]:
    return {
        "packages": list(said.packages),
        "signatureDigests": [digest.hex() for digest in said.signature_digests],
    }


def _root(encoded: str) -> x509.Certificate:
    return load(octets(encoded, "roots"))
