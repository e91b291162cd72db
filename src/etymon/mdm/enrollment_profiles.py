# SPDX-License-Identifier: Apache-2.0
"""Enrollment profiles: their terms, their tokens, and the QR code that a factory-new phone scans."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from etymon.kernel.entropy import Entropy, random_id, random_text
from etymon.kernel.errors import Conflict, Malformed, NotFound
from etymon.kernel.secret import DigestKey, Secret
from etymon.mdm.dependencies import Dependencies, record
from etymon.mdm.enrollment_profile import EnrollmentProfile, NetworkWithoutPassword, ProfileTerms
from etymon.mdm.store import enrollment as store
from etymon.storage import wrapping
from etymon.storage.database import Transaction
from etymon.wire import enrollment_qr
from etymon.wire.enrollment_qr import Invitation, Provisioning, SetupNetwork

TOKEN_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # noqa: S105 - an alphabet (RFC 4648 §6)
TOKEN_LENGTH: Final = 24
"""120 bits: SP 800-63B-4 asks for 112 where a code comes without an account identifier."""

LONGEST_TOKEN_LIFETIME: Final = timedelta(seconds=2**31 - 1)
TOKEN_PURPOSE: Final = "enrollment-token"  # noqa: S105 - the name of a purpose
PASSWORD_PURPOSE: Final = "enrollment-network"  # noqa: S105 - the name of a purpose


@dataclass(frozen=True, slots=True)
class EnrollmentCode:
    """What the QR code of a profile says. `simulator_only`: no agent is configured that a real phone could install."""

    text: Secret[str]
    simulator_only: bool


def create(tx: Transaction, deps: Dependencies, terms: ProfileTerms, *, actor: str) -> EnrollmentProfile:
    """Add a profile; it admits nobody before `create_token`."""
    now = deps.clock.now()
    profile = EnrollmentProfile(random_id(deps.entropy), terms, None, 0, now, now)
    store.insert_profile(tx, profile, _wrapped_password(deps, profile.id, terms))
    record(tx, deps, "enrollment_profile:created", actor=actor, subject=profile.id, name=terms.display_name)
    return profile


def update(tx: Transaction, deps: Dependencies, id_: UUID, terms: ProfileTerms, *, actor: str) -> EnrollmentProfile:
    """Change a profile's terms; its token and the devices that came by it stay."""
    profile = get(tx, deps, id_)
    store.update_profile(tx, id_, terms, _wrapped_password(deps, id_, terms), deps.clock.now())
    record(tx, deps, "enrollment_profile:changed", actor=actor, subject=profile.id, name=terms.display_name)
    return get(tx, deps, id_)


def delete(tx: Transaction, deps: Dependencies, id_: UUID, *, actor: str) -> None:
    """Remove a profile and its token; devices that came by it stay managed."""
    if not store.delete_profile(tx, id_):
        raise _not_found()
    record(tx, deps, "enrollment_profile:deleted", actor=actor, subject=id_)


def get(tx: Transaction, deps: Dependencies, id_: UUID) -> EnrollmentProfile:
    """Return a profile; raises NotFound."""
    profile = store.find_profile(tx, id_, opener(deps))
    if profile is None:
        raise _not_found()
    return profile


def page(tx: Transaction, deps: Dependencies, *, after: UUID | None, limit: int) -> list[EnrollmentProfile]:
    """Return profiles in the order of their ids."""
    return store.page_of_profiles(tx, after=after, limit=limit, opener=opener(deps))


