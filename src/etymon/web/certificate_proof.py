# SPDX-License-Identifier: Apache-2.0
"""The hand-off between a service's site and the certauth listener (docs/protocols/certificate-proof.md).

The mechanism is shared; the judge and the table are the service's own. `P` is what the service keeps of a
certificate that its judge accepted.
"""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_id, random_token
from etymon.kernel.errors import EtymonError, Expired, NotAuthenticated, NotFound, NotPermitted
from etymon.kernel.secret import DigestKey, Secret
from etymon.web import csrf
from etymon.web.exchange import Request, endpoint
from etymon.web.pages import Pages
from etymon.web.problem import status_of
from etymon.web.rate_limits import MemoryCounters, RateLimit, household

REQUEST_LIFETIME: Final = timedelta(minutes=5)
REQUEST_KEPT: Final = timedelta(minutes=10)
"""How long after its end a request that led to nothing is still known as one that was late."""

CODE_LIFETIME: Final = timedelta(seconds=60)
BEGUN: Final = "1000 per 10 minutes"
"""Proofs that one address begins, at each process: an organisation may sign in from behind one address."""

SECRET_BITS: Final = 128
LONGEST_SECRET: Final = 64

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """A browser is being asked for a certificate. `continue_at` and `back_at` are paths on the site."""

    id: UUID
    purpose: str
    cookie_digest: bytes = field(repr=False)
    continue_at: str
    back_at: str
    form_targets: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Redeemed(Generic[P]):
    """What was asked, and what was proved for it."""

    request: ProofRequest
    proof: P


class ProofStore(Protocol[P]):
    """Keeps proof requests; a service makes one for each transaction. Moves: asked → proved → redeemed."""

    def add(self, request: ProofRequest) -> None:
        """Keep a request that is asked."""
        ...

    def find(self, request_id: UUID) -> ProofRequest | None:
        """Return a request that is not redeemed yet, late or not."""
        ...

    def accept(self, request_id: UUID, *, code_digest: bytes, code_expires_at: datetime, proof: P) -> bool:
        """Move asked or proved → proved with this code and proof, in one guarded UPDATE; False when redeemed."""
        ...

    def redeem(self, code_digest: bytes, cookie_digest: bytes, now: datetime) -> Redeemed[P] | None:
        """Move proved → redeemed in one guarded UPDATE where code and cookie fit and `now` is before the code's end."""
        ...


OpenStore = Callable[[], AbstractContextManager[ProofStore[P]]]
"""Opens a transaction, one that reads or one that writes, and gives the store in it."""

Judge = Callable[[bytes, str, str], P]
"""Judges the DER certificate of a TLS peer for a purpose, shown from an address: returns what was proved or raises an
EtymonError."""


