# SPDX-License-Identifier: Apache-2.0
"""Recording what an authority refused when nobody outside had asked: its own certificates, and those of its servers.

Whoever asks from outside is recorded by the service that took the request.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from etymon.audit import trail
from etymon.audit.model import AuditEvent, Outcome
from etymon.audit.refusals import is_refusal
from etymon.ca.dependencies import Dependencies
from etymon.kernel.errors import EtymonError


@contextmanager
def noted(deps: Dependencies, *, actor: str, subject: str) -> Iterator[None]:
    """Record the refusal that comes from inside, in a transaction of its own; call it outside transactions."""
    try:
        yield
    except EtymonError as refusal:
        if is_refusal(refusal):
            facts = {"code": refusal.code, "findings": str(refusal.facts.get("findings", ""))}
            event = AuditEvent("ca:certificate:refused", actor, subject, Outcome.FAILURE, facts=facts)
            with deps.database.transaction() as tx:
                trail.record(tx, deps.clock, deps.entropy, event)
        raise
