# SPDX-License-Identifier: Apache-2.0
"""Old encryption keys come to a phone when its card, and the mail addresses, have stood for a week."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from etymon.directory import bindings, people
from etymon.escrow.model import EscrowedKey
from etymon.issuer import key_history
from etymon.issuer.key_history import HistoryRequest, Listed
from etymon.issuer.model import Purpose
from etymon.kernel.entropy import SystemEntropy
from etymon.kernel.errors import EtymonError
from etymon.storage.database import Database
from support.clock import TurnedClock
from support.declared_pki import Certified
from support.issuer_phone import transport_csr
from support.issuer_rekey import Holder, holder
from support.issuer_site import ADMINISTRATOR, PHONE_ADDRESS, IssuerSite

BOTH = (Purpose.AUTHENTICATION, Purpose.ENCRYPTION)


def looked(held: Holder) -> Listed:
    return key_history.listed(held.site.deps, held.peer, source=PHONE_ADDRESS)


def ask(held: Holder, transport: rsa.RSAPrivateKey, key: EscrowedKey) -> int:
    """Ask for a key; return how many came."""
    request = HistoryRequest((key.id,), transport_csr(transport))
    return len(key_history.release(held.site.deps, request, held.peer, source=PHONE_ADDRESS))


def refusal(held: Holder, transport: rsa.RSAPrivateKey, key: EscrowedKey) -> str:
    with pytest.raises(EtymonError) as refused:
        ask(held, transport, key)
    return refused.value.code


def spare_card(site: IssuerSite) -> Certified:
    """Have an Administrator bind another card to Alice."""
    another = "spare@agency.example"
    with site.database.transaction() as tx:
        bindings.bind(
            tx, site.deps, trust_entry="cards", identifier=another, person_id=site.alice.id, actor=ADMINISTRATOR
        )
    return site.cards.issue(site.clock.now(), site.alice.display_name, upn=another)


def test_neither_a_new_card_nor_new_addresses_bring_old_keys_to_a_phone_for_a_week(
    database: Database, tmp_path: Path
) -> None:
    transport = rsa.generate_private_key(65537, 2048)
    site = IssuerSite(database, TurnedClock(), SystemEntropy(), tmp_path)
    site.save_rule(lifetime=timedelta(days=90), most_derivations=100)
    holder(site, *BOTH, due=False)
    site.turn(days=30)
    site.card = spare_card(site)
    spare, a_week_on = holder(site, *BOTH, due=False), site.clock.now() + timedelta(days=7)
    (old,) = looked(spare).keys
    assert looked(spare).not_before == a_week_on + timedelta(seconds=1), "the clock stands at a whole second"
    site.mail()
    assert refusal(spare, transport, old) == "recovery_too_early"
    assert ["not delivered" in str(mail["text"]) for mail in site.mail()] == [True]
    assert site.events("issuer:key_history:refused")[-1].facts["code"] == "recovery_too_early"
    site.turn(days=7, seconds=1)
    assert looked(spare).not_before is None
    assert ask(spare, transport, old) == 1, "what was refused used nothing up"
    with site.database.transaction() as tx:
        people.update(tx, site.deps, site.alice.id, mail_addresses=("new@agency.example",), actor=ADMINISTRATOR)
    assert refusal(spare, transport, old) == "recovery_too_early"
    assert looked(spare).not_before == site.clock.now() + timedelta(days=7, seconds=1)
