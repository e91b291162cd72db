# SPDX-License-Identifier: Apache-2.0
"""Browser sessions: a random value in a `__Host-` cookie, its keyed digest in the service's own table.

A browser that nobody has signed in at has the cookie too, and no row: the cookie is what anti-forgery tokens and
counts of wrong codes hang on. Signing in always makes a new value, so that nobody can plant one beforehand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from starlette.responses import Response

from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy, random_id, random_token
from etymon.kernel.secret import DigestKey, Secret
from etymon.web.exchange import Request

SESSION_BITS: Final = 256
"""SP 800-63B §7.1 asks for 64 at least."""

TOUCH_AFTER: Final = timedelta(minutes=1)
"""A session in use is written down at most this often."""

LONGEST_COOKIE: Final = 64


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody is signed in at a browser. `facts` say how; their names are the service's own."""

    id: UUID
    person: UUID
    started_at: datetime
    seen_at: datetime
    ends_at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Visit:
    """One browser, by its cookie. `session` is None where nobody is signed in."""

    cookie: Secret[str]
    is_new: bool
    session: Session | None


class SessionStore(Protocol):
    """Keeps sessions by the digest of their cookie; a service makes one for each transaction."""

    def add(self, digest: bytes, session: Session) -> None:
        """Keep a session that begins."""
        ...

    def find(self, digest: bytes) -> Session | None:
        """Return the session of this digest, whether over or not."""
        ...

    def touch(self, digest: bytes, seen_at: datetime) -> None:
        """Remember that the session was used."""
        ...

    def remove(self, digest: bytes) -> None:
        """Forget the session; nothing happens when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one service; `idle` and `absolute` end them (SP 800-63B §4.2.3: after 30 min, 12 h at most)."""

    service: str
    digest_key: DigestKey
    clock: Clock
    entropy: Entropy
    idle: timedelta = timedelta(minutes=15)
    absolute: timedelta = timedelta(hours=8)

    @property
    def cookie_name(self) -> str:
        """The cookie's name; `__Host-` keeps other hosts and plain HTTP from setting it (RFC 6265bis §4.1.3.2)."""
        return f"__Host-etymon-{self.service}"

    def visit(self, store: SessionStore, request: Request) -> Visit:
        """Return who is at the browser; changes nothing. A session that is over counts as none."""
        value = request.cookies.get(self.cookie_name, "")
        if not value or len(value) > LONGEST_COOKIE:
            return Visit(Secret(random_token(self.entropy, bits=SESSION_BITS)), is_new=True, session=None)
        cookie = Secret(value)
        session = store.find(self._digest(cookie))
        now = self.clock.now()
        if session is not None and (now >= session.ends_at or now >= session.seen_at + self.idle):
            session = None
        return Visit(cookie, is_new=False, session=session)

    def is_noted_again(self, visit: Visit) -> bool:
        """Say whether it was long ago that the session of a visit was last written down as in use."""
        return visit.session is not None and self.clock.now() >= visit.session.seen_at + TOUCH_AFTER

    def note(self, store: SessionStore, visit: Visit) -> None:
        """Write a session down as in use now, where that was long ago."""
        if self.is_noted_again(visit):
            store.touch(self._digest(visit.cookie), self.clock.now())

    def sign_in(self, store: SessionStore, visit: Visit, *, person: UUID, facts: Mapping[str, str]) -> Visit:
        """Return a new visit with a session of `person`; what the browser had before is over."""
        store.remove(self._digest(visit.cookie))
        now = self.clock.now()
        cookie = Secret(random_token(self.entropy, bits=SESSION_BITS))
        session = Session(random_id(self.entropy), person, now, now, now + self.absolute, dict(facts))
        store.add(self._digest(cookie), session)
        return Visit(cookie, is_new=True, session=session)

    def sign_out(self, store: SessionStore, visit: Visit) -> Visit:
        """Return a new visit of nobody; the session is over."""
        store.remove(self._digest(visit.cookie))
        return Visit(Secret(random_token(self.entropy, bits=SESSION_BITS)), is_new=True, session=None)

    def remember(self, response: Response, visit: Visit) -> Response:
        """Set the cookie where the browser does not have it yet; it ends with the browser at the latest."""
        if visit.is_new:
            response.set_cookie(
                self.cookie_name, visit.cookie.reveal(), path="/", secure=True, httponly=True, samesite="lax"
            )
        return response

    def csrf_token(self, visit: Visit) -> str:
        """Return the anti-forgery token of this browser; nobody can compute it from the cookie without our key."""
        return self.digest_key.digest(f"{self.service}.csrf", visit.cookie).hex()

    def browser(self, visit: Visit) -> str:
        """Return a name for this browser under which tries are counted."""
        return self.digest_key.digest(f"{self.service}.browser", visit.cookie).hex()[:32]

    def _digest(self, cookie: Secret[str]) -> bytes:
        return self.digest_key.digest(f"{self.service}.session", cookie)
