# SPDX-License-Identifier: Apache-2.0
"""What SCEP connectors gave out: a resource of our own."""

from datetime import datetime
from typing import Annotated, Any

from cryptography import x509
from pydantic import Field

from etymon.ca.model import Authority, CertificateRecord
from etymon.directory.model import Person
from etymon.graph.representations.body import Cursor, Text, instant
from etymon.graph.representations.derivations import AUTHORITY_REVOKED, EndBody
from etymon.issuer.scep.managed_certificates import Progress
from etymon.issuer.scep.model import Enrollment


class EndEnrolledBody(EndBody):
    """What a connector, by name, enrolled since a time."""

    connector: Text
    since: Annotated[str, Field(max_length=40)]
    cursor: Cursor = None

    def beginning(self) -> datetime:
        """Return the time; raises Malformed."""
        return instant(self.since, "since")


def managed_certificate(shown: Enrollment, person: Person | None, revoked: Authority | None) -> dict[str, Any]:
    """Show what a connector gave out, with its person; where a service confirmed it, there is no holder of ours.

    `revoked` is the authority that made it worthless by its own revocation.
    """
    holder = shown.holder
    return {
        "@odata.type": "#etymon.graph.managedCertificate",
        "id": shown.id,
        "connector": shown.connector,
        "connectorId": shown.connector_id,
        "state": AUTHORITY_REVOKED if revoked else shown.state.value,
        "revokedAuthority": revoked.name if revoked else None,
        "serialNumber": shown.serial_number,
        "userId": holder.person if holder else None,
        "userPrincipalName": person.user_principal_name if person else None,
        "deviceId": holder.device if holder else None,
        "deviceName": (holder.device_name if holder else "") or None,
        "requestedDateTime": shown.planned_at,
        "issuedDateTime": shown.issued_at,
        "notAfterDateTime": shown.not_after,
        "authorizedBy": shown.officer,
        "renews": shown.renews,
        "endedDateTime": shown.ended_at,
        "endReason": shown.end_reason.value if shown.end_reason else None,
    }


def details(record: CertificateRecord | None) -> dict[str, Any]:
    """Show the names in a certificate and the certificate itself, once it is signed."""
    der = record.der if record is not None else None
    certificate = x509.load_der_x509_certificate(der) if der else None
    return {
        "subject": certificate.subject.rfc4514_string() if certificate else None,
        "certificate": der,
    }


def progress(shown: Progress) -> dict[str, Any]:
    """Show what a call has ended, and what is left."""
    return {
        "certificates": shown.certificates,
        "challenges": shown.challenges,
        "remaining": shown.remaining,
        "next": shown.following,
    }
