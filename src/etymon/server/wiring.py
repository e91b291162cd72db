# SPDX-License-Identifier: Apache-2.0
"""What each package is handed: the one place where services that are strangers to each other stand side by side."""

import functools
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Final

import httpx
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey

from etymon.ca import issuance
from etymon.ca.model import IssuanceRequest, SubjectNames
from etymon.ca.status import DatabaseStatusSource
from etymon.directory.dependencies import Dependencies as DirectoryDependencies
from etymon.directory.dependencies import FeedDependencies
from etymon.escrow.dependencies import Dependencies as EscrowDependencies
from etymon.escrow.key_encryption import SoftwareKeyEncryptionKey, TokenKeyEncryptionKey
from etymon.graph.dependencies import Dependencies as AdministrationDependencies
from etymon.idp import clients as idp_clients
from etymon.idp.dependencies import Dependencies as IdentityProviderDependencies
from etymon.idp.model import Client, DeviceAuthorizationKind
from etymon.idp.signing_keys import SigningKey
from etymon.issuer import clients as issuer_clients
from etymon.issuer.dependencies import Dependencies as IssuerDependencies
from etymon.issuer.dependencies import no_lists
from etymon.issuer.intune.connection import Connection, Tenant
from etymon.issuer.intune.outbound import Outbound
from etymon.issuer.intune.validation import IntuneValidation
from etymon.kernel.secret import Secret
from etymon.mdm.connectors.etymon import Client as ConnectorClient
from etymon.mdm.connectors.etymon import EtymonConnector
from etymon.mdm.credential_issuer import IssuerKind
from etymon.mdm.dependencies import Dependencies as EndpointManagerDependencies
from etymon.mdm.device_door import DeviceDoor
from etymon.mdm.identity_provider import IdentityProvider, PublishedKeys
from etymon.pki.csr import hold
from etymon.pki.status import CRLCache, HTTPStatusSource, NoRevocationLists, RevocationLists, StatusSource
from etymon.pki.status_hosts import USUAL, Patience, StatusHosts
from etymon.pki.trust_entry import TrustEntry
from etymon.server import tls_identity
from etymon.server.deployment import KEY_GENERATION, Deployment
from etymon.server.keyring import KeptRegistrationKeys
from etymon.storage.database import Transaction
from etymon.web.branding import Branding
from etymon.wire.enrollment_qr import DevicePolicyController

