# SPDX-License-Identifier: Apache-2.0
"""What the administration API is handed by the composition root."""

from dataclasses import dataclass
from typing import Final

from etymon.audit.refusals import Refusals
from etymon.issuer.dependencies import Dependencies as IssuerDependencies
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey
from etymon.mdm.dependencies import Dependencies as EndpointManagerDependencies
from etymon.mdm.identity_provider import IdentityProvider
from etymon.storage.database import Database

SCOPE: Final = "administration"


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The services whose use cases are called; database, time and chance are one deployment's, the same for all."""

    mdm: EndpointManagerDependencies
    issuer: IssuerDependencies

    @property
    def database(self) -> Database:
        """The deployment's database."""
        return self.mdm.database

    @property
    def clock(self) -> Clock:
        """The deployment's clock."""
        return self.mdm.clock

    @property
    def entropy(self) -> Entropy:
        """The deployment's chance."""
        return self.mdm.entropy

    @property
    def refusals(self) -> Refusals:
        """What writes down that callers were refused."""
        return self.mdm.refusals

    @property
    def digest_key(self) -> DigestKey:
        """What one-time codes are digested under."""
        return self.mdm.digest_key

    @property
    def identity_provider(self) -> IdentityProvider:
        """Whose tokens are taken."""
        return self.mdm.identity_provider

    @property
    def url(self) -> str:
        """Where the API is: the audience of its tokens."""
        return f"{self.mdm.site_url}/graph"
