# SPDX-License-Identifier: Apache-2.0
"""Making certification authorities: a root that signs itself, and authorities below it.

Each step may be repeated after an interruption: a key that was made is used, a certificate that was planned is
completed, an authority that exists is left as it is.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cryptography import x509

from etymon.audit import trail
from etymon.audit.model import AuditEvent
from etymon.ca import issuance, revocation, store
from etymon.ca.content import fresh_serial, lint_clean_tbs, permitted_key, policy_oid, validity
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import NO_NAMES, Authority, Revocation, RevocationReason, SubjectNames
from etymon.ca.profiles import CertificateProfile, profile_named
from etymon.ca.refusals import noted
from etymon.ca.template import Content, Issuer
from etymon.kernel.errors import Conflict, NotFound, NotPermitted
from etymon.pki.algorithms import KeyType, key_type
from etymon.pki.certificate import spki_sha256, thumbprint, to_der
from etymon.pki.keys import KeyStore
from etymon.pki.signer import Signer, signed
from etymon.storage.database import Transaction

AUTHORITY_PROFILES: Final = frozenset({"intermediate-ca", "issuing-ca"})


@dataclass(frozen=True, slots=True)
class NewAuthority:
    """An authority to be made. `profiles` is what it may issue, `policies` the policy names it passes on.

    `profile` is `root-ca` (no parent), `intermediate-ca` or `issuing-ca`.
    """

    name: str
    parent: str | None
    profile: str
    subject: SubjectNames
    key_type: KeyType
    profiles: frozenset[str]
    policies: tuple[str, ...] = ()


def create_root(deps: Dependencies, keys: KeyStore, new: NewAuthority, *, actor: str) -> Authority:
    """Make a self-signed authority, or return the one of that name."""
    with deps.database.snapshot() as tx:
        existing = store.find_authority(tx, new.name)
    if existing is not None:
        return existing
    signer = _key(keys, new)
    with noted(deps, actor=actor, subject=f"authority:{new.name}"):
        content = _content(deps, None, new, signer)
        tbs = lint_clean_tbs(deps, content)
    certificate = x509.load_der_x509_certificate(signed(signer, tbs))
    with deps.database.transaction() as tx:
        return _add(tx, deps, new, certificate, actor)


def create_issuing(deps: Dependencies, keys: KeyStore, new: NewAuthority, *, actor: str) -> Authority:
    """Make an authority below `new.parent`, intermediate or issuing, or return the one of that name."""
    with deps.database.snapshot() as tx:
        existing = store.find_authority(tx, new.name)
        parent = issuance.find_authority(tx, new.parent or "")
    if existing is not None:
        return existing
    request_key = f"{store.AUTHORITY_KEY}{new.name}"
    with noted(deps, actor=actor, subject=request_key):
        content = _content(deps, parent, new, _key(keys, new))
        with deps.database.transaction() as tx:
            planned = issuance.plan_content(tx, deps, content, parent, request_key=request_key, authorized_by=actor)
        issued = issuance.complete(deps, planned.id)
    with deps.database.transaction() as tx:
        return _add(tx, deps, new, issued.certificate, actor)


def load(tx: Transaction, name: str) -> Authority:
    """Return the authority called `name`; `NotFound` where there is none."""
    return issuance.find_authority(tx, name)


def names(tx: Transaction) -> tuple[str, ...]:
    """Return the names of all authorities, roots and others."""
    return store.authority_names(tx)


def issuing(tx: Transaction, hierarchy: str) -> tuple[Authority, ...]:
    """Return the authorities that a hierarchy's root certified, the newest last."""
    found = store.children(tx, f"{hierarchy}-root")
    return tuple(sorted(found, key=lambda authority: (authority.certificate.not_valid_before_utc, authority.name)))


def current(tx: Transaction, hierarchy: str) -> Authority:
    """Return the authority of a hierarchy that issues: the one that was made last, revoked or not."""
    return (issuing(tx, hierarchy) or (load(tx, hierarchy),))[-1]


def revoked(tx: Transaction) -> frozenset[str]:
    """Return the names of the authorities whose own certificate was revoked."""
    return store.revoked_authorities(tx)


def not_relied_on(tx: Transaction) -> Mapping[str, Authority]:
    """Return the names of the authorities that were revoked, or below one that was, each with the one that was."""
    every = {authority.name: authority for authority in store.every_authority(tx)}
    found: dict[str, Authority] = {}
    for name in every:
        above: str | None = name
        while above is not None and every[above].revoked_at is None:
            above = every[above].parent
        if above is not None:
            found[name] = every[above]
    return found


