# SPDX-License-Identifier: Apache-2.0
"""Limits on tries: so many in a time, counted where everybody who must agree can see the count.

The library `limits` decides; the counters are a seam, so that time stays an argument and two processes can share a
table. A window begins with its first try.
"""

import ipaddress
import threading
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from limits import RateLimitItem, parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from etymon.kernel.clock import Clock
from etymon.kernel.errors import Throttled

MOST_COUNTERS_IN_MEMORY: Final = 100_000


class Count(NamedTuple):
    """How often in the window that ends at `ends_at`."""

    number: int
    ends_at: datetime


class Counters(Protocol):
    """Counts by key; a count that is over reads as none."""

    def increase(self, key: str, window: timedelta, by: int) -> Count:
        """Add to the count, atomically; the first addition opens the window."""
        ...

    def read(self, key: str) -> Count | None:
        """Return the count, or None when there is none or its window is over."""
        ...

    def clear(self, key: str) -> None:
        """Forget the count."""
        ...


class MemoryCounters:
    """Counters of one process: enough against floods, not where two processes must agree."""

    def __init__(self, clock: Clock, *, most: int = MOST_COUNTERS_IN_MEMORY) -> None:
        self._clock = clock
        self._most = most
        self._counts: dict[str, Count] = {}
        self._lock = threading.Lock()

    def increase(self, key: str, window: timedelta, by: int) -> Count:
        """Add to the count."""
        now = self._clock.now()
        with self._lock:
            found = self._counts.get(key)
            if found is None or found.ends_at <= now:
                self._make_room(now)
                found = Count(0, now + window)
            found = Count(found.number + by, found.ends_at)
            self._counts[key] = found
            return found

    def read(self, key: str) -> Count | None:
        """Return the count."""
        found = self._counts.get(key)
        return found if found is not None and found.ends_at > self._clock.now() else None

    def clear(self, key: str) -> None:
        """Forget the count."""
        with self._lock:
            self._counts.pop(key, None)

    def _make_room(self, now: datetime) -> None:
        if len(self._counts) < self._most:
            return
        self._counts = {key: count for key, count in self._counts.items() if count.ends_at > now}
        while len(self._counts) >= self._most:
            self._counts.pop(next(iter(self._counts)))


def household(address: str) -> str:
    """Return under which name an address is counted: itself, of IPv6 its /64, which is what one household has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if mapped is None else str(mapped)


class RateLimit:
    """One limit, such as `5 per 10 minutes`, applied to each combination of identifiers of its own."""

    def __init__(self, name: str, rule: str, counters: Counters, clock: Clock) -> None:
        """`rule` in the notation of `limits` (`parse`)."""
        self._name = name
        self._item: RateLimitItem = parse(rule)
        self._clock = clock
        self._counters = counters
        self._limiter = FixedWindowRateLimiter(_Storage(counters, clock))

    def require(self, *identifiers: str) -> None:
        """Refuse when no try is left; a try is not counted by this. Raises Throttled."""
        if not self._limiter.test(self._item, self._name, *identifiers):
            raise self._refusal(identifiers)

    def count(self, *identifiers: str) -> None:
        """Count a try. Raises Throttled when it is one too many."""
        if not self._limiter.hit(self._item, self._name, *identifiers):
            raise self._refusal(identifiers)

    def give_back(self, *identifiers: str) -> None:
        """Take back a counted try that was none: count before a secret is compared, give back when it was right."""
        window = timedelta(seconds=self._item.get_expiry())
        self._counters.increase(self._item.key_for(self._name, *identifiers), window, -1)

    def forget(self, *identifiers: str) -> None:
        """Let all tries be as if they had not been."""
        self._limiter.clear(self._item, self._name, *identifiers)

    def _refusal(self, identifiers: tuple[str, ...]) -> Throttled:
        found = self._counters.read(self._item.key_for(self._name, *identifiers))
        wait = found.ends_at - self._clock.now() if found else timedelta(seconds=self._item.get_expiry())
        seconds = max(1, int(wait.total_seconds()) + 1)
        minutes = -(-seconds // 60)
        return Throttled(
            "too_many_tries",
            f"Too many tries. Wait {minutes} minute{'s' if minutes > 1 else ''}, then try again.",
            retry_after_seconds=seconds,
        )


class _Storage(Storage):
    """Shows our counters to `limits`."""

    STORAGE_SCHEME = None

    def __init__(self, counters: Counters, clock: Clock) -> None:
        super().__init__()
        self._counters = counters
        self._clock = clock

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return self._counters.increase(key, timedelta(seconds=expiry), amount).number

    def get(self, key: str) -> int:
        found = self._counters.read(key)
        return found.number if found else 0

    def get_expiry(self, key: str) -> float:
        found = self._counters.read(key)
        return (found.ends_at if found else self._clock.now()).timestamp()

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        return None

    def clear(self, key: str) -> None:
        self._counters.clear(key)
