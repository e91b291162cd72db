# SPDX-License-Identifier: Apache-2.0
"""What the identity provider is handed by the composition root."""

import gettext
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from etymon.audit.refusals import Refusals
from etymon.idp.signing_keys import SigningKey, VerificationKey
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey
from etymon.pki.status import StatusSource
from etymon.pki.trust_entry import TrustEntry
from etymon.storage.database import Database
from etymon.web.branding import Branding


@dataclass(frozen=True, slots=True)
class Dependencies:
    """URLs are origins without a path. `status_of` gives the source of revocation status for a trust entry.

    `further_keys` are shown in the JWK set besides the signing key: the next one, before it signs, and the last one,
    until its tokens are over. `proxies` are the addresses whose certificate headers count.
    """

    database: Database
    clock: Clock
    entropy: Entropy
    refusals: Refusals
    digest_key: DigestKey
    site_url: str
    certauth_url: str
    branding: Branding
    signing_key: SigningKey
    status_of: Callable[[TrustEntry], StatusSource]
    further_keys: tuple[VerificationKey, ...] = ()
    proxies: Collection[str] = ()
    translations: Mapping[str, gettext.NullTranslations] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        """The OIDC issuer."""
        return f"{self.site_url}/idp"
