# SPDX-License-Identifier: Apache-2.0
"""First binding: a card, proved just now, and the one-time code the person was given."""

from uuid import UUID

from etymon.directory import addresses, bindings, notices
from etymon.directory.model import Person, PresentedCode
from etymon.idp.dependencies import Dependencies
from etymon.idp.model import PROOF_HELD, ProvenCertificate, Purpose
from etymon.idp.store import proofs
from etymon.kernel.errors import NotPermitted
from etymon.storage.database import Transaction


def held_card(tx: Transaction, deps: Dependencies, proof_id: UUID, *, browser: str) -> ProvenCertificate:
    """Return the card this browser has proved in order to bind it; raises NotPermitted `proof_not_valid`."""
    since = deps.clock.now() - PROOF_HELD
    proof = proofs.held(tx, proof_id, browser=browser, purpose=Purpose.BINDING.value, since=since)
    if proof is None:
        raise NotPermitted("proof_not_valid", "Show your card first; after that there are five minutes for the code.")
    return proof


def bind(tx: Transaction, deps: Dependencies, proof_id: UUID, code: PresentedCode, *, browser: str) -> Person:
    """Bind the card to the account the code was made for; code and proof are used up.

    Raises what `held_card` and `directory.bindings.redeem_code` raise.
    """
    proof = held_card(tx, deps, proof_id, browser=browser)
    person = bindings.redeem_code(tx, deps, code, trust_entry=proof.trust_entry, identifier=proof.identifier)
    if not proofs.use(tx, proof_id):
        raise NotPermitted("proof_not_valid", "This card proof was used already. Show your card again.")
    text = (
        f"A smart card was bound to your account at {deps.branding.organization}.\n\n"
        f"Time: {deps.clock.now():%Y-%m-%d %H:%M} UTC\n\n"
        "From now on it signs you in. If this was not you, tell your administrator at once."
    )
    to = addresses.to_tell(tx, deps.clock, person)
    notices.notify(tx, deps.clock, deps.entropy, to, "A card was bound to your account", text)
    return person