PHONE_CLIENT: Final = "etymon-phone"
ADMINISTRATION_CLIENT: Final = "etymon-administration"
ENDPOINT_MANAGER_CLIENT: Final = "endpoint-manager"
OWN_ENTRIES: Final = frozenset({"derived", "device"})
PEER_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Wiring:
    """The dependencies of every package, made from one deployment."""

    deployment: Deployment
    patience: Patience = USUAL

    @cached_property
    def directory(self) -> DirectoryDependencies:
        """For the directory."""
        return directory(self.deployment)

    @cached_property
    def feeds(self) -> FeedDependencies:
        """For the directory's face to identity feeds."""
        deployment, read = self.deployment, self.deployment.settings
        return FeedDependencies(
            database=deployment.database,
            clock=deployment.clock,
            entropy=deployment.entropy,
            digest_key=deployment.digest_key,
            refusals=deployment.refusals,
            site_url=read.site_url,
            proxies=read.proxies,
            terminated_within=timedelta(hours=read.termination_hours),
        )

    @cached_property
    def idp(self) -> IdentityProviderDependencies:
        """For the identity provider."""
        return identity_provider(self.deployment, self.status_of)

    @cached_property
    def mdm(self) -> EndpointManagerDependencies:
        """For the endpoint manager, which knows the other two by their addresses."""
        deployment, read = self.deployment, self.deployment.settings
        key = endpoint_manager_key(deployment)
        connector = ConnectorClient(
            ENDPOINT_MANAGER_CLIENT, key, self.peer_client, deployment.clock, deployment.entropy
        )
        provider = f"{read.site_url}/idp"
        return EndpointManagerDependencies(
            database=deployment.database,
            clock=deployment.clock,
            entropy=deployment.entropy,
            refusals=deployment.refusals,
            digest_key=deployment.digest_key,
            ca=deployment.ca,
            authority=deployment.newest_authority("device"),
            identity_provider=IdentityProvider(
                provider, PublishedKeys(provider, self.peer_client, deployment.clock), deployment.clock
            ),
            assertion_key=key,
            device_door=DeviceDoor(deployment.database, deployment.clock, self.status_of),
            site_url=read.site_url,
            device_url=read.device_url,
            tls_pin=tls_identity.pin(deployment),
            branding=self.branding,
            # one connector for an issuer: it keeps its token, and each sign-in is an event of the trail
            connectors={IssuerKind.ETYMON: functools.cache(lambda url: EtymonConnector(url, connector))},
            controller=self._controller,
            enrollment_client=PHONE_CLIENT,
            proxies=read.proxies,
        )

    @cached_property
    def issuer(self) -> IssuerDependencies:
        """For the issuer of derived credentials."""
        made = issuer(self.deployment, self.status_of, self.lists_of)
        return made if self.intune is None else replace(made, validation=IntuneValidation(self.intune))

    @cached_property
    def intune(self) -> Connection | None:
        """The way to the tenant's Intune, where one is configured."""
        read = self.deployment.settings
        if not read.intune_tenant:
            return None
        tenant = Tenant(
            tenant=read.intune_tenant,
            client_id=read.intune_client_id,
            client_secret=read.intune_client_secret(),
            login_url=read.intune_login_url,
            graph_url=read.intune_graph_url,
            scope=read.intune_scope,
            service_hosts=read.intune_service_hosts,
        )
        return Connection(tenant, Outbound(self._peer_tls), self.deployment.clock, self.deployment.entropy)

    @cached_property
    def graph(self) -> AdministrationDependencies:
        """For the administration API."""
        return AdministrationDependencies(self.mdm, self.issuer)

    @cached_property
    def branding(self) -> Branding:
        """How pages look before an administrator says otherwise."""
        return Branding(self.deployment.settings.organization)

    @cached_property
    def peer_client(self) -> httpx.Client:
        """An HTTPS client for the other services."""
        return httpx.Client(
            verify=self._peer_tls,
            timeout=PEER_TIMEOUT_SECONDS,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),  # calls are rare; an idle connection delays a stop
        )

    @cached_property
    def _peer_tls(self) -> ssl.SSLContext:
        """How other services are believed: the machine's CAs and the deployment's own."""
        context = ssl.create_default_context()
        own = "".join(
            anchor.public_bytes(Encoding.PEM).decode("ascii") for anchor in tls_identity.anchors(self.deployment)
        )
        context.load_verify_locations(cadata=own)
        return context

    @cached_property
    def _crls(self) -> CRLCache:
        return CRLCache()

    @cached_property
    def _status_hosts(self) -> StatusHosts:
        return StatusHosts(self.patience)

    def status_of(self, entry: TrustEntry) -> StatusSource:
        """Return who says, in one validation, whether an entry's certificates are revoked: the database for our own."""
        if entry.name in OWN_ENTRIES:
            return DatabaseStatusSource(self.deployment.database)
        return self._asked(entry)

    def lists_of(self, entry: TrustEntry) -> RevocationLists:
        """Return who has the whole revocation lists of an entry's cards; our own are read from the database."""
        return NoRevocationLists() if entry.name in OWN_ENTRIES else self._asked(entry)

    def _asked(self, entry: TrustEntry) -> HTTPStatusSource:
        return HTTPStatusSource(entry.status_hosts, self._status_hosts, self.deployment.entropy, self._crls)

    @property
    def _controller(self) -> DevicePolicyController | None:
        read = self.deployment.settings
        if not read.provisioning_component:
            return None
        return DevicePolicyController(
            read.provisioning_component, read.provisioning_download, read.provisioning_checksum
        )


StatusOf = Callable[[TrustEntry], StatusSource]


def directory(deployment: Deployment) -> DirectoryDependencies:
    """Return what the directory is handed."""
    return DirectoryDependencies(deployment.database, deployment.clock, deployment.entropy, deployment.digest_key)


def identity_provider(deployment: Deployment, status_of: StatusOf) -> IdentityProviderDependencies:
    """Return what the identity provider is handed."""
    read = deployment.settings
    pem = deployment.private_key("tokens").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return IdentityProviderDependencies(
        database=deployment.database,
        clock=deployment.clock,
        entropy=deployment.entropy,
        refusals=deployment.refusals,
        digest_key=deployment.digest_key,
        site_url=read.site_url,
        certauth_url=read.certauth_url,
        branding=Branding(read.organization),
        signing_key=SigningKey.from_pem(Secret(pem)),
        status_of=status_of,
        proxies=read.proxies,
    )


