# SPDX-License-Identifier: Apache-2.0
"""Mail that was encrypted to a phone which is lost opens on the next one, and what stops on the way goes on."""

import base64
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.directory import groups
from etymon.issuer import invalidation, issuance_rules, recovery_wait
from etymon.issuer.model import EndReason
from etymon.kernel.errors import Malformed, NotPermitted
from etymon.mdm import configuration_profiles
from etymon.mdm.configuration_profiles import ProfileContent
from etymon.mdm.settings import CredentialSource, Email
from etymon.mdm.targets import Target, TargetKind
from etymon.phone import generated_key
from etymon.phone.device import Surroundings
from etymon.phone.phone import Phone
from etymon.phone.state import Purpose
from etymon.pki.algorithms import KeyType
from etymon.pki.certificate import thumbprint
from etymon.server.demo.peers import openssl_cms
from support.held_phone import HeldPhone
from support.patience import NoPause
from support.phones import Stopped, StoppingEntropy
from support.programs import required
from support.standing import let_stand
from support.terminal import typing
from support.whole_site import ALL_PURPOSES, DOMAIN, QUICK, TEST, WholeSite

ENTITY = b"Content-Type: text/plain\r\n\r\nThe older keys came along.\r\n"


def let_read_mail(site: WholeSite, *names: str) -> None:
    """Give people a mail account that decrypts with the derived credential."""
    settings = Email("Mail", "mail.example", encryption=CredentialSource.DERIVED)
    with site.deployment.database.transaction() as tx:
        group = groups.create(tx, site.wiring.directory, name="History readers", actor=TEST)
        for name in names:
            groups.add_member(tx, site.wiring.directory, group.id, site.person(name).id, actor=TEST)
        made = configuration_profiles.create(tx, site.wiring.mdm, ProfileContent("Mail", settings), actor=TEST)
        target = Target(TargetKind.GROUP, group.id)
        configuration_profiles.assign(tx, site.wiring.mdm, made.id, [target], actor=TEST)
    site.settle()


def encrypted(held: HeldPhone, name: str, directory: Path) -> bytes:
    """Return mail that OpenSSL encrypted to a phone's certificate."""
    required("openssl")
    recipient = directory / "recipient.pem"
    recipient.write_bytes(held.credential(Purpose.ENCRYPTION).certificate.public_bytes(Encoding.PEM))
    sent = openssl_cms.encrypt(
        ENTITY,
        recipient,
        sender=f"bob@{DOMAIN}",
        recipient=f"{name}@{DOMAIN}",
        subject="Noon",
        directory=directory,
    )
    assert sent.content
    return sent.content


def set_rule(site: WholeSite, *, key_history: bool) -> None:
    """Let the Officer say whether phones get a key history."""
    with site.deployment.database.transaction() as tx:
        (rule,) = [rule for rule in issuance_rules.in_force(tx) if rule.name == ALL_PURPOSES]
        changed = replace(rule, key_history=key_history)
        issuance_rules.save(tx, site.wiring.issuer, changed, officer=site.person("otto").id)


def end_of(site: WholeSite, held: HeldPhone) -> None:
    """Report a phone lost at the issuer."""
    lost = thumbprint(held.credential().certificate)
    row = next(row for row in site.rows("issuer_credentials") if row["thumbprint"] == lost)
    invalidation.end_own(
        site.wiring.issuer, row["person_id"], row["derivation_id"], EndReason.KEY_COMPROMISE, source="192.0.2.1"
    )
    site.settle()


def test_mail_to_a_lost_phone_opens_on_the_next_one(site: WholeSite, tmp_path: Path) -> None:
    name, stranger = "history-alice", "history-mallory"
    card, _ = site.card_for(name, group=ALL_PURPOSES), site.card_for(stranger, group=ALL_PURPOSES)
    let_read_mail(site, name, stranger)
    lost = site.phone_of(name, group=ALL_PURPOSES)
    mail = encrypted(lost, name, tmp_path)
    old = thumbprint(lost.credential(Purpose.ENCRYPTION).certificate).hex()
    assert lost.phone.status().key_history == ()
    end_of(site, lost)
    let_stand(site.deployment.database, site.person(name).id, site.clock.now())
    second = site.derive(site.enroll(site.new_phone(), card), card)
    second.check_in()
    shown = second.phone.status()
    assert [certificate.thumbprint for certificate in shown.key_history] == [old]
    assert not shown.key_history_due
    assert old not in {certificate.thumbprint for certificate in shown.certificates}
    with second.phone.unlock(second.secret):
        assert second.phone.decrypt_mail(f"{name}@{DOMAIN}", mail) == ENTITY
        assert second.phone.decrypt_mail(f"{name}@{DOMAIN}", encrypted(second, name, tmp_path)) == ENTITY
    other = site.phone_of(stranger, group=ALL_PURPOSES)
    other.check_in()
    assert other.phone.status().key_history == ()
    with other.phone.unlock(other.secret), pytest.raises(Malformed, match="not_decryptable"):
        other.phone.decrypt_mail(f"{stranger}@{DOMAIN}", mail)
    transports = [entry.alias for entry in second.phone.device.keys.entries() if "transport" in entry.alias]
    assert transports == [], "what carried the keys is gone"


