# SPDX-License-Identifier: Apache-2.0
"""Certification authorities for tests: hierarchies in a database, and requests that state only what matters."""

import functools
import itertools
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from etymon.audit import sealer
from etymon.ca import ceremony, issuance
from etymon.ca.authorities import NewAuthority
from etymon.ca.dependencies import Dependencies
from etymon.ca.lints import PUBLIC_HOST_EXCEPTION
from etymon.ca.model import AlternativeNames, Authority, IssuanceRequest, IssuedCertificate, SubjectNames
from etymon.ca.profiles import EXAMPLE_POLICY_OIDS, PROFILES, Presence, profile_named
from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.kernel.secret import Secret
from etymon.pki import keys
from etymon.pki.algorithms import KeyType, PrivateKey
from etymon.pki.csr import CertifiableKey, hold, verify_proof_of_possession
from etymon.pki.keys import KeyDirectory
from etymon.pki.signer import Signer, SoftwareSigner
from etymon.storage.database import Database
from etymon.wire import fascn
from support.clock import TurnedClock
from support.kept_rows import Restore, is_fresh, kept

ORGANIZATION = SubjectNames(country="US", organization="Example Agency", organizational_units=("Field Office",))
OFFICER = "officer:7"
CARD = uuid.UUID("6f1d6f20-2f5c-4b9a-9a55-2f3b8f1f5a10")
CARD_LIFETIME = timedelta(days=1000)
UNUSUAL = frozenset(
    {
        "piv-i-authentication",
        "piv-i-card-authentication",
        "piv-i-content-signing",
        "authentication",
    }
)
"""Profiles that no usual hierarchy issues."""


@dataclass(frozen=True)
class HeldCeremony:
    """What a ceremony led to: authorities, key files and their signers, and the rows that tell of them."""

    authorities: tuple[Authority, ...]
    files: Mapping[str, bytes]
    signers: Mapping[str, Signer]
    restore: Restore


_HELD: Final[dict[object, HeldCeremony]] = {}