def revoked_of(tx: Transaction, certificate_ids: Collection[UUID]) -> Mapping[UUID, Authority]:
    """Return which of some certificates are good for nothing since the authority was revoked that made them.

    Each comes with the authority that was revoked: the one that made it, or one above. Nothing is kept of it with the
    certificates, whatever their own state.
    """
    revoked = not_relied_on(tx) if certificate_ids else {}
    made = store.certified_by(tx, certificate_ids, revoked) if revoked else {}
    return {certificate: revoked[name] for certificate, name in made.items()}


def is_revoked(tx: Transaction, name: str) -> bool:
    """Say whether an authority, or one above it, was revoked: then no certificate of its is to be relied on."""
    return any(authority.revoked_at is not None for authority in store.lineage(tx, name))


def revoke(tx: Transaction, deps: Dependencies, name: str, reason: RevocationReason, *, actor: str) -> Revocation:
    """End the certificate of an authority; the list of the one above says so when that is made next.

    From this commit on nothing is issued below it. Raises `NotFound`, `NotPermitted` for a root, which is on no list,
    and `Conflict` `authority_revoked` for one that was revoked before.
    """
    authority = load(tx, name)
    require_revocable(authority)
    record = store.find_by_thumbprint(tx, thumbprint(authority.certificate))
    if record is None:
        raise NotFound("certificate_not_found", f"There is no record of the certificate of {name}.")
    done = revocation.revoke(tx, deps, record.id, reason, actor=actor)
    facts = {"parent": authority.parent, "reason": reason.name.lower(), "serial": store.serial_text(record.serial)}
    trail.record(tx, deps.clock, deps.entropy, AuditEvent("ca:authority:revoked", actor, name, facts=facts))
    return done


def require_revocable(authority: Authority) -> None:
    """Raise unless an authority's certificate can be revoked: `root_not_revocable`, `authority_revoked`."""
    if authority.parent is None:
        raise NotPermitted(
            "root_not_revocable",
            f"{authority.name} is a root, which is on no list. Have relying parties take it out of what they trust.",
        )
    if authority.revoked_at is not None:
        since = f"{authority.revoked_at:%Y-%m-%d %H:%M} UTC"
        raise Conflict("authority_revoked", f"The authority {authority.name} was revoked at {since}.")


def _key(keys: KeyStore, new: NewAuthority) -> Signer:
    return keys.find(new.name) or keys.generate(new.name, new.key_type)


def _policies(deps: Dependencies, new: NewAuthority) -> tuple[str, ...]:
    """Return the OIDs of an authority's policies, each once: several names may have the same (`.8` for all devices)."""
    return tuple(dict.fromkeys(policy_oid(deps, name) for name in new.policies))


def _content(deps: Dependencies, parent: Authority | None, new: NewAuthority, signer: Signer) -> Content:
    profile: CertificateProfile = profile_named(new.profile)
    public_key = permitted_key(deps, profile, signer.public_key)
    return Content(
        profile=profile,
        issuer=Issuer(parent.name, parent.certificate, deps.status_url) if parent else None,
        public_key=public_key,
        subject=new.subject,
        alternative=NO_NAMES,
        validity=validity(deps.clock.now(), parent, profile, key_type(public_key), None),
        serial=fresh_serial(deps.entropy),
        policies=_policies(deps, new),
        algorithm=deps.signer(parent.name).algorithm if parent else signer.algorithm,
        repository_url=f"{deps.status_url}/certificates/{new.name}-issued.p7c",
    )


def _add(
    tx: Transaction, deps: Dependencies, new: NewAuthority, certificate: x509.Certificate, actor: str
) -> Authority:
    existing = store.find_authority(tx, new.name)
    if existing is not None:
        return existing
    store.insert_authority(
        tx,
        name=new.name,
        parent=new.parent,
        der=to_der(certificate),
        spki_sha256=spki_sha256(certificate),
        profiles=new.profiles,
        policies=_policies(deps, new),
        now=deps.clock.now(),
    )
    facts = {"parent": new.parent, "key": spki_sha256(certificate).hex(), "profile": new.profile}
    trail.record(tx, deps.clock, deps.entropy, AuditEvent("ca:authority:created", actor, new.name, facts=facts))
    return issuance.find_authority(tx, new.name)
