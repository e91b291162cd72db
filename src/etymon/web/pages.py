# SPDX-License-Identifier: Apache-2.0
"""Pages for people: one template environment, one design system, and headers that leave a page little to lose.

Each service has its own `templates`, searched before the ones here. Every text goes through gettext. No page carries
script or style of its own; files come from addresses that change with their content.
"""

import gettext
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import PurePosixPath
from typing import Final

import jinja2
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from etymon.kernel.errors import EtymonError, NotFound, Throttled
from etymon.web.branding import Branding
from etymon.web.exchange import Request, endpoint
from etymon.web.problem import status_of
from etymon.web.sessions import Sessions, Visit

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".ico": "image/vnd.microsoft.icon",
}

YEAR_SECONDS: Final = 31_536_000

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Strict-Transport-Security": f"max-age={YEAR_SECONDS}",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file."""

    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one service. `package` is where its `templates` (and `static`) directories are."""

    package: str
    branding: Branding
    sessions: Sessions | None = None
    translations: Mapping[str, gettext.NullTranslations] = field(default_factory=dict)
    form_targets: Sequence[str] = ()
    """Origins, besides this one, that forms lead to: a redirect after a form counts (CSP 3, `form-action`)."""
    _environment: jinja2.Environment = field(init=False, repr=False)
    _assets: Mapping[str, Asset] = field(init=False, repr=False)
    _digest: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        assets = _collect(self.package, self.branding)
        digest = hashlib.sha256()
        for name in sorted(assets):
            digest.update(name.encode() + b"\x00" + hashlib.sha256(assets[name].content).digest())
        object.__setattr__(self, "_assets", assets)
        object.__setattr__(self, "_digest", digest.hexdigest()[:16])
        object.__setattr__(self, "_environment", self._make_environment())

    def page(
        self,
        template: str,
        values: Mapping[str, object] | None = None,
        /,
        *,
        status: int = 200,
        visit: Visit | None = None,
        request: Request | None = None,
        headers: Mapping[str, str] | None = None,
        form_targets: Sequence[str] = (),
        **further_values: object,
    ) -> Response:
        """Return a page. With a `visit`, forms get its anti-forgery token and a new browser its cookie."""
        language, translations = self._language(request)
        token = self.sessions.csrf_token(visit) if self.sessions is not None and visit is not None else ""
        text = self._environment.get_template(template)
        body = text.render(
            dict(values or {}) | further_values,
            branding=self.branding,
            csrf_token=token,
            language=language,
            _=translations.gettext,
            gettext=translations.gettext,
            ngettext=translations.ngettext,
        )
        response = HTMLResponse(body, status, self._headers(form_targets) | dict(headers or {}))
        if self.sessions is not None and visit is not None:
            self.sessions.remember(response, visit)
        return response

    def asset_url(self, name: str) -> str:
        """Return the address of a static file; raises KeyError for a file that is not there."""
        if name not in self._assets:
            raise KeyError(name)
        return f"/assets/{self._digest}/{name}"

    def static_routes(self) -> list[BaseRoute]:
        """Return the routes of the static files; every listener that shows these pages has them.

        The address carries a digest of all files, so that services of one site can share the path.
        """
        return [endpoint(f"/assets/{self._digest}/{{name:path}}", self._serve, methods=["GET"])]

    def _serve(self, request: Request) -> Response:
        asset = self._assets.get(request.path_parameters["name"])
        if asset is None:
            raise NotFound("no_such_file", "There is no such file.")
        headers = {"Cache-Control": f"public, max-age={YEAR_SECONDS}, immutable", **SECURITY_HEADERS}
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    def _headers(self, form_targets: Sequence[str]) -> dict[str, str]:
        targets = " ".join(("'self'", *self.form_targets, *form_targets))
        policy = (
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; "
            f"connect-src 'self'; form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
        )
        return {
            "Content-Security-Policy": policy,
            "Referrer-Policy": "same-origin",  # with no-referrer, forms would say "Origin: null"
            "Cache-Control": "no-store",
            **SECURITY_HEADERS,
        }

    def _language(self, request: Request | None) -> tuple[str, gettext.NullTranslations]:
        wanted = request.headers.get("accept-language", "") if request else ""
        for part in wanted.split(",")[:10]:
            tag = part.partition(";")[0].strip().lower()
            for name in (tag, tag.partition("-")[0]):
                if name in self.translations:
                    return name, self.translations[name]
        return "en", gettext.NullTranslations()

    def _make_environment(self) -> jinja2.Environment:
        loaders = [jinja2.PackageLoader("etymon.web")]
        if self.package != "etymon.web":
            loaders.insert(0, jinja2.PackageLoader(self.package))
        environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader(loaders),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals["asset"] = self.asset_url
        return environment


@dataclass(frozen=True, slots=True)
class PageErrors:
    """Errors as pages; the code stands in `data-code` of `<main>`."""

    pages: Pages
    home: str = "/"

    def expected(self, error: EtymonError) -> Response:
        """Answer with the sentence that says what to do next."""
        headers = {"Retry-After": str(error.retry_after_seconds)} if isinstance(error, Throttled) else {}
        return self.pages.page(
            "error.html",
            status=status_of(error),
            headers=headers,
            code=error.code,
            detail=error.detail,
            reference="",
            home=self.home,
        )

    def unexpected(self, reference: str) -> Response:
        """Answer with a reference number."""
        return self.pages.page(
            "error.html", status=500, code="internal", detail="", reference=reference, home=self.home
        )


def _collect(package: str, branding: Branding) -> dict[str, Asset]:
    assets: dict[str, Asset] = {}
    for source in dict.fromkeys(("etymon.web", package)):
        directory = resources.files(source) / "static"
        if directory.is_dir():
            _walk(directory, PurePosixPath(), assets)
    assets["brand.css"] = Asset(MEDIA_TYPES[".css"], branding.style_sheet().encode())
    if branding.logo is not None:
        assets[branding.logo.file_name] = Asset(branding.logo.media_type, branding.logo.content)
    return assets


def _walk(directory: resources.abc.Traversable, path: PurePosixPath, assets: dict[str, Asset]) -> None:
    for entry in directory.iterdir():
        name = path / entry.name
        if entry.is_dir():
            _walk(entry, name, assets)
        elif name.suffix in MEDIA_TYPES:
            assets[str(name)] = Asset(MEDIA_TYPES[name.suffix], entry.read_bytes())
