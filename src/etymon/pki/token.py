# SPDX-License-Identifier: Apache-2.0
"""A PKCS#11 token that keeps keys: logged in to once, used by several threads, found again after it was lost.

A PIN that was refused is never sent again: tokens lock after a few wrong ones (SP 800-63B-4 §3.2.2). That is remembered
beyond the process, which a service manager starts again and again.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import pkcs11
from pkcs11 import Attribute, PKCS11Error, TokenFlag
from pkcs11.types import Session
from pkcs11.types import Token as FoundToken

from etymon.kernel.errors import EtymonError, Unavailable
from etymon.kernel.secret import DigestKey, Secret
from etymon.pki import cryptoki
from etymon.pki.cryptoki import TokenChoice
from etymon.pki.token_workers import Workers

T = TypeVar("T")

LIMIT_SECONDS: Final = 10.0
"""How long somebody waits for one signature; a network HSM that takes longer is out of order."""
LOOK_LIMIT_SECONDS: Final = 2.0
"""How long somebody waits who only wants to know whether the token is there."""
GENERATION_LIMIT_SECONDS: Final = 300.0
"""How long a key may take to be made: RSA-4096 in a small token takes minutes."""

_NOTHING: Final = {Attribute.LABEL: "etymon looks whether the token answers"}
"""What no object is called: it is looked for in the token, and whatever else is there matters not."""

REFUSED: Final = (
    pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked, pkcs11.PinExpired,
    pkcs11.UserPinNotInitialized,
)  # fmt: skip


@dataclass
class OpenSession:
    """A session of one thread, and the keys it has found, by CKA_ID; `login` counts how often somebody logged in."""

    session: Session | None = None
    login: int = 0
    found: dict[bytes, pkcs11.Key] = field(default_factory=dict)

    @property
    def open(self) -> Session:
        """The session, in a call of `Token.use`."""
        if self.session is None:
            message = "only Token.use hands sessions out"
            raise RuntimeError(message)
        return self.session


class RefusedPIN:
    """What is remembered of a refused PIN, in a file: a keyed digest of token and PIN, to know that one again."""

    def __init__(self, file: Path, key: DigestKey) -> None:
        self.file, self._key = file, key

    def is_(self, token: str, pin: Secret[str]) -> bool:
        """Whether this token refused this PIN."""
        try:
            return self.file.read_text("ascii") == self._digest(token, pin)
        except OSError:
            return False

    def remember(self, token: str, pin: Secret[str]) -> None:
        """Remember that the token refused the PIN."""
        self.file.write_text(self._digest(token, pin), "ascii")

    def forget(self) -> None:
        """Forget, for a PIN was accepted."""
        self.file.unlink(missing_ok=True)

    def _digest(self, token: str, pin: Secret[str]) -> str:
        return self._key.digest("token.refused_pin", f"{token}\0{pin.reveal()}").hex()


class Token:
    """One token of one module. Nothing is opened before the first use.

    Whoever makes a key holds `making`: tokens let two keys have one name.
    """

    def __init__(
        self,
        module: Path,
        choice: TokenChoice,
        pin: Callable[[], Secret[str]],
        refused: RefusedPIN,
        *,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._module = module
        self.choice = choice
        self.making = threading.Lock()
        self._pin = pin
        self._refused = refused
        self._limit_seconds = limit_seconds
        self._refusal: EtymonError | None = None
        self._begin()

    def use(self, act: Callable[[OpenSession], T], *, limit_seconds: float | None = None) -> T:
        """Return what `act` returns, given an open session with the user logged in.

        When it fails, as where the token or the session was lost, `act` is called once more with another session: it
        must be safe to repeat. Raises `Unavailable`: `token_not_present`, `token_silent`, `token_pin_refused`,
        `token_failed` …
        """
        if os.getpid() != self._process:  # threads and sessions are those of the process that forked
            cryptoki.initialize(os.path.realpath(self._module))
            self._begin()
        limit = self._limit_seconds if limit_seconds is None else limit_seconds
        return self._workers.do(lambda state: self._on_worker(state, act), limit_seconds=limit)

    def require_reachable(self) -> None:
        """Ask the token something at once; `Unavailable`, as `use` raises it, where it does not answer soon."""
        limit = min(LOOK_LIMIT_SECONDS, self._limit_seconds)
        self.use(lambda opened: list(opened.open.get_objects(_NOTHING)), limit_seconds=limit)

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._login: Session | None = None
        self._logins = 0
        self._workers = Workers(OpenSession)

    def _on_worker(self, state: OpenSession, act: Callable[[OpenSession], T]) -> T:
        try:
            return self._once(state, act)
        except PKCS11Error:
            self._close(state)  # what the new session says is told
        try:
            return self._once(state, act)
        except pkcs11.NoSuchKey as exc:
            self._close(state)
            raise Unavailable(
                "token_key_missing", f"The key is not in the token {self.choice}. Is it the one?"
            ) from exc
        except PKCS11Error as exc:
            self._close(state)
            raise Unavailable(
                "token_failed", f"The token {self.choice} answers with an error: {type(exc).__name__}. See to it."
            ) from exc

    def _once(self, state: OpenSession, act: Callable[[OpenSession], T]) -> T:
        if state.session is not None and not cryptoki.is_logged_in(self._module, state.session):
            self._close(state)  # logged out, private keys cannot be seen
        if state.session is None:
            self._open(state)
        return act(state)

    def _open(self, state: OpenSession) -> None:
        """Give the worker a new session. Whoever comes first after a loss logs in; the login counts for all of them."""
        with self._lock:
            token = self.choice.find(cryptoki.library(self._module))
            if state.login == self._logins:
                self._log_in(token)
            state.login = self._logins
        state.session = token.open(rw=True)

    def _log_in(self, token: FoundToken) -> None:
        if self._refusal is not None:
            raise self._refusal
        pin, name = self._pin(), token.serial.decode("ascii", "replace")
        if self._refused.is_(name, pin):
            raise Unavailable(
                "token_pin_refused",
                f"The token {self.choice} refused this PIN before, and is not asked again: it would lock. Correct the "
                f"PIN file; if the PIN is right by now, remove {self._refused.file}.",
            )
        if token.flags & (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY):
            raise Unavailable(
                "token_pin_locked",
                f"The PIN of the token {self.choice} is locked, or has one try left. Log in to it with its own tools.",
            )
        if self._login is not None:
            _let_go(self._login)
            self._login = None
        try:
            self._login = token.open(rw=True, user_pin=pin.reveal())
        except pkcs11.UserAlreadyLoggedIn:
            pass  # another part of this process did; logins are the process's, not the session's
        except REFUSED as exc:
            self._refused.remember(name, pin)
            self._refusal = Unavailable(
                "token_pin_refused",
                f"The token {self.choice} refuses the PIN. It is not tried again: correct the PIN file and start anew.",
            )
            raise self._refusal from exc
        else:
            self._refused.forget()
        self._logins += 1

    @staticmethod
    def _close(state: OpenSession) -> None:
        if state.session is not None:
            _let_go(state.session)
        state.session = None
        state.found.clear()


def _let_go(session: Session) -> None:
    try:
        session.close()
    except PKCS11Error:
        return  # it is gone already