ListsOf = Callable[[TrustEntry], RevocationLists]


def issuer(deployment: Deployment, status_of: StatusOf, lists_of: ListsOf = no_lists) -> IssuerDependencies:
    """Return what the issuer is handed."""
    read = deployment.settings
    return IssuerDependencies(
        database=deployment.database,
        clock=deployment.clock,
        entropy=deployment.entropy,
        refusals=deployment.refusals,
        digest_key=deployment.digest_key,
        site_url=read.site_url,
        certauth_url=read.certauth_url,
        device_url=read.device_url,
        tls_pin=tls_identity.pin(deployment),
        branding=Branding(read.organization),
        ca=deployment.ca,
        authority=deployment.newest_authority("derived"),
        escrow=escrow(deployment),
        status_of=status_of,
        lists_of=lists_of,
        oidc_issuer=f"{read.site_url}/idp",
        registration_keys=KeptRegistrationKeys(deployment.keyring),
        proxies=read.proxies,
        organization=read.organization,
        rekey_window=timedelta(days=read.rekey_days),
        rekey_grace=timedelta(days=read.rekey_grace_days),
        changed_data_limit=timedelta(days=read.changed_data_days),
        terminated_within=timedelta(hours=read.termination_hours),
        termination_alarm=timedelta(hours=read.termination_alarm_hours),
        card_status_every=timedelta(hours=read.card_status_hours),
        card_revocation=read.card_revocation,
        card_lookback=timedelta(days=read.card_lookback_days),
        ndes_connector=read.ndes_connector,
    )


def escrow(deployment: Deployment) -> EscrowDependencies:
    """Return what escrow is handed; its certificate is the issuing authority's, and issued the first time."""
    authority, key, number = deployment.newest_authority("derived"), KEY_GENERATION, ""
    if deployment.keyring.has(f"{key}-{authority}"):
        key, number = f"{key}-{authority}", f":{authority}"
    signer = deployment.signer(key)
    request = IssuanceRequest(
        ca=authority if number else "derived",
        profile="key-generation-signer",
        request_key=f"key-generation-signer{number}",
        key=hold(signer.public_key),
        subject=SubjectNames(common_name="Key Generation", organization=deployment.settings.organization),
        authorized_by="server",
    )
    cipher, entropy = deployment.escrow_cipher, deployment.entropy
    in_token = TokenKeyEncryptionKey(cipher, entropy) if cipher is not None else None
    in_file = SoftwareKeyEncryptionKey(deployment.keyring.get("escrow"), entropy)
    return EscrowDependencies(
        database=deployment.database,
        clock=deployment.clock,
        entropy=deployment.entropy,
        digest_key=deployment.digest_key,
        key_encryption_key=in_token or in_file,
        former_keys=(in_file,) if in_token else (),
        signer=signer,
        signer_certificate=issuance.issue(deployment.ca, request).certificate,
    )


def register_clients(
    tx: Transaction,
    provider: IdentityProviderDependencies,
    issuing: IssuerDependencies,
    manager_key: ECKey,
    *,
    actor: str,
) -> None:
    """Register the deployment's own programs: phones, administration, and the endpoint manager at the issuer."""
    key = manager_key.as_dict(private=False)
    manager = f"{provider.site_url}/mdm"
    phone = Client(
        id=PHONE_CLIENT,
        name="Phone",
        scopes=frozenset({"openid", "profile", "offline_access", "enroll"}),
        device_authorization=DeviceAuthorizationKind.ENROLLMENT,
        assertion_issuer=manager,
        assertion_keys=(json.loads(json.dumps(key)),),
    )
    administration = Client(
        id=ADMINISTRATION_CLIENT,
        name="Administration",
        redirect_uris=("http://127.0.0.1/", "http://[::1]/"),
        scopes=frozenset({"openid", "profile", "offline_access", "administration"}),
        device_authorization=DeviceAuthorizationKind.OPEN,
    )
    for client in (phone, administration):
        idp_clients.register(tx, provider, client, actor=actor)
    issuer_clients.register(
        tx,
        issuing,
        client_id=ENDPOINT_MANAGER_CLIENT,
        name="Endpoint manager",
        public_key=key,
        device_trust_entries=("device",),
        actor=actor,
    )


def endpoint_manager_key(deployment: Deployment) -> ECKey:
    """Return the key the endpoint manager signs enrollment assertions and its own sign-in with."""
    pem = deployment.private_key("endpoint-manager").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ECKey.import_key(pem)
