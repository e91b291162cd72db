# SPDX-License-Identifier: Apache-2.0
"""Self-recovery: a cardholder gets their own encryption keys out of escrow, at a card session (KRP 4.2).

First the page shows a password, then the file under it is fetched, by whoever has both the session and the password.
Nothing is kept between the two: a seal says that the password was made here, for these keys and this card proof.
"""

import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from etymon.directory import people
from etymon.escrow import history, recovered_key
from etymon.escrow import self_recovery as escrow
from etymon.escrow.errors import key_unknown, key_unusable
from etymon.escrow.model import EscrowedKey, WrappedKey
from etymon.escrow.recovery_model import RecoveredKey
from etymon.issuer import card_recheck, eligibility, errors, recovery_wait
from etymon.issuer.dependencies import Dependencies, record
from etymon.issuer.model import PROOF_LIFETIME, CardSession, Credential, CredentialState
from etymon.issuer.store import credentials, derivations, self_recoveries
from etymon.kernel.entropy import random_id
from etymon.kernel.errors import EtymonError
from etymon.kernel.secret import Secret
from etymon.storage.database import Transaction

REFUSAL: Final = "issuer:self_recovery:refused"
WINDOW: Final = timedelta(hours=1)
MOST_IN_WINDOW: Final = 10
"""How often a person may ask for own keys within `WINDOW`, refused or not: each time means mail."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """An escrowed key with how its certificate stands; `credential` is None where the issuer knows of none."""

    key: EscrowedKey
    credential: Credential | None = None

    @property
    def is_held_by_officer(self) -> bool:
        """Whether an officer suspects something: until that is decided the key stays where it is."""
        return self.credential is not None and _is_held_by_officer(self.credential)


@dataclass(frozen=True, slots=True)
class Offer:
    """A password for one key, or for all where `key` is None, and the seal that comes back with it."""

    key: UUID | None
    password: Secret[str]
    seal: str


def listed(deps: Dependencies, session: CardSession) -> tuple[OwnKey, ...]:
    """Return a cardholder's newest certified keys in escrow, as many as a history has; nothing leaves escrow."""
    with deps.database.snapshot() as tx:
        return _own(tx, session.person)


def offer(deps: Dependencies, session: CardSession, key: UUID | None) -> Offer:
    """Return a new password for own keys, which is kept nowhere; raises `card_proof_old`, `card_proof_elsewhere`."""
    _require_fresh(deps, session)
    password = recovered_key.whole(deps.entropy)
    return Offer(key, password, _seal(deps, session, key, password))


def recover(deps: Dependencies, session: CardSession, offered: Offer, *, source: str) -> tuple[RecoveredKey, ...]:
    """Return own keys as PKCS #12 under the password that was offered.

    Each attempt is on record and told to the person, refused or not, but for those over the limit, which are on record.
    Raises `too_many_recoveries`, `not_eligible`, `recovery_password_wrong`, `card_proof_old`,
    `card_proof_elsewhere`, `card_revoked`, `card_not_bound`, `recovery_too_early`, `key_held_by_officer`,
    what escrow refuses, and `Unavailable` while the card's status, the audit
    trail or escrow does not answer. Runs transactions of its own.
    """
    actor = f"person:{session.person}"
    with deps.refusals.noted(REFUSAL, actor=actor, subject=f"card_proof:{session.proof}", source=source):
        _count(deps, session)
        wanted = [offered.key] if offered.key else [own.key.id for own in listed(deps, session)]
        try:
            _require_offered(deps, session, offered)
            _require_fresh(deps, session)
            card_recheck.require_proof_good(deps, session.proof)
            with deps.database.transaction() as tx:
                released = _release(tx, deps, session, offered.key, source=source)
            found = escrow.packed(deps.escrow, released, offered.password, actor=actor, source=source)
        except EtymonError as refusal:
            told = {"reason": escrow.REASON, "actor": actor, "source": source}
            history.refused(deps.escrow, wanted, refusal, asking=session.person, **told)
            raise
    if not found:  # each was told of as it did not open
        raise key_unusable()
    return found


def _count(deps: Dependencies, session: CardSession) -> None:
    """Keep that somebody asks, with the card proof, whatever comes of it; one after the other."""
    now = deps.clock.now()
    with deps.database.transaction() as tx:
        if people.keep_active(tx, session.person) is None:
            raise errors.not_eligible("Your account has ended. Ask your administrator.")
        asked = self_recoveries.asked_since(tx, session.person, now - WINDOW)
        if len(asked) >= MOST_IN_WINDOW:
            raise errors.too_many_recoveries(asked[0] + WINDOW - now)
        self_recoveries.add(tx, random_id(deps.entropy), session.person, proof=session.proof, now=now)


def _release(
    tx: Transaction, deps: Dependencies, session: CardSession, key: UUID | None, *, source: str
) -> tuple[WrappedKey, ...]:
    _require_fresh(deps, session)  # to ask for the card's status took a while
    derivations.lock_all_of(tx, session.person)  # an Officer's hold comes before this or after it
    if people.keep_active(tx, session.person) is None:
        raise errors.not_eligible("Your account has ended. Ask your administrator.")
    eligibility.require_bound(tx, session.proof, session.person)
    recovery_wait.require_over(tx, deps.clock, session.proof, session.person)
    own = () if key else _own(tx, session.person)
    wanted = [key] if key else [each.key.id for each in own if not each.is_held_by_officer]
    if not wanted:
        raise errors.key_held() if own else key_unknown()
    if any(map(_is_held_by_officer, credentials.of_escrowed_keys(tx, session.person, wanted).values())):
        raise errors.key_held()
    actor = f"person:{session.person}"
    released = escrow.release(
        tx, deps.escrow, wanted, owner=session.person, card_proof=session.proof, actor=actor, source=source
    )
    subject = f"card_proof:{session.proof}"
    record(tx, deps, "self_recovery:released", actor=actor, subject=subject, source=source, keys=len(released))
    return released


def _own(tx: Transaction, person: UUID) -> tuple[OwnKey, ...]:
    keys = history.listed(tx, person)
    found = credentials.of_escrowed_keys(tx, person, [key.id for key in keys])
    return tuple(OwnKey(key, found.get(key.id)) for key in keys)


def _is_held_by_officer(credential: Credential) -> bool:
    return credential.state is CredentialState.HELD and credential.held_by != credential.person


def _require_fresh(deps: Dependencies, session: CardSession) -> None:
    if not session.for_keys:
        raise errors.card_proof_elsewhere()
    if deps.clock.now() >= session.proved_at + PROOF_LIFETIME:
        raise errors.card_proof_old()


def _require_offered(deps: Dependencies, session: CardSession, offered: Offer) -> None:
    sealed = _seal(deps, session, offered.key, offered.password)
    if not hmac.compare_digest(sealed.encode(), offered.seal.encode()):
        raise errors.recovery_password_wrong()


def _seal(deps: Dependencies, session: CardSession, key: UUID | None, password: Secret[str]) -> str:
    return deps.digest_key.digest(f"self-recovery:{session.proof}:{key or 'all'}", password).hex()
