# SPDX-License-Identifier: Apache-2.0
"""A phone learns that its credential is to be replaced, and does it by itself, over TLS, with no card and no PC."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from etymon.directory import people, roles
from etymon.directory.model import Role
from etymon.issuer import holds, incidents, officers
from etymon.issuer.model import EndReason
from etymon.kernel.errors import EtymonError
from etymon.mdm import rekeys
from etymon.phone.device import Surroundings
from etymon.phone.phone import Certificate, Phone
from etymon.phone.profiles import desired_state
from etymon.phone.screen import Installing, Rekeyed, View
from etymon.phone.state import DeviceState, Purpose
from etymon.pki import certificate as reading
from support import patience
from support.held_phone import HeldPhone
from support.issuer_rekey import fresh_body
from support.patience import NoPause
from support.phones import Stopped, StoppingEntropy
from support.whole_site import ALL_PURPOSES, DOMAIN, QUICK, TEST, WholeSite


def rename(site: WholeSite, name: str, shown: str) -> None:
    with site.deployment.database.transaction() as tx:
        people.update(tx, site.wiring.directory, site.person(name).id, display_name=shown, actor=TEST)


def learned(site: WholeSite, held: HeldPhone) -> tuple[Purpose, ...]:
    """Let the worker see the change and ask the issuer, and the phone its management."""
    site.settle()
    rekeys.ask(site.wiring.mdm)  # as the worker does every 15 seconds

    def told() -> bool:
        held.check_in()
        return bool(held.phone.rekeys_due)

    patience.until(told, "the phone hears that a rekey is due")
    return held.phone.rekeys_due


def certificate(held: HeldPhone, purpose: Purpose = Purpose.AUTHENTICATION) -> Any:
    entry = desired_state.credential_entry(held.phone.device, purpose)
    assert entry is not None
    return entry.certificate


def test_a_changed_name_reaches_the_phone_which_replaces_everything_by_itself(site: WholeSite) -> None:
    held = site.phone_of("rekey-alice", group=ALL_PURPOSES)
    held.check_in()
    before = {purpose: certificate(held, purpose) for purpose in Purpose}
    aliases = {entry.alias for entry in held.phone.device.keys.entries()}
    assert held.phone.rekeys_due == ()
    rename(site, "rekey-alice", "Alice Married")
    assert set(learned(site, held)) == set(Purpose)
    assert all(shown.rekey for shown in held.phone.status().certificates)
    assert held.phone.rekey(held) == tuple(Purpose)
    for purpose in Purpose:
        assert reading.common_name(certificate(held, purpose)) == "Alice Married"
        kept = next(
            row for row in site.rows("ca_certificates") if row["thumbprint"] == reading.thumbprint(before[purpose])
        )
        assert (kept["state"], kept["reason"]) == ("revoked", 4), purpose
    gone = aliases - {entry.alias for entry in held.phone.device.keys.entries()}
    assert len([alias for alias in gone if alias.startswith(("derived-authentication", "derived-signature"))]) == 2
    retired = [item for item in held.phone.device.state.credentials if item.retired]
    assert [item.purpose for item in retired] == [Purpose.ENCRYPTION], "older mail stays readable"
    assert held.shown(Rekeyed).purposes == tuple(Purpose)
    held.check_in()
    site.settle()
    held.check_in()
    assert held.phone.rekeys_due == ()
    assert held.phone.rekey(held) == ()
    reported = {row["thumbprint"] for row in site.rows("device_credentials")}
    assert {reading.thumbprint(certificate(held, purpose)) for purpose in Purpose} <= reported


def _officer(site: WholeSite, name: str) -> UUID:
    with site.deployment.database.transaction() as tx:
        officer = people.create(
            tx,
            site.wiring.directory,
            user_principal_name=f"{name}@{DOMAIN}",
            display_name="Officer",
            mail_addresses=(),
            actor=TEST,
        )
        roles.assign(tx, site.wiring.directory, officer.id, Role.OFFICER, actor=TEST, authority="letter")
    return officer.id


def test_a_phone_keeps_its_keys_during_a_hold_and_replaces_them_after_it(site: WholeSite) -> None:
    held, deps = site.phone_of("rekey-held"), site.wiring.issuer
    held.check_in()
    rename(site, "rekey-held", "Held Meanwhile")
    assert learned(site, held) == (Purpose.AUTHENTICATION,)
    (derivation,) = [row for row in site.rows("issuer_derivations") if row["person_id"] == site.person("rekey-held").id]
    officer = _officer(site, "holding-officer")
    keys = {entry.alias for entry in held.phone.device.keys.entries()}
    holds.hold(deps, derivation["id"], holds.Order(officer, "Suspected."))
    with pytest.raises(EtymonError) as refused:
        held.phone.rekey(held)
    assert refused.value.code == "held_by_database"
    held.check_in()
    site.settle()
    held.check_in()
    assert keys <= {entry.alias for entry in held.phone.device.keys.entries()}
    assert held.phone.status().device is DeviceState.ENROLLED
    holds.restore(deps, derivation["id"], holds.Order(officer, "Passport seen."))
    assert held.phone.rekey(held) == (Purpose.AUTHENTICATION,)
    assert reading.common_name(certificate(held)) == "Held Meanwhile"


def test_a_managed_phone_hears_of_hold_restoration_and_end_at_its_next_check_in(either_site: WholeSite) -> None:
    site, name = either_site, "standing-told"
    held, deps = site.phone_of(name, group=ALL_PURPOSES), site.wiring.issuer
    held.check_in()
    (derivation,) = [row["id"] for row in site.rows("issuer_derivations") if row["person_id"] == site.person(name).id]
    officer = _officer(site, "standing-officer")
    since = site.clock.now()

    holds.hold(deps, derivation, holds.Order(officer, "Suspected."))
    assert [one.held for one in _heard(site, held)] == [True] * 3
    assert held.notifications[-1].action == "credentialHeld"
    holds.restore(deps, derivation, holds.Order(officer, "Passport seen."))
    assert [one.held for one in _heard(site, held)] == [False] * 3
    assert held.notifications[-1].action == "credentialRestored"
    holds.hold(deps, derivation, holds.Order(officer, "Suspected again."))
    assert [one.held for one in _heard(site, held)] == [True] * 3

    incidents.end_one(deps, derivation, officers.Order(officer, EndReason.KEY_COMPROMISE, "Stolen."))
    assert _heard(site, held) == ()
    assert held.phone.device.state.credentials == ()
    assert held.phone.status().membership is not None, "the phone stays managed"
    assert site.clock.now() - since < timedelta(minutes=1), "no duty's turn had to come"
    site.derive(held, site.card_for(name))
    assert [one.held for one in held.phone.status().certificates] == [False] * 3

    older = held.phone.status().certificates
    mine = [row for row in site.rows("issuer_derivations") if row["person_id"] == site.person(name).id]
    (derivation,) = [row["id"] for row in mine if row["state"] == "completed"]
    holds.hold(deps, derivation, holds.Order(officer, "Suspected."))
    assert [one.held for one in _heard(site, held)] == [True] * 3
    incidents.end_one(deps, derivation, officers.Order(officer, EndReason.SUPERSEDED, "Set up anew."))
    site.derive(held, site.card_for(name))  # before the phone has checked in
    assert [one.held for one in held.phone.status().certificates] == [False] * 3
    assert [one.held for one in _heard(site, held)] == [False] * 3
    kept = {one.thumbprint for one in held.phone.status().key_history}
    assert kept & {one.thumbprint for one in older if one.purpose is Purpose.ENCRYPTION}, "older mail still opens"


def _heard(site: WholeSite, held: HeldPhone) -> tuple[Certificate, ...]:
    site.settle()
    held.check_in()
    return held.phone.status().certificates


def test_an_end_takes_what_a_rekey_has_not_confirmed_yet(site: WholeSite) -> None:
    name = "rekey-ended"
    held = site.phone_of(name, group=ALL_PURPOSES)
    held.check_in()
    rename(site, name, "Ended Meanwhile")
    assert learned(site, held) == tuple(Purpose)
    begun: list[Purpose] = []

    def stop_at_the_second(view: View) -> None:
        begun.extend([view.purpose] if isinstance(view, Installing) else [])
        if len(begun) > 1:
            raise Stopped

    held.does = stop_at_the_second
    with pytest.raises(Stopped):
        held.phone.rekey(held)
    held.does = lambda _: None
    device = held.phone.device
    signing_in = [one for one in device.state.credentials if one.purpose is Purpose.AUTHENTICATION]
    assert [one.retired for one in signing_in] == [False, True]
    (derivation,) = [row["id"] for row in site.rows("issuer_derivations") if row["person_id"] == site.person(name).id]
    order = officers.Order(_officer(site, "rekey-officer"), EndReason.KEY_COMPROMISE, "Stolen.")
    incidents.end_one(site.wiring.issuer, derivation, order)
    assert _heard(site, held) == ()
    assert (device.state.credentials, device.state.rekeys) == ((), ())
    assert len(device.keys.entries()) == 1, "the device identity"


def test_a_phone_that_stops_before_any_write_goes_on_from_there(site: WholeSite) -> None:
    held = site.phone_of("rekey-stops")
    held.check_in()
    rename(site, "rekey-stops", "Stopped Often")
    assert learned(site, held) == (Purpose.AUTHENTICATION,)
    directory, before = held.phone.device.directory, certificate(held)
    held.phone.close()
    stops = 0
    while _rekey_until_stopped(site, held, directory, stops):
        stops += 1
    assert stops >= 5
    with Phone.open(directory, Surroundings(site.clock, site.entropy, NoPause(), QUICK)) as phone:
        held.phone = phone
        assert phone.rekeys_due == ()
        assert phone.device.state.rekeys == ()
        assert reading.common_name(certificate(held)) == "Stopped Often"
        assert len(phone.device.keys.entries()) == 2, "the device identity and the one credential"
    person = site.person("rekey-stops").id
    issued = [row for row in site.rows("issuer_credentials") if row["person_id"] == person]
    assert len(issued) == 2, "one certificate was made, however often it was asked for"
    assert {row["state"] for row in issued if row["thumbprint"] == reading.thumbprint(before)} == {"ended"}


def _rekey_until_stopped(site: WholeSite, held: HeldPhone, directory: Path, draws: int) -> bool:
    surroundings = Surroundings(site.clock, StoppingEntropy(draws), NoPause(), QUICK)
    try:
        with Phone.open(directory, surroundings) as phone:
            phone.rekey(held)
    except Stopped:
        return True
    return False


def test_a_device_identity_rekeys_nothing_and_a_derived_credential_checks_in_nowhere(site: WholeSite) -> None:
    held = site.phone_of("rekey-crossing")
    held.check_in()
    device_url = site.deployment.settings.device_url
    rekeying = f"{device_url}/.well-known/est/authentication/simplereenroll"
    body, headers = fresh_body(), {"Content-Type": "application/pkcs10"}
    with held.phone.unlock(held.secret):
        derived = held.credential()
        for identity, status, code in (
            (None, 401, "derived_credential_required"),
            (held.identity, 403, "wrong_certificate_kind"),
            (site.card_for("rekey-crossing").identity(), 403, "wrong_certificate_kind"),
            (derived, 403, "rekey_not_due"),
        ):
            with httpx.Client(transport=site.transport(identity)) as client:
                answer = client.post(rekeying, content=body, headers=headers)
            assert (answer.status_code, answer.headers["error-code"]) == (status, code)
        with httpx.Client(transport=site.transport(derived)) as client:
            answer = client.post(f"{device_url}/mdm/device/v1/check-in", json={"protocol": 1, "known": 0, "wait": 0})
        assert (answer.status_code, answer.json()["title"]) == (403, "wrong_certificate_kind")
