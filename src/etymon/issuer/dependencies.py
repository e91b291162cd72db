# SPDX-License-Identifier: Apache-2.0
"""What the issuer needs from whoever runs it."""

import gettext
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Fact, Outcome
from etymon.audit.refusals import Refusals
from etymon.ca.dependencies import Dependencies as AuthorityDependencies
from etymon.ca.model import IssuedCertificate
from etymon.directory import people
from etymon.directory.remembered_paths import RememberedPaths
from etymon.escrow.dependencies import Dependencies as EscrowDependencies
from etymon.issuer.model import RECHECK_AFTER, CardRevocation
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import DigestKey
from etymon.pki.envelope import RegistrationKey
from etymon.pki.status import NoRevocationLists, RevocationLists, StatusSource
from etymon.pki.trust_entry import TrustEntry
from etymon.storage.database import Database, Transaction
from etymon.web.branding import Branding

SERVICE: Final = "issuer"


class RegistrationKeys(Protocol):
    """Where the RSA keys of SCEP's registration authorities are made and found by name."""

    def make(self, name: str) -> RegistrationKey:
        """Make a key and keep it before it is used; slow."""
        ...

    def find(self, name: str) -> RegistrationKey | None:
        """Return the key called `name`, or None."""
        ...


class RequestValidation(Protocol):
    """An outside service that knows what may be certified, and is told what was (Microsoft Intune).

    Each raises `Unavailable` while the service does not answer; it is asked outside transactions.
    """

    def validate(self, transaction_id: str, request: bytes) -> None:
        """Return if the PKCS #10 request may be granted as it stands; raise by meaning if not."""
        ...

    def tell_success(self, transaction_id: str, request: bytes, issued: IssuedCertificate) -> None:
        """Return once the service takes the certificate for the one it let through; raise by meaning if not."""
        ...

    def tell_failure(self, transaction_id: str, request: bytes, detail: str) -> None:
        """Say that a request that was let through was not granted after all."""
        ...


def no_lists(_: TrustEntry) -> RevocationLists:
    """Return the lists of a deployment that asks for each card."""
    return NoRevocationLists()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """URLs are origins without a path. `tls_pin` is the base64url SHA-256 of the TLS CA's public key.

    `status_of` gives the status source of a trust entry: the database for our own authorities, OCSP and CRLs for
    others. `authority` issues derived credentials; `trust_entry` is the entry that accepts them at doors.
    `organization` is the name in certificates, where it is not the branding's.
    `oidc_issuer` is under which name other services know the people of this deployment. `poll_interval` is how often
    a phone's waiting request looks whether the PC has confirmed. `rekey_window` is how long before its end a credential
    may be rekeyed at most, `rekey_grace` how long a replaced one stays good while nobody confirms the new one,
    `changed_data_limit` how long one that calls its person something else than the records waits for that.
    `lists_of` gives the whole revocation lists of a trust entry's cards, which are swept every `card_status_every`;
    `card_revocation` maps reasons of RFC 5280 §5.3.1 to what follows, `CardRevocation.LOOKBACK` where it says nothing;
    `card_lookback` is how long after its use a card is looked at again, and how far back it is suspect.
    `terminated_within` is by when all credentials of an account that ended have to be revoked and published;
    after `termination_alarm` somebody is told that they are not. `device_paths` remembers device identities.
    `ndes_connector` is the SCEP connector that is at the address of Microsoft NDES too; empty for none.
    """

    database: Database
    clock: Clock
    entropy: Entropy
    refusals: Refusals
    digest_key: DigestKey
    site_url: str
    certauth_url: str
    device_url: str
    tls_pin: str
    branding: Branding
    ca: AuthorityDependencies
    escrow: EscrowDependencies
    status_of: Callable[[TrustEntry], StatusSource]
    oidc_issuer: str
    registration_keys: RegistrationKeys
    authority: str = "derived"
    trust_entry: str = "derived"
    organization: str = ""
    validation: RequestValidation | None = None
    ndes_connector: str = ""
    proxies: Collection[str] = ()
    poll_interval: timedelta = timedelta(seconds=1)
    rekey_window: timedelta = timedelta(days=30)
    rekey_grace: timedelta = timedelta(days=7)
    changed_data_limit: timedelta = timedelta(days=30)
    lists_of: Callable[[TrustEntry], RevocationLists] = field(default=no_lists)
    terminated_within: timedelta = people.TERMINATED_WITHIN
    termination_alarm: timedelta = timedelta(hours=12)
    card_status_every: timedelta = timedelta(days=1)
    card_revocation: Mapping[str, CardRevocation] = field(default_factory=dict)
    card_lookback: timedelta = RECHECK_AFTER
    translations: Mapping[str, gettext.NullTranslations] = field(default_factory=dict)
    device_paths: RememberedPaths = field(default_factory=RememberedPaths)

    @property
    def subject_organization(self) -> str:
        """The organisation's name in certificates; branding may change, this does not."""
        return self.organization or self.branding.organization

    def scep_url(self, connector: str) -> str:
        """Where a SCEP connector is on the site; on the status listener it is too."""
        return f"{self.site_url}/scep/{connector}"

    def est_url(self, connector: str, *, renewal: bool = False) -> str:
        """Where a connector is by EST: on the site, and on the device listener for renewals."""
        return f"{self.device_url if renewal else self.site_url}/.well-known/est/{connector}"

    @property
    def issuer_url(self) -> str:
        """Where the issuer is on the site."""
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
