# SPDX-License-Identifier: Apache-2.0
"""Judging where a phone's key is, and keeping what was found (SP 800-157r1 §2.2, SP 800-63B-4 3.2.4).

`judge` looks at the chain, outside of transactions; `accept` compares with the rule and keeps the evidence, in the
transaction that takes the key. What is not proved counts as a key in software.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from etymon.issuer.attestation import store
from etymon.issuer.attestation.model import ATTESTED, AttestationAuthority, KeyAttestation, KeyUse, printable
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.errors import device_class_not_covered
from etymon.issuer.model import Attestation, IssuanceRule, Purpose
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import NotPermitted
from etymon.pki import key_attestation
from etymon.pki.algorithms import PublicKey
from etymon.pki.attestation_chain import NotAttested
from etymon.pki.certificate import spki_sha256
from etymon.pki.key_attestation import DECRYPT, SIGN, AttestedKey, Requirements
from etymon.storage.database import Transaction

USES: Final = {
    Purpose.AUTHENTICATION: frozenset({SIGN}),
    Purpose.SIGNATURE: frozenset({SIGN}),
    Purpose.ENCRYPTION: frozenset({SIGN, DECRYPT}),
}
"""What the key of a request must have been made for; for encryption the transport key, which signs its request, and
for a key history likewise."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found of a key, before any rule: either it is attested, or why not. An empty chain means none came."""

    purpose: Purpose
    key_sha256: bytes
    chain: tuple[bytes, ...]
    at: datetime
    attested: AttestedKey | None
    refusal: NotAttested | None
    authority: AttestationAuthority | None = None
    use: KeyUse = KeyUse.CERTIFICATE


def judge(
    deps: Dependencies,
    purpose: Purpose,
    key: PublicKey,
    chain: Sequence[bytes] | None,
    *,
    challenges: Collection[bytes],
) -> Judged:
    """Judge the chain that came with a key, which must be made for one of `challenges`; raises nothing.

    Every authority whose root it ends in has a say, and a refusal by any counts: one may know what was revoked, where
    another has no list.
    """
    at, sent = deps.clock.now(), tuple(chain or ())
    digest = spki_sha256(key)
    if not sent:
        return unproved(deps, purpose, key)
    with deps.database.snapshot() as tx:
        known = store.all_authorities(tx)
    refusal = NotAttested("attestation_untrusted_root", "No attestation authority is known here.")
    believed: Judged | None = None
    for authority in known:
        try:
            attested = key_attestation.verify(
                sent, authority.trust, at, challenges=challenges, key=key, purposes=USES[purpose]
            )
        except NotAttested as refused:
            refusal = refused
            if refused.code != "attestation_untrusted_root":
                return Judged(purpose, digest, sent, at, None, refused, authority)
        else:
            found = Judged(purpose, digest, sent, at, attested, None, authority)
            if believed is None or authority.status is not None:  # the evidence says that a list was looked at
                believed = found
    return believed or Judged(purpose, digest, sent, at, None, refusal)


def unproved(deps: Dependencies, purpose: Purpose, key: PublicKey) -> Judged:
    """Return what is found of a key where nothing that came with it is looked at."""
    return Judged(purpose, spki_sha256(key), (), deps.clock.now(), None, _missing())


def accept(
    tx: Transaction, deps: Dependencies, judged: Judged, rule: IssuanceRule, derivation: UUID, *, actor: str
) -> None:
    """Keep what was found of a key, if the rule wants it looked at; raises `NotPermitted` if it wants more.

    What was found of a key before stays. It counts for the link key alone, at its certificate: with that nothing comes.
    """
    if rule.attestation is Attestation.OFF:
        return
    known = store.of_key(tx, derivation, judged.key_sha256)
    is_link_key = judged.purpose is Purpose.AUTHENTICATION and not judged.chain
    if is_link_key and known is not None and known.is_attested:
        return
    refusal = _refusal(judged, rule) or _other_device(tx, judged, derivation)
    if refusal is not None and rule.attestation is Attestation.REQUIRED:
        raise refusal
    if not judged.chain or known is not None:
        return
    found = _evidence(judged, refusal, random_id(deps.entropy), derivation)
    store.add(tx, found)
    record(
        tx,
        deps,
        "key:judged",
        actor=actor,
        subject=derivation,
        purpose=judged.purpose.value,
        key=judged.key_sha256.hex(),
        verdict=found.verdict,
        use=found.use.value,
        authority=found.authority or None,
        security_level=found.security_level or None,
    )


def accept_again(
    tx: Transaction, deps: Dependencies, judged: Judged, rule: IssuanceRule, derivation: UUID, *, actor: str
) -> None:
    """As `accept`, for a request that was accepted before: what was found of its key then counts.

    Its challenge may be over by now, but a key that was attested then is attested. One that was only recorded is judged
    by the rule of today.
    """
    known = store.of_key(tx, derivation, judged.key_sha256)
    if known is None or not known.is_attested or known.use is not judged.use:
        accept(tx, deps, judged, rule, derivation, actor=actor)


def _refusal(judged: Judged, rule: IssuanceRule) -> NotPermitted | None:
    if judged.attested is None:
        return judged.refusal
    try:
        key_attestation.require(judged.attested, Requirements(rule.attestation_level, rule.verified_boot))
    except NotAttested as refused:
        return refused
    if rule.device_class(judged.attested.manufacturer, judged.attested.model) is None:
        return device_class_not_covered()  # also where no model is attested: then it is a claim
    return None


def _other_device(tx: Transaction, judged: Judged, derivation: UUID) -> NotAttested | None:
    """Return the refusal of a key in another device than its derivation's first proved one, as far as both tell."""
    first = store.first_proved(tx, derivation)
    if judged.attested is None or first is None:
        return None
    try:
        before = key_attestation.read(first.chain)
    except NotAttested:
        return None  # taken by an earlier reader, and not understood by today's: it does not tell
    try:
        judged.attested.require_same_device(before)
    except NotAttested as refused:
        return refused
    return None


def _evidence(judged: Judged, refusal: NotPermitted | None, id_: UUID, derivation: UUID) -> KeyAttestation:
    attested = judged.attested
    return KeyAttestation(
        id=id_,
        derivation=derivation,
        purpose=judged.purpose,
        key_sha256=judged.key_sha256,
        verdict=refusal.code if refusal else ATTESTED,
        judged_at=judged.at,
        chain=judged.chain,
        authority=judged.authority.name if judged.authority else "",
        security_level=attested.security_level.name.lower() if attested else "",
        manufacturer=printable(attested.manufacturer) if attested else "",
        model=printable(attested.model) if attested else "",
        os_patch_level=attested.os_patch_level if attested else None,
        status_list=judged.authority is not None and judged.authority.status is not None,
        use=judged.use,
    )


def _missing() -> NotAttested:
    return NotAttested(
        "attestation_missing",
        "This phone did not prove where its key is. Use one whose keys live in secure hardware, or update the app.",
    )
