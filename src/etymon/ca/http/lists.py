# SPDX-License-Identifier: Apache-2.0
"""The last list of each authority, for whoever asks over HTTP; the bytes are read from the database once a list."""

import threading
from datetime import datetime, timedelta

from starlette.responses import Response

from etymon.ca import crl
from etymon.ca.crl import ListHead, RevocationList
from etymon.ca.dependencies import Dependencies
from etymon.web.cached import http_date, is_fresh, not_modified, whole
from etymon.web.exchange import Request
from etymon.wire import crl as codec


class ServedLists:
    """Answers for the lists of one database; shared by all requests of a process."""

    def __init__(self, deps: Dependencies, kept_for: timedelta) -> None:
        self._deps = deps
        self._kept_for = kept_for
        self._lock = threading.Lock()
        self._read: dict[str, RevocationList] = {}

    def answer(self, request: Request, ca: str) -> Response:
        """Return an authority's list, or 304 to who has it; `NotFound` and `Unavailable` like `crl.head`."""
        with self._deps.database.snapshot() as tx:
            head = crl.head(tx, ca)
        etag = f'"{head.number}-{head.this_update:%Y%m%d%H%M%S}"'
        headers = {
            "ETag": etag,
            "Last-Modified": http_date(head.this_update),
            "Expires": http_date(head.next_update),
            "Cache-Control": self._cache_control(head, self._deps.clock.now()),
        }
        if is_fresh(request, etag=etag, modified=head.this_update):
            return not_modified(headers)
        return whole(request, self._list(head).der, codec.MEDIA_TYPE, headers)

    def _list(self, head: ListHead) -> RevocationList:
        with self._lock:  # of many who ask for a new list at once, one reads it
            known = self._read.get(head.ca)
            if known is None or (known.number, known.this_update) != (head.number, head.this_update):
                known = crl.current(self._deps, head.ca)
                self._read[head.ca] = known
            return known

    def _cache_control(self, head: ListHead, now: datetime) -> str:
        seconds = max(0, int(min(self._kept_for, head.next_update - now).total_seconds()))
        return f"public, max-age={seconds}"