@dataclass(frozen=True, slots=True)
class CertificateProof:
    """The hand-off of one service. URLs are origins without a path."""

    service: str
    site_url: str
    certauth_url: str
    digest_key: DigestKey
    clock: Clock
    entropy: Entropy
    _begun: RateLimit = field(init=False, repr=False)

    def __post_init__(self) -> None:
        counters = MemoryCounters(self.clock)
        object.__setattr__(self, "_begun", RateLimit(f"{self.service}-proofs", BEGUN, counters, self.clock))

    @property
    def cookie_name(self) -> str:
        """The name of the cookie that ties a proof to the browser that asked for it."""
        return f"__Host-etymon-{self.service}-proof"

    @property
    def return_path(self) -> str:
        """Where certauth sends the code."""
        return f"/{self.service}/certauth/return"

    def begin(
        self,
        store: ProofStore[P],
        asking: Request,
        *,
        purpose: str,
        continue_at: str,
        back_at: str,
        form_targets: tuple[str, ...] = (),
    ) -> Response:
        """Return the answer that sends the browser to certauth.

        After the proof the browser goes on to `continue_at`; refusals lead back to `back_at`. `form_targets` are the
        origins besides the site that `continue_at` redirects to. Raises Throttled: anybody may begin, and what begins
        is kept until a while after its end.
        """
        self._begun.count(household(asking.client_address))
        cookie = Secret(random_token(self.entropy, bits=SECRET_BITS))
        request = ProofRequest(
            random_id(self.entropy),
            purpose,
            self._digest("cookie", cookie),
            continue_at,
            back_at,
            form_targets,
            self.clock.now() + REQUEST_LIFETIME,
        )
        store.add(request)
        target = f"{self.certauth_url}/{self.service}/certauth?{urlencode({'request': str(request.id)})}"
        response = RedirectResponse(target, 303, {"Cache-Control": "no-store"})
        response.set_cookie(
            self.cookie_name,
            cookie.reveal(),
            max_age=int(REQUEST_LIFETIME.total_seconds()),
            path="/",
            secure=True,
            httponly=True,
            samesite="lax",
        )
        return response

    def redeem(self, store: ProofStore[P], request: Request) -> Redeemed[P]:
        """Return what was proved, once; the caller then ends the cookie. Raises NotPermitted `proof_not_valid`."""
        csrf.require_origin(request, self.certauth_url, self.site_url)
        code = request.form().get("code", "")
        cookie = request.cookies.get(self.cookie_name, "")
        redeemed = None
        if code and cookie and len(code) <= LONGEST_SECRET and len(cookie) <= LONGEST_SECRET:
            redeemed = store.redeem(
                self._digest("code", Secret(code)), self._digest("cookie", Secret(cookie)), self.clock.now()
            )
        if redeemed is None:
            raise NotPermitted(
                "proof_not_valid",
                "This proof was used already, is more than a minute old, or belongs to another browser. Start again.",
            )
        return redeemed

    def forget(self, response: Response) -> Response:
        """End the cookie; its proof is used."""
        response.delete_cookie(self.cookie_name, path="/", secure=True, httponly=True, samesite="lax")
        return response

    def certauth_routes(
        self,
        reading: OpenStore[P],
        writing: OpenStore[P],
        judge: Judge[P],
        pages: Pages,
        *,
        proxies: Collection[str] = (),
    ) -> list[BaseRoute]:
        """Return the routes of the certauth listener: one page, which sets no cookie and reads none.

        Only a certificate that was judged good is written down. The listener closes each connection after its answer:
        a kept one would outlive the card.
        """

        def prove(request: Request) -> Response:
            back_at = "/"
            try:
                with reading() as store:
                    asked = self._find(store, request.query.get("request", ""))
                back_at = asked.back_at
                if self.clock.now() >= asked.expires_at:
                    raise Expired("proof_request_expired", "This took longer than five minutes. Start again.")
                if request.peer is None:
                    raise NotAuthenticated(
                        "no_certificate",
                        "The browser showed no certificate of a card or credential that is accepted here.",
                    )
                # may ask for revocation status: no transaction is open
                proof = judge(request.peer.der, asked.purpose, request.client_address)
                code = Secret(random_token(self.entropy, bits=SECRET_BITS))
                with writing() as store:
                    taken = store.accept(
                        asked.id,
                        code_digest=self._digest("code", code),
                        code_expires_at=self.clock.now() + CODE_LIFETIME,
                        proof=proof,
                    )
                if not taken:
                    raise _unknown()
            except EtymonError as error:
                return self._refused(pages, error, back_at)
            return pages.page(
                "proof_accepted.html",
                request=request,
                headers=TELL_ORIGIN,
                form_targets=(self.site_url, *asked.form_targets),
                return_url=self.site_url + self.return_path,
                proof_code=code.reveal(),
            )

        return [
            endpoint(
                f"/{self.service}/certauth",
                prove,
                methods=["GET"],
                errors=_CertauthErrors(self, pages),
                proxies=proxies,
            ),
            *pages.static_routes(),
        ]

    def _find(self, store: ProofStore[P], text: str) -> ProofRequest:
        try:
            found = store.find(UUID(text))
        except ValueError:
            found = None
        if found is None:
            raise _unknown()
        return found

    def _refused(self, pages: Pages, error: EtymonError, back_at: str) -> Response:
        return pages.page(
            "proof_refused.html",
            status=status_of(error),
            code=error.code,
            detail=error.detail,
            back_url=self.site_url + back_at,
        )

    def _digest(self, what: str, value: Secret[str]) -> bytes:
        return self.digest_key.digest(f"{self.service}.proof.{what}", value)


TELL_ORIGIN: Final[dict[str, str]] = {"Referrer-Policy": "strict-origin"}
"""The form goes to another origin of the same site; any stricter policy would have it say "Origin: null"."""


@dataclass(frozen=True, slots=True)
class _CertauthErrors:
    proof: CertificateProof
    pages: Pages

    def expected(self, error: EtymonError) -> Response:
        return self.pages.page(
            "proof_refused.html",
            status=status_of(error),
            code=error.code,
            detail=error.detail,
            back_url=self.proof.site_url,
        )

    def unexpected(self, reference: str) -> Response:
        return self.pages.page(
            "error.html",
            status=500,
            code="internal",
            detail="",
            reference=reference,
            home=self.proof.site_url,
        )


def _unknown() -> NotFound:
    return NotFound("proof_request_unknown", "This request is not known, or was used already. Start again.")
