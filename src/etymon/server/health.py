# SPDX-License-Identifier: Apache-2.0
"""Whether a site is well, for load balancers and whoever is woken: `/healthz`."""

import threading
from collections.abc import Callable
from typing import Final

from starlette.responses import Response

from etymon.audit import sealer
from etymon.ca import authorities, crl
from etymon.issuer import card_status_monitor, issuance_rules, terminations
from etymon.kernel.clock import elapsed
from etymon.kernel.errors import Unavailable
from etymon.server import key_places
from etymon.server.deployment import HIERARCHIES
from etymon.server.wiring import Wiring
from etymon.web.exchange import Request, json_response

TOKEN_LOOKED_AT_EVERY_SECONDS: Final = 5
"""Whoever asks more often is told what was found last, so that questions do not make a token work."""


class Health:
    """What a process knows of its site."""

    def __init__(self, wiring: Wiring, elapsed: Callable[[], float] = elapsed) -> None:
        """Take `elapsed`, seconds from any start."""
        self._wiring, self._elapsed = wiring, elapsed
        self._looking = threading.Lock()
        self._look_at, self._token_is_away = float("-inf"), False

    def answer(self, _request: Request) -> Response:
        """Answer 200 while the database answers, the trail is being sealed and lists are made; a problem otherwise.

        What a person has to see to, and another replica would do no better, is an alarm and no problem: so is a
        root's list that is about to lapse, which only somebody with its key can make.
        """
        clock = self._wiring.deployment.clock
        with self._wiring.deployment.database.snapshot() as tx:
            sealer.require_live(tx, clock)
            lapsing = [head for head in crl.heads(tx) if head.is_about_to_lapse(clock.now())]
            _, late = terminations.count(tx, self._wiring.issuer)
            silent = any(source.silent_since for source in card_status_monitor.all_sources(tx))
            revoked = authorities.revoked(tx)
            ending = issuance_rules.with_ending_keys(tx, clock.now())
            issuing = {authorities.current(tx, name).name for name in HIERARCHIES if authorities.issuing(tx, name)}
        ours = ", ".join(head.ca for head in lapsing if not head.offline and head.ca not in revoked)
        if ours:
            raise Unavailable(
                "crl_about_to_lapse", f"No new revocation list of {ours} was made in time. Run the worker."
            )
        rings = (
            ("token_unavailable", self._is_token_away()),
            ("termination_late", late),
            ("card_status_unavailable", silent),
            ("authority_revoked", issuing & revoked),
            ("encryption_keys_end_with_2030", ending),
        )
        told: dict[str, object] = {"status": "ok", "crl_about_to_lapse": [head.ca for head in lapsing]}
        if alarms := [name for name, ringing in rings if ringing]:
            told |= {"status": "alarm", "alarms": alarms}
        return json_response(told)

    def _is_token_away(self) -> bool:
        """Look at the token from time to time; one that hangs holds one request, and nobody else."""
        if self._looking.acquire(blocking=False):
            try:
                if self._elapsed() >= self._look_at:
                    self._token_is_away = key_places.is_away(self._wiring.deployment.token)
                    self._look_at = self._elapsed() + TOKEN_LOOKED_AT_EVERY_SECONDS
            finally:
                self._looking.release()
        return self._token_is_away
