# SPDX-License-Identifier: Apache-2.0
"""An issuer of software smart cards, for demonstrations and tests: its own keys, database and process.

It stands for the agency that hands out cards. Etymon's own services know it only by its root certificate and by what
its CRL and OCSP addresses answer.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from etymon.audit import sealer
from etymon.ca import authorities, ceremony, crl, issuance, responder, revocation
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import AlternativeNames, IssuanceRequest, RevocationReason, SubjectNames
from etymon.ca.policies import EXAMPLE_POLICY_OIDS
from etymon.ca.profiles import profile_named
from etymon.card import storage
from etymon.card.applet import PIVApplet
from etymon.card.client import PIVClient
from etymon.card.content_signing import ContentSigner
from etymon.card.external_key import SoftwareKey
from etymon.card.personalization import USUAL_ALGORITHMS, Cardholder, CertificateRequest, personalize
from etymon.card.state import manufacture
from etymon.card.transport import LocalTransport
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_id
from etymon.kernel.errors import Conflict, EtymonError, Expired, Malformed, NotFound
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.csr import hold, verify_proof_of_possession
from etymon.pki.signer import SoftwareSigner
from etymon.server import keyring
from etymon.storage import migrations
from etymon.storage.database import Database
from etymon.wire import fascn
from etymon.wire.piv import Algorithm, KeyReference

LIFETIME_OF_A_CARD: Final = timedelta(days=3 * 365 - 10)
ACTOR: Final = "card-issuer"
AUTHORITIES: Final = ("card-root", "card-intermediate", "card")
CONTENT_SIGNER: Final = "content-signer"
PROFILES: Final = {
    KeyReference.AUTHENTICATION: "piv-authentication",
    KeyReference.SIGNATURE: "piv-digital-signature",
    KeyReference.KEY_MANAGEMENT: "piv-key-management",
    KeyReference.CARD_AUTHENTICATION: "card-authentication",
}


@dataclass(frozen=True, slots=True)
class MadeCard:
    """A card that was made: its file and what it carries."""

    file: Path
    cardholder: Cardholder
    uuid: str
    authentication: x509.Certificate


class CardIssuer:
    """An open card issuer."""

    def __init__(
        self, directory: Path, passphrase: Secret[str], clock: Clock, entropy: Entropy, status_url: str
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._entropy = entropy
        ring = directory / "keys"
        opened = (keyring.unlock if ring.exists() else keyring.create)(ring, passphrase, entropy)
        if not (ring / "authorities.key").exists():
            opened.put("authorities", Secret(entropy.octets(32)))
            opened.put_private_key("seal", keys.generate(KeyType.P256))
        self._keys = keys.KeyDirectory(ring / "authorities", Secret(opened.get("authorities").reveal().hex().encode()))
        seal = opened.private_key("seal")
        self._seal = SoftwareSigner(seal)  # type: ignore[arg-type]  # put there as P-256
        self._keyring = opened
        self.database = Database(f"sqlite:///{directory / 'etymon.db'}")
        self.authority = Dependencies(
            database=self.database,
            clock=clock,
            entropy=entropy,
            signers=self._keys,
            policy_oids=EXAMPLE_POLICY_OIDS,
            status_url=status_url,
            lint_exceptions=frozenset({"uri_host_is_a_public_name"}),
        )

    @classmethod
    def create(
        cls,
        directory: Path,
        passphrase: Secret[str],
        organization: str,
        *,
        clock: Clock,
        entropy: Entropy,
        status_url: str,
    ) -> "CardIssuer":
        """Make a card issuer in a new directory: root, intermediate, issuing authority and content signer."""
        parts = urlsplit(status_url)
        if parts.scheme != "http" or not parts.hostname:
            raise Malformed("status_url", f"{status_url} is no status address. Write it like http://localhost:9080.")
        try:
            directory.mkdir(mode=0o700, parents=True)
        except FileExistsError as exc:
            raise Conflict("directory_exists", f"{directory} is there already. Choose a new directory.") from exc
        try:
            return cls._filled(directory, passphrase, organization, clock=clock, entropy=entropy, status_url=status_url)
        except EtymonError:
            shutil.rmtree(directory)  # an issuer by halves would only be in the way of the next try
            raise

    @classmethod
    def _filled(
        cls,
        directory: Path,
        passphrase: Secret[str],
        organization: str,
        *,
        clock: Clock,
        entropy: Entropy,
        status_url: str,
    ) -> "CardIssuer":
        (directory / "status_url").write_text(status_url)
        issuer = cls(directory, passphrase, clock, entropy, status_url)
        migrations.upgrade(issuer.database)
        ceremony.create(
            issuer.authority,
            issuer._keys,
            ceremony.card_issuer(SubjectNames(organization=organization, country="XX")),
            actor=ACTOR,
        )
        issuer._keyring.put_private_key(CONTENT_SIGNER, keys.generate(KeyType.P256))
        issuer.seal()
        return issuer

    @classmethod
    def open(cls, directory: Path, passphrase: Secret[str], *, clock: Clock, entropy: Entropy) -> "CardIssuer":
        """Open the card issuer of a directory."""
        try:
            status_url = (directory / "status_url").read_text()
        except FileNotFoundError as exc:
            detail = f"There is no card issuer in {directory}. Make one with: etymon card-issuer init"
            raise NotFound("no_card_issuer", detail) from exc
        return cls(directory, passphrase, clock, entropy, status_url)

    def chain(self) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
        """Return the root, and the authorities between it and the cards."""
        with self.database.snapshot() as tx:
            root, *others = (authorities.load(tx, name) for name in AUTHORITIES)
        return root.certificate, tuple(other.certificate for other in others)

    def make_card(
        self,
        file: Path,
        cardholder: Cardholder,
        *,
        passphrase: Secret[str],
        pin: Secret[str],
        puk: Secret[str],
        authentication: Algorithm = Algorithm.P256,
    ) -> MadeCard:
        """Make a card for somebody: keys in the card, certificates by this issuer, all in the card file `file`."""
        state = manufacture(pin=pin, puk=puk, entropy=self._entropy)
        uuid = random_id(self._entropy)
        expires = (self._clock.now() + LIFETIME_OF_A_CARD).date()
        signer = self._content_signer(expires)  # refused before there is a card by halves
        with storage.create(file, passphrase, state, entropy=self._entropy) as stored:
            client = PIVClient(LocalTransport(PIVApplet(stored.state, stored.save, self._entropy)))
            certificates = personalize(
                client,
                cardholder=cardholder,
                fascn=fascn.non_federal(),
                uuid=uuid,
                pin=pin,
                puk=puk,
                management_key=state.management_key,
                certify=self._certify,
                content_signer=signer,
                expires=expires,
                algorithms={**USUAL_ALGORITHMS, KeyReference.AUTHENTICATION: authentication},
            )
        self.seal()
        return MadeCard(file, cardholder, str(uuid), certificates[KeyReference.AUTHENTICATION])

    def revoke(self, certificate: x509.Certificate, reason: RevocationReason) -> None:
        """End one of a card's certificates; OCSP and CRL say so when this returns."""
        with self.database.transaction() as tx:
            revocation.revoke_serial(tx, self.authority, "card", certificate.serial_number, reason, actor=ACTOR)
        self.keep_up()

    def keep_up(self) -> None:
        """Do what is due: seal the audit trail, renew the OCSP responder, make lists."""
        self.seal()
        responder.renew(self.authority, self._keys, "card", actor=ACTOR)
        for name in AUTHORITIES:
            crl.refresh(self.authority, name)
        self.seal()

    def seal(self) -> None:
        """Seal the audit trail."""
        sealer.seal(self.database, self._clock, self._entropy, self._seal)

    def _certify(self, request: CertificateRequest) -> x509.Certificate:
        holder = request.cardholder
        profile = PROFILES[request.slot]
        names_the_card = request.slot in {KeyReference.AUTHENTICATION, KeyReference.CARD_AUTHENTICATION}
        is_for_mail = request.slot in {KeyReference.SIGNATURE, KeyReference.KEY_MANAGEMENT}
        is_a_persons = request.slot is not KeyReference.CARD_AUTHENTICATION
        return self._issue(
            IssuanceRequest(
                ca="card",
                profile=profile,
                request_key=f"{request.card_uuid}:{request.slot:02X}",
                key=verify_proof_of_possession(request.csr),
                subject=SubjectNames(
                    common_name=holder.common_name if is_a_persons else None,
                    serial_number=None if is_a_persons else str(request.card_uuid),
                    country="XX",
                ),
                alternative=AlternativeNames(
                    uuid=request.card_uuid if names_the_card else None,
                    fascn=fascn.encode(request.fascn) if names_the_card else None,
                    upn=holder.user_principal_name if is_a_persons else None,
                    mail=holder.mail if is_for_mail else None,
                ),
                not_after=self._end_of(request.expires),
                authorized_by=ACTOR,
            )
        )

    def _content_signer(self, cards_end: date) -> ContentSigner:
        """Return who signs a card's objects; refuse a key that has signed for long, or that the card would outlive."""
        key = self._keyring.private_key(CONTENT_SIGNER)
        software = SoftwareKey(key)  # type: ignore[arg-type]  # put there as P-256
        certificate = self._issue(
            IssuanceRequest(
                ca="card",
                profile="content-signing",
                request_key=CONTENT_SIGNER,
                key=hold(software.public_key),
                subject=SubjectNames(common_name="Card Content Signer", country="XX"),
                authorized_by=ACTOR,
            )
        )
        usable = profile_named("content-signing").private_key_lifetime
        if usable is not None and self._clock.now() >= certificate.not_valid_before_utc + usable:
            raise Expired(
                "content_signer_over", "The content signer's key has signed for three years. Make a new issuer."
            )
        if self._end_of(cards_end) > certificate.not_valid_after_utc:
            raise Expired("content_signer_over", "The card would outlive its content signer. Make a new issuer.")
        return ContentSigner(certificate, software)

    def _issue(self, request: IssuanceRequest) -> x509.Certificate:
        return issuance.issue(self.authority, request).certificate

    def _end_of(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
