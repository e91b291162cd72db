# SPDX-License-Identifier: Apache-2.0
"""What is refused at a door before any use case has seen it is in the audit trail too.

A request too long to be read, of the wrong media type, without what lets it in: whoever sends it is nobody yet, and may
send as much of it as the network takes. It is counted by itself, and leaves what a use case refuses its own room.
"""

from collections.abc import Collection

from etymon.audit.refusals import ANONYMOUS, is_refusal
from etymon.issuer.dependencies import Dependencies
from etymon.issuer.scep import connector_store
from etymon.issuer.scep.model import CONNECTOR_NAME
from etymon.web.exchange import RefusalRecorder, Refused


def recorder(deps: Dependencies, name: str, *, connector: str = "", but: Collection[str] = ()) -> RefusalRecorder:
    """Return what records refusals of a door as `name`, where nobody has yet; those with a code in `but` tell nothing.

    `connector` is the part of the address that may name a connector: one that there is is the event's subject.
    """

    def record(refused: Refused) -> None:
        error = refused.error
        if error.is_noted or error.code in but or not is_refusal(error):
            return
        named = refused.path_parameters.get(connector, deps.ndes_connector) if connector else ""
        subject = _connector(deps, named) or f"door:{refused.path}"
        deps.refusals.record(
            name,
            actor=ANONYMOUS,
            subject=subject,
            source=refused.client_address,
            counted_as=f"{name} door",
            code=error.code,
        )

    return record


def _connector(deps: Dependencies, name: str) -> str:
    if not CONNECTOR_NAME.fullmatch(name):
        return ""
    with deps.database.snapshot() as tx:
        found = connector_store.find(tx, name)
    return f"scep_connector:{name}" if found else ""