def create_token(
    tx: Transaction, deps: Dependencies, id_: UUID, *, lifetime: timedelta | None, actor: str
) -> EnrollmentProfile:
    """Give a profile a new token in place of the one it had. Without a `lifetime` it lives until it is revoked.

    Raises `Conflict` `wifi_password_missing` while the password of its network has to be given again.
    """
    if lifetime is not None and not timedelta() < lifetime <= LONGEST_TOKEN_LIFETIME:
        raise Malformed("malformed_lifetime", "A token lives at least one second and at most 2147483647.")
    profile = get(tx, deps, id_)
    if isinstance(profile.terms.network, NetworkWithoutPassword):
        raise _password_missing(profile.terms.display_name, profile.terms.network.ssid)
    now = deps.clock.now()
    token = Secret(random_text(deps.entropy, TOKEN_ALPHABET, TOKEN_LENGTH))
    store.set_token(
        tx,
        id_,
        token_digest(deps, token),
        wrapping.wrap(deps.digest_key, deps.entropy, TOKEN_PURPOSE, id_, token),
        created_at=now,
        expires_at=now + lifetime if lifetime is not None else None,
    )
    seconds = int(lifetime.total_seconds()) if lifetime is not None else None
    record(tx, deps, "enrollment_profile:admission_opened", actor=actor, subject=id_, seconds=seconds)
    return get(tx, deps, id_)


def revoke_token(tx: Transaction, deps: Dependencies, id_: UUID, *, actor: str) -> None:
    """Take a profile's token away at once; revoking twice does no harm."""
    get(tx, deps, id_)
    if store.remove_token(tx, id_):
        record(tx, deps, "enrollment_profile:admission_closed", actor=actor, subject=id_)


def code(deps: Dependencies, profile: EnrollmentProfile) -> EnrollmentCode | None:
    """Return what the QR code of a profile says; None while it has no token, or its network no password."""
    network = profile.terms.network
    if profile.token is None or isinstance(network, NetworkWithoutPassword):
        return None
    invitation = Invitation(deps.server_url, profile.token.value, deps.tls_pin)
    text = enrollment_qr.encode(Provisioning(invitation, deps.controller, network))
    return EnrollmentCode(text, simulator_only=deps.controller is None)


def token_digest(deps: Dependencies, token: Secret[str]) -> bytes:
    """Return what a token is found by."""
    return deps.digest_key.digest("mdm.enrollment_token", token)


def opener(deps: Dependencies) -> store.Openers:
    """Return how this deployment opens a profile's stored secrets."""
    return store.Openers(
        token=lambda row, wrapped: wrapping.unwrap(deps.digest_key, TOKEN_PURPOSE, row, wrapped),
        password=lambda row, wrapped: wrapping.unwrap(deps.digest_key, PASSWORD_PURPOSE, row, wrapped),
    )


def begin_again(tx: Transaction, former: DigestKey, present: DigestKey, entropy: Entropy) -> int:
    """Have the profiles of a restored database admit nobody, and keep their networks' passwords under the new key.

    Returns how many tokens there were. A token was a secret that was handed out, and may have been revoked since the
    backup; a network's password is the organisation's own. One that does not open has to be given again.
    """
    removed = store.remove_all_tokens(tx)
    for row, wrapped in store.network_passwords(tx):
        password = wrapping.unwrap(former, PASSWORD_PURPOSE, row, wrapped)
        if password is not None:
            store.keep_network_password(tx, row, wrapping.wrap(present, entropy, PASSWORD_PURPOSE, row, password))
    return removed


def _wrapped_password(deps: Dependencies, id_: UUID, terms: ProfileTerms) -> bytes | None:
    if not isinstance(terms.network, SetupNetwork) or terms.network.password is None:
        return None
    return wrapping.wrap(deps.digest_key, deps.entropy, PASSWORD_PURPOSE, id_, terms.network.password)


def _password_missing(profile: str, ssid: str) -> Conflict:
    return Conflict(
        "wifi_password_missing",
        f"The password of the Wi-Fi {ssid} of the enrollment profile {profile} does not open any more. Give it again "
        "(wifi.passwordFile in the organization file and `etymon apply`, or wifiPassword); then fetch a new code.",
    )


def _not_found() -> NotFound:
    return NotFound("enrollment_profile_not_found", "There is no such enrollment profile.")