def test_a_phone_waits_while_the_card_is_new_and_asks_when_that_is_over(site: WholeSite) -> None:
    name = "history-waits"
    card, bound_at = site.card_for(name, group=ALL_PURPOSES), site.clock.now()
    end_of(site, site.phone_of(name, group=ALL_PURPOSES))
    held = site.derive(site.enroll(site.new_phone(), card), card)
    shown, device = held.phone.status(), held.phone.device
    assert shown.key_history_not_before is not None
    assert abs(shown.key_history_not_before - bound_at - recovery_wait.WAIT) < timedelta(minutes=2)
    assert (shown.key_history, shown.key_history_due) == ((), False)
    held.phone.fetch_key_history(held)
    assert held.phone.status() == shown, "it does not ask before the time it was told"
    directory = device.directory
    held.phone.close()
    with typing("phone", "status", str(directory)) as terminal:
        assert terminal.end() == 0, terminal.text
        assert f"come from {shown.key_history_not_before:%Y-%m-%d %H:%M} UTC" in terminal.text
    with Phone.open(directory, Surroundings(site.clock, site.entropy, NoPause(), QUICK)) as phone:
        waiting = phone.device.state.history
        assert waiting is not None
        assert waiting.keys
        phone.device.change(history=replace(waiting, not_before=site.clock.now()))
        with pytest.raises(NotPermitted, match="recovery_too_early"):
            phone.fetch_key_history(held)
        assert phone.status().key_history_not_before == shown.key_history_not_before, "it looked anew"
        let_stand(site.deployment.database, site.person(name).id, site.clock.now() + timedelta(seconds=50))
        phone.device.change(history=replace(waiting, not_before=site.clock.now()))
        with pytest.raises(NotPermitted, match="recovery_too_early"):
            phone.fetch_key_history(held)
        again = phone.status().key_history_not_before
        assert again is not None
        assert again > site.clock.now() + timedelta(hours=23), "a clock that is ahead asks once a day"
        let_stand(site.deployment.database, site.person(name).id, site.clock.now())
        phone.device.change(history=None)  # as a week later
        phone.fetch_key_history(held)
        assert len(phone.status().key_history) == 1


def test_a_phone_that_stops_while_it_fetches_goes_on_with_the_same_request(site: WholeSite) -> None:
    name = "history-stops"
    lost, card = site.phone_of(name, group=ALL_PURPOSES), site.card_for(name)
    old = thumbprint(lost.credential(Purpose.ENCRYPTION).certificate).hex()
    end_of(site, lost)
    let_stand(site.deployment.database, site.person(name).id, site.clock.now())
    set_rule(site, key_history=False)
    try:
        held = site.derive(site.enroll(site.new_phone(), card), card)
    finally:
        set_rule(site, key_history=True)
    device = held.phone.device
    assert held.phone.status().key_history == (), "the rule was against it"
    assert not held.phone.status().key_history_due
    device.change(history=None)  # as a phone whose set-up ended before it asked
    assert held.phone.status().key_history_due
    directory, stops, authentication = device.directory, 0, thumbprint(held.credential().certificate)
    held.phone.close()
    while _fetch_until_stopped(site, held, directory, stops):
        stops += 1
    assert stops >= 2
    with Phone.open(directory, Surroundings(site.clock, site.entropy, NoPause(), QUICK)) as phone:
        shown = phone.status()
        assert [certificate.thumbprint for certificate in shown.key_history] == [old]
        assert not shown.key_history_due
        phone.fetch_key_history(held)  # again does no harm
    asked = next(row["id"] for row in site.rows("issuer_credentials") if row["thumbprint"] == authentication)
    assert [row["credential_id"] for row in site.rows("issuer_key_histories")].count(asked) == 1


def test_only_the_derived_credential_opens_the_history(site: WholeSite) -> None:
    name = "history-doors"
    held = site.phone_of(name, group=ALL_PURPOSES)
    let_stand(site.deployment.database, site.person(name).id, site.clock.now())
    address = f"{site.device_url}/issuer/key-history/v1"
    card = site.card_for(name).identity()
    with held.phone.unlock(held.secret):
        for identity, status, code in (
            (None, 401, "derived_credential_required"),
            (held.identity, 403, "wrong_certificate_kind"),
            (card, 403, "wrong_certificate_kind"),
            (held.credential(), 404, "escrowed_key_unknown"),
        ):
            with httpx.Client(transport=site.transport(identity)) as client:
                answer = client.post(address, json=site_request(held))
                assert (answer.status_code, answer.json()["title"]) == (status, code)
                looked = client.get(address)
                assert looked.is_success == (status == 404)


def site_request(held: HeldPhone) -> dict[str, object]:
    """Return a request for a key that is not there, under a transport key of the phone's."""
    keys = held.phone.device.keys
    alias = "transport-test"
    if keys.entry(alias) is None:
        keys.generate(alias, KeyType.RSA2048, requires_activation=False)
    request = generated_key.request(held.phone.device, keys.handle(alias))
    return {"protocol": 1, "keys": [str(uuid.uuid4())], "request": base64.b64encode(request).decode()}


def _fetch_until_stopped(site: WholeSite, held: HeldPhone, directory: Path, draws: int) -> bool:
    surroundings = Surroundings(site.clock, StoppingEntropy(draws), NoPause(), QUICK)
    try:
        with Phone.open(directory, surroundings) as phone:
            phone.fetch_key_history(held)
    except Stopped:
        return True
    return False