class CASite:
    """One database with authorities, and short sentences to ask them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Entropy,
        directory: Path,
        *,
        status_url: str = "http://127.0.0.1:8080",
        policy_oids: Mapping[str, str] = EXAMPLE_POLICY_OIDS,
        hierarchy: Collection[NewAuthority] | None = None,
    ) -> None:
        self.keys = KeyDirectory(directory / "keys", Secret(b"correct horse battery staple"))
        self.deps = Dependencies(
            database=database,
            clock=clock,
            entropy=entropy,
            signers=self.keys,
            policy_oids=policy_oids,
            status_url=status_url,
            lint_exceptions=frozenset({PUBLIC_HOST_EXCEPTION}),
        )
        self._numbers = itertools.count()
        self._audit_signer = SoftwareSigner(keys.generate(KeyType.P256))
        wanted = ceremony.deployment(ORGANIZATION, KeyType.P256) if hierarchy is None else hierarchy
        self.authorities = self._made(directory / "keys", tuple(wanted))

    def _made(self, directory: Path, wanted: tuple[NewAuthority, ...]) -> dict[str, Authority]:
        """Hold the ceremony; the same one at the same time in another empty database is not held again."""
        deps = self.deps
        if not wanted or not isinstance(deps.clock, TurnedClock) or not is_fresh(deps.database):
            return _by_name(ceremony.create(deps, self.keys, wanted, actor="init"))
        policies = frozenset(deps.policy_oids.items())
        key = (deps.database.dialect, deps.clock.now(), deps.status_url, policies, wanted)
        if (held := _HELD.get(key)) is None:
            authorities = ceremony.create(deps, self.keys, wanted, actor="init")
            files = {file.name: file.read_bytes() for file in directory.iterdir()}
            _HELD[key] = held = HeldCeremony(authorities, files, dict(self.keys.items()), kept(deps.database))
        else:
            held.restore(deps.database)
            directory.mkdir(mode=0o700, parents=True)
            for name, octets in held.files.items():
                (directory / name).write_bytes(octets)
            self.keys._opened.update(held.signers)  # noqa: SLF001 - deriving the key of each file takes its time
        return _by_name(held.authorities)

    def seal(self) -> None:
        """Let the audit trail keep up with a clock that was turned."""
        sealer.seal(self.deps.database, self.deps.clock, self.deps.entropy, self._audit_signer)

    def request(self, profile: str = "derived-piv-authentication", **changes: object) -> IssuanceRequest:
        """Return a request the authorities grant; `changes` replace its fields."""
        number = next(self._numbers)
        request = IssuanceRequest(
            ca=authority_of(profile),
            profile=profile,
            request_key=f"request-{number}-{uuid.uuid4()}",
            key=key_for(profile),
            subject=subject_for(profile, f"Cardholder {number}"),
            authorized_by=OFFICER,
            alternative=names_for(profile, number),
            not_after=self.deps.clock.now() + CARD_LIFETIME if profile_named(profile).within_card else None,
        )
        return replace(request, **changes)  # type: ignore[arg-type]  # the tests name fields of the request

    def issue(self, profile: str = "derived-piv-authentication", **changes: object) -> IssuedCertificate:
        """Plan and complete one certificate."""
        request = self.request(profile, **changes)
        with self.deps.database.transaction() as tx:
            planned = issuance.plan(tx, self.deps, request)
        return issuance.complete(self.deps, planned.id)


def _by_name(authorities: Collection[Authority]) -> dict[str, Authority]:
    return {authority.name: authority for authority in authorities}


def every_kind(key_type: KeyType = KeyType.P256) -> tuple[NewAuthority, ...]:
    """Return the hierarchies of a deployment and of a card issuer, which between them issue every profile."""

    def widened(new: NewAuthority) -> NewAuthority:
        own = {profile for profile in UNUSUAL if authority_of(profile) == new.name}
        above = {profile for profile in UNUSUAL if authority_of(profile) == "card"}
        passed_on = above if new.name == "card-intermediate" else own
        policies = dict.fromkeys((*new.policies, *map(_policy, sorted(passed_on))))
        return replace(new, profiles=new.profiles | own, policies=tuple(policies))

    return tuple(map(widened, (*ceremony.deployment(ORGANIZATION), *ceremony.card_issuer(ORGANIZATION, key_type))))


def _policy(profile: str) -> str:
    return profile_named(profile).policy or ""


def authority_of(profile: str) -> str:
    """Return the authority that issues a profile in the usual hierarchies."""
    if profile in ceremony.CARD_PROFILES or profile.startswith("piv-i-"):
        return "card"
    if profile in ceremony.MANAGED_PROFILES:
        return "managed"
    return {"device-identity": "device", "tls-server": "tls"}.get(profile, "derived")


def subscriber_profiles() -> list[str]:
    """Return the names of the profiles that are issued to others than authorities and responders."""
    return [name for name, profile in PROFILES.items() if profile.minted and not profile.asserts_all_policies]


def subject_for(profile: str, name: str, card: uuid.UUID = CARD) -> SubjectNames:
    if profile_named(profile).common_name is Presence.ABSENT:
        return replace(ORGANIZATION, serial_number=str(card))
    return replace(ORGANIZATION, common_name=name)


def names_for(profile: str, number: int = 0) -> AlternativeNames:
    """Return the alternative names a profile asks for, and those it allows."""
    wanted = profile_named(profile)
    absent = Presence.ABSENT
    return AlternativeNames(
        uuid=(CARD if wanted.within_card else uuid.uuid4()) if wanted.uuid is Presence.REQUIRED else None,
        fascn=fascn.encode(fascn.non_federal(f"{number:010}")) if wanted.fascn is not absent else None,
        upn=f"cardholder{number}@agency.example" if wanted.upn is not absent else None,
        mail=f"cardholder{number}@agency.example" if wanted.mail is not absent else None,
        dns=("localhost", "site.agency.example") if wanted.dns is not absent else (),
        security_identifier=f"S-1-5-21-1-2-3-{number}" if wanted.security_identifier is not absent else None,
    )


def key_for(profile: str) -> CertifiableKey:
    """Return a new key of a kind the profile takes."""
    wanted = profile_named(profile)
    kind = KeyType.P256 if KeyType.P256 in wanted.key_types else KeyType.RSA2048
    return fresh_key(kind, proven=wanted.possession_proven)


def fresh_key(kind: KeyType = KeyType.P256, *, proven: bool = True) -> CertifiableKey:
    """Return a new key ready for certification."""
    private_key = keys.generate(kind)
    return proven_key(private_key) if proven else hold(private_key.public_key())


def proven_key(private_key: PrivateKey) -> CertifiableKey:
    return verify_proof_of_possession(csr_der(private_key))


def csr_der(private_key: PrivateKey, name: str = "requester's own idea of a name") -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    algorithm = SoftwareSigner(private_key).algorithm.hash()
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(private_key, algorithm)
    return request.public_bytes(serialization.Encoding.DER)


@functools.cache
def rsa_key(kind: KeyType = KeyType.RSA2048) -> PrivateKey:
    """Return one RSA key a kind and test run; making them is slow."""
    return keys.generate(kind)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)
