# SPDX-License-Identifier: Apache-2.0
"""A person is called something else: the certificates on the phone are replaced, and nobody fetches a card for it."""

from collections.abc import Mapping
from dataclasses import replace

from cryptography import x509

from etymon.phone.state import Purpose
from etymon.pki.certificate import common_name, spki
from etymon.server.demo import relying_parties
from etymon.server.demo.chapters import use
from etymon.server.demo.chapters.enrollment import Held, administration
from etymon.server.demo.peers.programs import missing
from etymon.server.demo.story import Story, poll
from etymon.server.demo.world import World

HEARD_WITHIN_SECONDS: float = 60


def told(story: Story, world: World, held: Held, *, name: str) -> Held:
    """Tell how the phone replaces its credential; returns who holds it under the new name."""
    who, phone = held.person.display_name, held.phone
    with story.step(f"{who} is called {name} now: the phone replaces its keys and certificates by itself") as step:
        before = _certificates(held)
        users = administration(world, "GET", "users").json()["value"]
        user = next(user["id"] for user in users if user["userPrincipalName"] == held.person.address)
        administration(world, "PATCH", f"users/{user}", {"displayName": name})

        def hears() -> bool:
            phone.check_in(held.hand.show)
            return bool(phone.rekeys_due)

        poll(hears, what="the news that a rekey is due", limit_seconds=HEARD_WITHIN_SECONDS)
        replaced = phone.rekey(held.hand)
        phone.check_in(held.hand.show)
        after = _certificates(held)
        step.show("no card and no PC was used; every certificate is new", set(replaced) == set(Purpose), "the phone")
        new_keys = all(spki(after[purpose]) != spki(before[purpose]) for purpose in Purpose)
        step.show("each has a key of its own", new_keys, "the phone")
        names = {common_name(certificate) for certificate in after.values()}
        step.show(f"they say {name}", names == {name}, "the certificates")
        mail = world.mail.wait_for(held.person.address, lambda content: b"was replaced" in content)
        step.show("an e-mail tells", mail is not None, "SMTP server")
        poll(lambda: _are_revoked(world, before), what="the end of the old certificates")
        step.show("the old ones are superseded", True, "CRL at the status address")  # noqa: FBT003 - the poll ended
        renamed = replace(held, person=replace(held.person, display_name=name))
        if not missing("openssl"):
            step.judged("the new one is good", use.ocsp(world, renamed), accepted=True)
    return renamed


def _certificates(held: Held) -> Mapping[Purpose, x509.Certificate]:
    return {
        purpose: x509.load_pem_x509_certificate(relying_parties.certificate_pem(held.phone.device, purpose))
        for purpose in Purpose
    }


def _are_revoked(world: World, certificates: Mapping[Purpose, x509.Certificate]) -> bool:
    crl = x509.load_pem_x509_crl(world.crls("derived"))
    found = [crl.get_revoked_certificate_by_serial_number(one.serial_number) for one in certificates.values()]
    return all(entry is not None for entry in found)
