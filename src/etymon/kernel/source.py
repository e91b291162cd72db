# SPDX-License-Identifier: Apache-2.0
"""Where what is being done came from: the address of whoever's request is being served, or the site itself.

The one thing a use case is not handed as an argument: it belongs to every act of a request alike, and nothing is
decided by it. A thread that a request starts or hands work to does not have it, unless it is given it by `coming_from`;
work that a thread pool does within the request (Starlette's, by copies of the context) does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

SITE_ITSELF: Final = ""
"""The source of what no request asked for: workers, duties, commands at the machine."""

_current: ContextVar[str] = ContextVar("etymon.source", default=SITE_ITSELF)


def current() -> str:
    """Return the source of what is being done here and now."""
    return _current.get()


@contextmanager
def coming_from(address: str) -> Iterator[None]:
    """Have what is done in the block come from `address`."""
    before = _current.set(address)
    try:
        yield
    finally:
        _current.reset(before)
