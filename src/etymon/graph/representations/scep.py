# SPDX-License-Identifier: Apache-2.0
"""SCEP connectors, and the clients of the issuer's management API that use them."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from etymon.graph.representations.body import Body, Text
from etymon.issuer.scep.model import ChallengeSource, Connector
from etymon.issuer.store.clients import Client
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType

KeyName = Literal["rsa2048", "rsa3072", "rsa4096", "p256", "p384"]


class ScepConnectorBody(Body):
    """A whole connector, but for its name."""

    challenge_source: Literal["management", "page", "intune"]
    lifetime_days: Annotated[int, Field(ge=1, le=36_500)]
    client_id: Text | None = None
    key_types: Annotated[tuple[KeyName, ...], Field(max_length=5, strict=False)] = ("rsa2048", "rsa3072", "rsa4096")
    legacy_algorithms: bool = False
    page_password: Annotated[str, Field(max_length=1000)] | None = None

    def password(self) -> Secret[str] | None:
        """Return the password that the page is to have."""
        return Secret(self.page_password) if self.page_password is not None else None

    def connector(self, name: str, officer: UUID, now: datetime) -> Connector:
        """Return the connector; raises Malformed."""
        return Connector(
            name=name,
            source=ChallengeSource(self.challenge_source),
            lifetime=timedelta(days=self.lifetime_days),
            created_by=officer,
            created_at=now,
            client=self.client_id,
            key_types=frozenset(map(KeyType, self.key_types)),
            legacy_algorithms=self.legacy_algorithms,
        )


class PublicKeyBody(Body):
    """A P-256 key as a JWK (RFC 7517); members of a private key are not taken."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Text
    y: Text


class ManagementClientBody(Body):
    """A whole registration, but for its id."""

    display_name: Text
    public_key: PublicKeyBody
    device_trust_entries: Annotated[list[Text], Field(max_length=100)]


def scep_connector(
    shown: Connector, url: str, est_url: str, page_password: Secret[str] | None = None
) -> dict[str, Any]:
    """Show a connector; the password of its page only to whoever has just made it."""
    password = {"pagePassword": page_password.reveal()} if page_password else {}
    return {
        "@odata.type": "#etymon.graph.scepConnector",
        "id": shown.name,
        "name": shown.name,
        "connectorId": shown.id,
        "challengeSource": shown.source.value,
        "lifetimeDays": shown.lifetime.days,
        "clientId": shown.client,
        "keyTypes": sorted(kind.value for kind in shown.key_types),
        "legacyAlgorithms": shown.legacy_algorithms,
        "url": url,
        "estUrl": est_url,
        "createdBy": shown.created_by,
        "createdDateTime": shown.created_at,
        **password,
    }


def management_client(shown: Client) -> dict[str, Any]:
    """Show a client."""
    return {
        "@odata.type": "#etymon.graph.managementClient",
        "id": shown.id,
        "displayName": shown.name,
        "publicKey": shown.public_key,
        "deviceTrustEntries": sorted(shown.device_trust_entries),
        "registeredDateTime": shown.registered_at,
    }
