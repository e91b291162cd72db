# SPDX-License-Identifier: Apache-2.0
"""The cardholder's pages that recover own encryption keys: the list, a password shown once, the file under it."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute

from etymon.escrow.errors import key_unknown
from etymon.escrow.recovery_model import RecoveredKey
from etymon.issuer import card_authentication, self_recovery
from etymon.issuer.http import doors
from etymon.issuer.http.self_service import HOME, KEYS, SelfService, see_other
from etymon.issuer.model import PROOF_LIFETIME, CredentialState
from etymon.issuer.self_recovery import Offer, OwnKey
from etymon.kernel.secret import Secret
from etymon.web import csrf
from etymon.web.exchange import Handler, Request, endpoint
from etymon.web.pages import SECURITY_HEADERS, PageErrors

ALL: Final = "all"
FILE_HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", **SECURITY_HEADERS}


@dataclass(frozen=True, slots=True)
class KeyView:
    """One key on the page; `standing` is `valid`, `over`, `ended` or `held`."""

    id: UUID
    serial_number: str
    not_before: datetime
    not_after: datetime
    standing: str
    is_held_by_officer: bool


def site_routes(service: SelfService) -> list[BaseRoute]:
    """Return the routes of the site listener, beside those of the other self-service pages."""
    deps = service.deps

    def keys(request: Request) -> Response:
        visit = service.visit(request)
        if visit.session is None:
            return see_other(HOME)
        session, now = card_authentication.card_session(visit.session), deps.clock.now()
        views = [view for own in self_recovery.listed(deps, session) if (view := _view(own, now))]
        return service.pages.page(
            "keys.html",
            visit=visit,
            request=request,
            keys=views,
            card_again=not session.for_keys or now >= session.proved_at + PROOF_LIFETIME,
        )

    def password(request: Request) -> Response:
        visit = service.visit(request)
        form = csrf.require_own_form(request, service.sessions, visit, deps.site_url)
        session = card_authentication.card_session(visit.session)
        with service.noted(self_recovery.REFUSAL, request, session, subject=f"card_proof:{session.proof}"):
            offer = self_recovery.offer(deps, session, _key(form))
        left = session.proved_at + PROOF_LIFETIME - deps.clock.now()
        return service.pages.page(
            "key_password.html",
            visit=visit,
            request=request,
            key=offer.key or ALL,
            password=offer.password.reveal(),
            seal=offer.seal,
            minutes=int(left.total_seconds() // 60) or 1,
        )

    def file(request: Request) -> Response:
        visit = service.visit(request)
        form = csrf.require_own_form(request, service.sessions, visit, deps.site_url)
        session = card_authentication.card_session(visit.session)
        with service.noted(self_recovery.REFUSAL, request, session, subject=f"card_proof:{session.proof}"):
            key = _key(form)
        offered = Offer(key, Secret(form.get("password", "")), form.get("seal", ""))
        return _download(self_recovery.recover(deps, session, offered, source=request.client_address), deps.clock.now())

    handlers: list[tuple[str, Handler, str]] = [
        (KEYS, keys, "GET"),
        (f"{KEYS}/password", password, "POST"),
        (f"{KEYS}/file", file, "POST"),
    ]
    errors, refused = PageErrors(service.pages, KEYS), doors.recorder(deps, self_recovery.REFUSAL)
    return [
        endpoint(path, handler, methods=[method], errors=errors, proxies=deps.proxies, refused=refused)
        for path, handler, method in handlers
    ]


def _key(form: Mapping[str, str]) -> UUID | None:
    """Return which key a form names, None for all."""
    named = form.get("key", "")
    try:
        return None if named == ALL else UUID(named)
    except ValueError as exc:
        raise key_unknown() from exc


def _view(own: OwnKey, now: datetime) -> KeyView | None:
    certificate, held = own.key.certificate, own.credential
    if certificate is None:
        return None
    ends = certificate.not_valid_after_utc
    standing = "over" if ends <= now else "valid"
    if held is not None and held.state in {CredentialState.HELD, CredentialState.ENDED}:
        standing = held.state.value
    serial = f"{certificate.serial_number:x}"
    return KeyView(own.key.id, serial, certificate.not_valid_before_utc, ends, standing, own.is_held_by_officer)


def _download(recovered: Sequence[RecoveredKey], now: datetime) -> Response:
    """Return one key as PKCS #12, several as a ZIP archive of such files."""
    files = {f"{_serial(each)}.p12": each.package for each in recovered}
    if len(files) == 1:
        ((name, content),) = files.items()
        return _attachment(f"encryption-key-{name}", "application/x-pkcs12", content)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in files.items():
            opened.writestr(zipfile.ZipInfo(name, now.timetuple()[:6]), content)
    return _attachment("encryption-keys.zip", "application/zip", archive.getvalue())


def _serial(recovered: RecoveredKey) -> str:
    certificate = recovered.key.certificate
    return f"{certificate.serial_number:x}" if certificate is not None else str(recovered.key.id)


def _attachment(name: str, media_type: str, content: bytes) -> Response:
    headers = {**FILE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
