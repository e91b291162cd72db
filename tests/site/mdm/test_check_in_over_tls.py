# SPDX-License-Identifier: Apache-2.0
"""Check-in as a phone sees it: mutual TLS, JSON, and requests that wait for news."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx

from etymon.directory import trust
from etymon.mdm import desired_state, lifecycle
from etymon.mdm.settings import CredentialSource
from etymon.mdm.wake_ups import WakeUps
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from support import patience
from support.ca_site import proven_key
from support.directory_site import ADMINISTRATOR
from support.mdm_listeners import RunningSite
from support.mdm_site import Phone, email, everybody, for_apps, trusted_root, wifi

PATH = "/mdm/device/v1/check-in"
DERIVED = CredentialSource.DERIVED

UNREADABLE: list[dict[str, Any]] = [
    {"known": -1},
    {"known": "7"},
    {"known": True},
    {"known": 2**31},
    {"wait": 56},
    {"wait": -1},
    {"wait": 1.5},
    {"device": []},
    {"device": {"osVersion": "x" * 101}},
    {"device": {"osVersion": "\u0000"}},
    {"results": {}},
    {"results": [7]},
    {"results": [{"policy": "x", "version": 1, "state": "succeeded"}]},
    {"results": [{"policy": str(uuid4()), "version": 0, "state": "succeeded"}]},
    {"results": [{"policy": str(uuid4()), "version": 1, "state": "perfect"}]},
    {"results": [{"policy": str(uuid4()), "version": 1, "state": "failed", "detail": "x" * 501}]},
    {"results": [{"policy": str(uuid4()), "version": 1, "state": "failed", "detail": "\u0000"}]},
    {"results": [{}] * 201},
    {"commands": [{"command": str(uuid4()), "state": "pending"}]},
    {"commands": [{"command": str(uuid4()), "state": "overtaken"}]},
    {"commands": [{"command": None, "state": "failed"}]},
    {"credentials": [{"purpose": "authentication", "thumbprint": "07" * 31, "notAfter": "2027-01-01T00:00:00Z"}]},
    {"credentials": [{"purpose": "authentication", "thumbprint": "AB" * 32, "notAfter": "2027-01-01T00:00:00Z"}]},
    {"credentials": [{"purpose": "authentication", "thumbprint": "07" * 32, "notAfter": "tomorrow"}]},
    {"credentials": [{"purpose": "authentication", "thumbprint": "07" * 32, "notAfter": "2027-13-01T00:00:00Z"}]},
    {"credentials": [{"purpose": "login", "thumbprint": "07" * 32, "notAfter": "2027-01-01T00:00:00Z"}]},
    {
        "credentials": [
            {"purpose": "authentication", "thumbprint": "07" * 32, "notAfter": "2027-01-01T00:00:00Z"},
            {"purpose": "signature", "thumbprint": "07" * 32, "notAfter": "2027-01-01T00:00:00Z"},
        ]
    },
]


def check_in(running: RunningSite, phone: Phone, **report: Any) -> httpx.Response:
    return running.phone_client(phone).post(PATH, json={"protocol": 1, "known": 0, **report})


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["title"]


def test_a_phone_is_told_what_the_protocol_says(running: RunningSite) -> None:
    site = running.site
    phone = site.phone(site.directory.person())
    site.set_issuer()
    settings = trusted_root()
    root = site.configure(settings, everybody(), name="Agency root")
    network = site.configure(wifi(root.id), everybody(), name="Agency Wi-Fi")
    apps = site.configure(for_apps("org.example.mail"), everybody(), name="Apps")
    mail = site.configure(email(signing=DERIVED, encryption=DERIVED, sign_by_default=True), everybody(), name="Mail")
    answer = check_in(running, phone)
    assert answer.status_code == 200
    told = answer.json()
    policies = {policy["name"]: policy for policy in told["policies"]}
    assert {policy["policy"] for policy in told["policies"]} == {str(one.id) for one in (root, network, apps, mail)}
    assert policies["Agency root"]["type"] == "trustedRoot"
    assert policies["Agency Wi-Fi"]["settings"] == {
        "networkName": "Agency",
        "ssid": "AGENCY",
        "hidden": False,
        "connectAutomatically": True,
        "security": "wpaEnterprise",
        "eap": "tls",
        "serverNames": ["radius.agency.example"],
        "trustedRoots": [str(root.id)],
        "outerIdentity": "anonymous",
        "credential": "derived",
    }
    assert policies["Apps"]["settings"] == {"certificateAccess": "specificApps", "packages": ["org.example.mail"]}
    assert policies["Mail"]["settings"] == {
        "accountName": "Agency mail",
        "host": "mail.agency.example",
        "address": "alice@example.test",
        "signing": "derived",
        "encryption": "derived",
        "signByDefault": True,
        "encryptByDefault": False,
    }
    assert told["derivedCredential"] == {
        "required": True,
        "purposes": ["authentication", "signature", "encryption"],
        "issuer": {
            "name": "Agency issuer",
            "selfService": "https://issuer.agency.example:8443/issuer/",
            "instructions": "https://help.agency.example/dc",
        },
        "rekey": [],
    }
    assert [one["action"] for one in told["notifications"]] == ["setUpDerivedCredential"]
    assert told["commands"] == []
    nothing = check_in(running, phone, known=told["version"])
    assert (nothing.status_code, nothing.content) == (204, b"")


def test_a_command_goes_out_and_its_result_comes_back(running: RunningSite) -> None:
    site = running.site
    phone = site.phone(site.directory.person())
    with site.database.transaction() as tx:
        removed = lifecycle.remove_credential(tx, site.deps, phone.device, b"\x07" * 32, actor=ADMINISTRATOR)
        lifecycle.wipe(tx, site.deps, phone.device, actor=ADMINISTRATOR)
    told = check_in(running, phone).json()
    (command,) = told["commands"]
    assert command["type"] == "wipe"
    assert command["command"] != str(removed)
    report = [{"command": command["command"], "state": "succeeded", "detail": ""}]
    assert check_in(running, phone, known=told["version"], commands=report).status_code == 204
    assert problem(check_in(running, phone)) == (403, "device_not_managed")


def test_results_and_inventory_are_taken(running: RunningSite) -> None:
    site = running.site
    phone = site.phone(site.directory.person())
    profile = site.configure(for_apps(), everybody())
    report = {
        "device": {"osVersion": "15", "securityPatch": "2026-12-05"},
        "results": [{"policy": str(profile.id), "version": 1, "state": "pending", "detail": "waits"}],
        "credentials": [{"purpose": "authentication", "thumbprint": "07" * 32, "notAfter": "2027-01-01T00:00:00Z"}],
        "later": {"unknown": True},
    }
    assert check_in(running, phone, **report).status_code == 200


def test_without_an_identity_the_door_says_what_it_wants(running: RunningSite) -> None:
    answer = running.phone_client().post(PATH, json={"protocol": 1, "known": 0})
    assert problem(answer) == (401, "device_identity_required")


def test_a_derived_credential_is_of_the_wrong_kind(running: RunningSite) -> None:
    key = keys.generate(KeyType.P256)
    credential = running.site.ca.issue("derived-piv-authentication", key=proven_key(key))
    answer = running.device_client(credential.certificate, key).post(PATH, json={"protocol": 1, "known": 0})
    assert problem(answer) == (403, "wrong_certificate_kind")


def test_an_identity_of_no_managed_device_is_refused(running: RunningSite) -> None:
    key = keys.generate(KeyType.P256)
    identity = running.site.ca.issue("device-identity", key=proven_key(key))
    answer = running.device_client(identity.certificate, key).post(PATH, json={"protocol": 1, "known": 0})
    assert problem(answer) == (403, "device_not_managed")


def test_a_report_that_cannot_be_read_is_refused_whole(running: RunningSite) -> None:
    phone = running.site.phone(running.site.directory.person())
    client = running.phone_client(phone)
    for report in UNREADABLE:
        answer = client.post(PATH, json={"protocol": 1, "known": 0, **report})
        assert (answer.status_code, report) == (400, report)


def test_another_version_is_told_which_are_spoken(running: RunningSite) -> None:
    answer = check_in(running, running.site.phone(running.site.directory.person()), protocol=2)
    assert problem(answer) == (400, "unsupported_version")
    assert answer.json()["supported"] == [1]


def test_a_report_that_is_too_large_is_refused(running: RunningSite) -> None:
    phone = running.site.phone(running.site.directory.person())
    answer = running.phone_client(phone).post(PATH, content=b" " * (64 * 1024 + 1))
    assert problem(answer) == (413, "body_too_large")


# ---- waiting


class Waiting:
    """A check-in that waits in a thread of its own."""

    def __init__(self, running: RunningSite, phone: Phone, known: int) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._answer = self._pool.submit(check_in, running, phone, known=known, wait=55)
        self._running, self._phone = running, phone

    def until_asleep(self) -> "Waiting":
        pause = threading.Event()
        while not self._running.site.deps.wake_ups.is_anybody_asleep(self._phone.device):
            assert not self._answer.done()
            pause.wait(0.005)
        return self

    def answer(self) -> httpx.Response:
        try:
            return self._answer.result(timeout=50)
        finally:
            self._pool.shutdown()


def known_version(running: RunningSite, phone: Phone) -> int:
    version: int = check_in(running, phone).json()["version"]
    return version


def test_a_change_reaches_a_waiting_phone_at_once(running: RunningSite) -> None:
    site = running.site
    phone = site.phone(site.directory.person())
    waiting = Waiting(running, phone, known_version(running, phone)).until_asleep()
    site.configure(for_apps(), everybody(), name="Apps")
    site.deps.wake_ups.wake()
    told = waiting.answer().json()
    assert [policy["name"] for policy in told["policies"]] == ["Apps"]


def test_a_phone_that_checks_in_anew_waits_once(running: RunningSite) -> None:
    phone = running.site.phone(running.site.directory.person())
    known = known_version(running, phone)
    first = Waiting(running, phone, known).until_asleep()
    second = Waiting(running, phone, known)
    assert first.answer().status_code == 204
    second.until_asleep()
    running.site.deps.wake_ups.close()
    assert second.answer().status_code == 204


def test_a_change_made_by_another_process_reaches_a_waiting_phone_too(running: RunningSite) -> None:
    """Nobody wakes it: it looks by itself."""
    site = running.site
    phone = site.phone(site.directory.person())
    waiting = Waiting(running, phone, known_version(running, phone)).until_asleep()
    elsewhere = replace(site.deps, wake_ups=WakeUps())
    with site.database.transaction() as tx:
        lifecycle.retire(tx, elsewhere, phone.device, actor=ADMINISTRATOR)
    assert [command["type"] for command in waiting.answer().json()["commands"]] == ["retire"]


def test_a_change_for_others_leaves_a_phone_waiting(running: RunningSite) -> None:
    site = running.site
    alice, bob = site.directory.person(), site.directory.person("bob")
    mine, other = site.phone(alice), site.phone(bob)
    waiting = Waiting(running, mine, known_version(running, mine)).until_asleep()
    known_version(running, other)
    with site.database.transaction() as tx:
        lifecycle.retire(tx, site.deps, other.device, actor=ADMINISTRATOR)
        desired_state.changed(tx)
    site.deps.wake_ups.wake()
    waiting.until_asleep()
    site.configure(for_apps(), everybody())
    site.deps.wake_ups.wake()
    assert waiting.answer().status_code == 200


def test_a_phone_whose_device_ends_while_it_waits_is_told_so(running: RunningSite) -> None:
    site = running.site
    phone = site.phone(site.directory.person())
    with site.database.transaction() as tx:
        lifecycle.retire(tx, site.deps, phone.device, actor=ADMINISTRATOR)
    told = check_in(running, phone).json()
    waiting = Waiting(running, phone, told["version"]).until_asleep()
    with site.database.transaction() as tx:
        lifecycle.end_unheard(tx, site.deps, phone.device)
    site.deps.wake_ups.wake(phone.device)
    assert problem(waiting.answer()) == (403, "device_not_managed")


def test_when_the_process_is_about_to_end_nobody_waits(running: RunningSite) -> None:
    phone = running.site.phone(running.site.directory.person())
    waiting = Waiting(running, phone, known_version(running, phone)).until_asleep()
    running.site.deps.wake_ups.close()
    assert waiting.answer().status_code == 204


def test_a_phone_that_waits_is_told_nothing_once_its_authority_is_trusted_no_more(running: RunningSite) -> None:
    site = running.site
    phone = site.phone(site.directory.person())
    known = check_in(running, phone).json()["version"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(check_in, running, phone, known=known, wait=30)
        patience.until(lambda: site.deps.wake_ups.sleepers == 1, "the phone waits")
        with site.database.transaction() as tx:
            trust.remove(tx, site.directory.deps, "device", actor=ADMINISTRATOR)
        site.configure(for_apps(), everybody())
        assert problem(waiting.result()) == (403, "wrong_certificate_kind")
