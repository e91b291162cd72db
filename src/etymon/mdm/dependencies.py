# SPDX-License-Identifier: Apache-2.0
"""What the endpoint manager is handed by the composition root."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from joserfc.jwk import ECKey

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Fact, Outcome
from etymon.audit.refusals import Refusals
from etymon.ca.dependencies import Dependencies as AuthorityDependencies
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey
from etymon.mdm.connectors.connector import Connector
from etymon.mdm.credential_issuer import IssuerKind
from etymon.mdm.device_door import DeviceDoor
from etymon.mdm.identity_provider import IdentityProvider
from etymon.mdm.wake_ups import WakeUps
from etymon.storage.database import Database, Transaction
from etymon.web.branding import Branding
from etymon.wire.enrollment_qr import DevicePolicyController

SERVICE: Final = "mdm"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """URLs are origins without a path. `tls_pin` is the base64url SHA-256 of the TLS CA's public key.

    `assertion_key` (P-256, private) signs enrollment assertions and what connectors sign in with; `/mdm/jwks` shows its
    public half. `branding` is what the organisation has before an administrator sets another. `enrollment_client` is
    the phone's client at the identity provider. `poll_interval` is how often a waiting check-in looks by itself
    while few wait.
    """

    database: Database
    clock: Clock
    entropy: Entropy
    refusals: Refusals
    digest_key: DigestKey
    ca: AuthorityDependencies
    identity_provider: IdentityProvider
    assertion_key: ECKey = field(repr=False)
    device_door: DeviceDoor
    site_url: str
    device_url: str
    tls_pin: str
    branding: Branding
    connectors: Mapping[IssuerKind, Callable[[str], Connector]]
    controller: DevicePolicyController | None = None
    authority: str = "device"
    enrollment_client: str = "etymon-phone"
    proxies: Collection[str] = ()
    poll_interval: timedelta = timedelta(seconds=1)
    wake_ups: WakeUps = field(default_factory=WakeUps)

    @property
    def server_url(self) -> str:
        """Where the endpoint manager is on the site: the audience of its tokens and the issuer of its assertions."""
        return f"{self.site_url}/{SERVICE}"


def record(
    tx: Transaction,
    deps: Dependencies,
    name: str,
    /,
    *,
    actor: object,
    subject: object,
    source: str = "",
    outcome: Outcome = Outcome.SUCCESS,
    **facts: Fact,
) -> None:
    """Write an audit event in the transaction of what it tells of."""
    event = AuditEvent(f"{SERVICE}:{name}", str(actor), str(subject), outcome, facts, source)
    trail.record(tx, deps.clock, deps.entropy, event)
