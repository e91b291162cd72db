# SPDX-License-Identifier: Apache-2.0
"""One tree of errors by meaning. They know no protocol; each face translates them by a table of its own.

EtymonError
├── Malformed           what was sent cannot be read
│   ├── DecodeError     bytes that are not what their type promises (raised by codecs only)
│   └── TooLarge        more than the stated limit
├── NotAuthenticated    nobody has been shown to be there
├── NotPermitted        somebody is there, and may not
├── NotFound            no such thing, or not for this caller
├── Conflict            it exists in a state that does not allow this
│   └── Expired         it was allowed, and its time is over
├── Throttled           too many tries; `retry_after_seconds` says when
└── Unavailable         something this depends on does not answer; unknown means no
"""

from collections.abc import Mapping
from typing import ClassVar


class EtymonError(Exception):
    """What went wrong, as a stable code, a sentence that says what to do next, and facts for the log."""

    default_code: ClassVar[str] = "error"

    def __init__(self, code: str | None = None, detail: str = "", **facts: str | int | bool | None) -> None:
        """`code` is stable snake_case; `detail` is safe to show; `facts` hold nothing secret or personal.

        Whoever has put it in the audit trail, or decided not to, sets `is_noted`, so that nobody after them does.
        """
        self.code: str = code or self.default_code
        self.detail: str = detail
        self.facts: Mapping[str, str | int | bool | None] = facts
        self.is_noted = False
        super().__init__(f"{self.code}: {detail}" if detail else self.code)


class Malformed(EtymonError):
    """What was sent cannot be read."""

    default_code = "malformed"


class DecodeError(Malformed):
    """Bytes are not what their type promises."""

    default_code = "not_decodable"


class TooLarge(Malformed):
    """More was sent than the stated limit."""

    default_code = "too_large"


class NotAuthenticated(EtymonError):
    """Nobody has been shown to be there."""

    default_code = "not_authenticated"


class NotPermitted(EtymonError):
    """Somebody is there, and may not do this."""

    default_code = "not_permitted"


class NotFound(EtymonError):
    """There is no such thing, or not for this caller."""

    default_code = "not_found"


class Conflict(EtymonError):
    """It exists, in a state that does not allow this."""

    default_code = "conflict"


class Expired(Conflict):
    """It was allowed, and its time is over."""

    default_code = "expired"


class Throttled(EtymonError):
    """Too many tries."""

    default_code = "too_many_tries"

    def __init__(
        self,
        code: str | None = None,
        detail: str = "",
        *,
        retry_after_seconds: int = 60,
        **facts: str | int | bool | None,
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(code, detail, **facts)


class Unavailable(EtymonError):
    """Something this depends on does not answer; unknown means no."""

    default_code = "unavailable"
