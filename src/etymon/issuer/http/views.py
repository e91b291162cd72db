# SPDX-License-Identifier: Apache-2.0
"""What pages show of a derivation, and the QR code as an image."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import segno
from markupsafe import Markup

from etymon.ca.model import Authority
from etymon.issuer.attestation.model import KeyAttestation
from etymon.issuer.model import Credential, CredentialState, Derivation, DerivationState, Purpose
from etymon.kernel.secret import Secret

QUIET_ZONE: Final = 4
"""Modules of white around the code (ISO/IEC 18004 §5.3.8)."""

AUTHORITY_REVOKED: Final = "authority_revoked"
"""How a certificate stands whose authority was revoked, until somebody ends it."""

_SHOWN_BEFORE: Final = ("ended", AUTHORITY_REVOKED, "waiting", "held", "active")
"""Of several certificates for a purpose, as a rekey leaves them, the page has the one that says most."""

_ON_THE_PHONE: Final = frozenset({"active", "held", AUTHORITY_REVOKED})
LATE: Final = frozenset({DerivationState.BEGUN, DerivationState.REDEEMED, DerivationState.CONFIRMED})


@dataclass(frozen=True, slots=True)
class CredentialView:
    """One certificate on a page."""

    purpose: Purpose
    state: str
    serial_number: str
    not_after: datetime | None


@dataclass(frozen=True, slots=True)
class DerivationView:
    """One device on a page. `key` is the link key's thumbprint; `progress` changes with everything a page shows.

    `attested` is where that key is proved to be, and on which model; empty where nothing is proved. `worthless_since`
    is when the authority was revoked that certified what is shown, or some of it.
    """

    id: UUID
    state: DerivationState
    device: str
    serial_number: str
    managed: bool
    key: str
    digits: str
    confirmed_at: datetime | None
    credentials: tuple[CredentialView, ...]
    is_live: bool
    progress: str
    held_until: datetime | None = None
    is_held_by_officer: bool = False
    attested: str = ""
    worthless_since: datetime | None = None


def derivation_view(
    derivation: Derivation,
    found: Iterable[Credential],
    now: datetime,
    attestations: Iterable[KeyAttestation] = (),
    *,
    revoked: Mapping[UUID, Authority],
) -> DerivationView:
    """Return what pages show; a state whose time is over shows as expired before a worker has said so.

    `revoked` has the credentials that a revoked authority certified.
    """
    state = derivation.state
    if state in LATE and now >= derivation.expires_at:
        state = DerivationState.EXPIRED
    link = derivation.link
    said = link.description if link else None
    credentials = sorted(found, key=lambda one: (_SHOWN_BEFORE.index(_state(one, revoked)), one.planned_at))
    last = {credential.purpose: credential for credential in credentials}
    shown = {purpose: _credential(one, revoked) for purpose, one in last.items()}
    held = [one for one in credentials if one.held_until and one.held_until > now and one.id not in revoked]
    since = [revoked[one.id].revoked_at for one in last.values() if one.id in revoked]
    rows = tuple(shown.get(purpose, CredentialView(purpose, "waiting", "", None)) for purpose in derivation.purposes)
    return DerivationView(
        id=derivation.id,
        state=state,
        device=" ".join(part for part in (said.manufacturer, said.model) if part) if said else "",
        serial_number=said.serial_number if said else "",
        managed=link is not None and link.device is not None,
        key=link.key_thumbprint.hex() if link else "",
        digits=link.digits if link else "",
        confirmed_at=derivation.confirmed_at,
        credentials=rows,
        is_live=state in {DerivationState.CONFIRMED, DerivationState.ISSUING}
        or any(row.state in _ON_THE_PHONE and row.not_after and row.not_after > now for row in rows),
        progress=f"{state.value}:{sum(row.state == 'active' for row in rows)}",
        held_until=min((one.held_until for one in held if one.held_until), default=None),
        is_held_by_officer=any(one.held_by != derivation.person for one in held),
        attested=next((_proved(each) for each in attestations if link and each.key_sha256 == link.key_thumbprint), ""),
        worthless_since=min((moment for moment in since if moment), default=None),
    )


def without_replaced(views: Sequence[DerivationView]) -> list[DerivationView]:
    """Leave out what is worthless on a phone that was set up anew since: the person has nothing to do about it."""
    anew = {view.serial_number for view in views if view.is_live and view.worthless_since is None}
    return [view for view in views if view.worthless_since is None or view.serial_number not in anew - {""}]


def _proved(found: KeyAttestation) -> str:
    if not found.is_attested:
        return ""
    return ", ".join(
        filter(None, (found.security_level.replace("_", " "), f"{found.manufacturer} {found.model}".strip()))
    )


def qr_image(text: Secret[str]) -> Markup:
    """Return a QR code as inline SVG without any style of its own; error correction M."""
    out = io.BytesIO()
    code = segno.make(text.reveal(), error="m", micro=False, boost_error=False)
    code.save(out, kind="svg", xmldecl=False, svgns=True, border=QUIET_ZONE, omitsize=True, light="#fff", nl=False)
    return Markup(out.getvalue().decode("utf-8"))  # noqa: S704 - made by the library from modules, not from text


def _state(credential: Credential, revoked: Mapping[UUID, Authority]) -> str:
    if credential.id in revoked:
        return AUTHORITY_REVOKED
    return "waiting" if credential.state is CredentialState.PLANNED else credential.state.value


def _credential(credential: Credential, revoked: Mapping[UUID, Authority]) -> CredentialView:
    serial_number, state = credential.serial_number or "", _state(credential, revoked)
    return CredentialView(credential.purpose, state, serial_number, credential.not_after)
