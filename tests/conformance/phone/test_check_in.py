# SPDX-License-Identifier: Apache-2.0
"""Check-in as docs/protocols/check-in.md says, against a stand-in made from it."""

import base64
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from etymon.kernel.errors import Conflict, DecodeError, NotPermitted, Unavailable
from etymon.phone.phone import Phone
from etymon.phone.state import DeviceState, Notification, ResultState
from support.card_issuer import authority
from support.https_site import Answer
from support.phone_services import Services
from support.phones import Stopped, StoppingEntropy, enrolled, new_phone, surroundings

CHECK_IN = "/mdm/device/v1/check-in"
REQUIREMENT = {
    "required": True,
    "purposes": ["authentication", "signature", "encryption", "levitation"],
    "issuer": {
        "name": "Agency issuer",
        "selfService": "https://127.0.0.1/issuer/",
        "instructions": "https://help.example",
    },
}


def policy(kind: str, *, version: int = 1, **settings: object) -> dict[str, object]:
    return {"policy": str(uuid4()), "version": version, "type": kind, "name": kind, "settings": settings}


def trusted_root() -> dict[str, object]:
    certificate = base64.b64encode(authority("Campus CA").certificate.public_bytes(Encoding.DER)).decode()
    return policy("trustedRoot", certificate=certificate, fileName="campus.cer")


def reports(services: Services) -> list[Mapping[str, object]]:
    return [asked.document for asked in services.asked if asked.path == CHECK_IN]


def silent(_: Notification) -> None:
    """Notify nobody."""


def states(phone: Phone) -> dict[str, ResultState]:
    return {policy.type: result.state for policy, result in phone.status().policies if result}


def test_a_phone_with_nothing_new_asks_once_and_waits_as_long_as_it_is_told(
    enrolled_phone: Phone, services: Services
) -> None:
    enrolled_phone.check_in(silent, wait_seconds=50)
    (report,) = reports(services)
    assert report == {
        "protocol": 1,
        "known": 0,
        "wait": 50,
        "device": {"osVersion": "14", "securityPatch": "2026-11-05"},
        "results": [],
        "commands": [],
        "credentials": [],
    }
    assert services.last(CHECK_IN).peer is not None


def test_policies_are_applied_reported_once_and_removed_with_the_desired_state(
    enrolled_phone: Phone, services: Services
) -> None:
    root = trusted_root()
    services.notify(root, policy("derivedCredential", certificateAccess="userApproval"), policy("teleport"))
    enrolled_phone.check_in(silent)
    first, second = reports(services)
    assert (first["known"], second["known"]) == (0, 1)
    assert states(enrolled_phone) == {
        "trustedRoot": ResultState.SUCCEEDED,
        "derivedCredential": ResultState.PENDING,
        "teleport": ResultState.NOT_APPLICABLE,
    }
    told = second["results"]
    assert isinstance(told, list)
    assert {item["state"] for item in told} == {"succeeded", "pending", "notApplicable"}
    file = enrolled_phone.device.applied / str(root["policy"]) / "trusted-root.pem"
    assert file.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")

    services.asked.clear()
    enrolled_phone.check_in(silent)
    assert [report["results"] for report in reports(services)] == [[]]

    services.notify()
    enrolled_phone.check_in(silent)
    assert states(enrolled_phone) == {}
    assert not file.exists()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("trustedRoot", {"certificate": "bm8=", "fileName": "x"}),
        ("trustedRoot", {}),
        ("derivedCredential", {"certificateAccess": "everybody"}),
        ("wifi", {"ssid": "Corp", "security": "wpaPersonal", "eap": "tls"}),
        ("wifi", {"ssid": "Corp", "security": "wpaEnterprise", "eap": "tls", "serverNames": [], "trustedRoots": []}),
        (
            "wifi",
            {"ssid": "x" * 33, "security": "wpaEnterprise", "eap": "tls", "serverNames": ["a"], "trustedRoots": ["b"]},
        ),
        ("email", {"accountName": "Mail", "host": "h", "address": "no address"}),
        ("email", {"accountName": "Mail", "host": "h", "address": "a@b", "signing": "sometimes"}),
    ],
)
def test_settings_the_phone_cannot_read_fail_that_policy_alone(
    enrolled_phone: Phone, services: Services, kind: str, settings: dict[str, object]
) -> None:
    wrong = policy(kind)
    wrong["settings"] = settings
    services.notify(wrong, trusted_root())
    enrolled_phone.check_in(silent)
    results = {str(policy.policy): result for policy, result in enrolled_phone.status().policies}
    failed = results[str(wrong["policy"])]
    assert failed is not None
    assert failed.state is ResultState.FAILED
    assert failed.detail
    assert [result.state for result in results.values() if result and result != failed] == [ResultState.SUCCEEDED]


def test_a_notification_is_shown_once(enrolled_phone: Phone, services: Services) -> None:
    notification = {
        "notification": str(uuid4()),
        "title": "Set up your smart card",
        "body": "…",
        "action": "setUpDerivedCredential",
    }
    services.notify(notifications=[notification], derivedCredential=REQUIREMENT)
    shown: list[Notification] = []
    enrolled_phone.check_in(shown.append)
    services.notify(notifications=[notification])
    enrolled_phone.check_in(shown.append)
    assert [item.action for item in shown] == ["setUpDerivedCredential"]
    services.notify(notifications=[notification], derivedCredential=REQUIREMENT)
    enrolled_phone.check_in(shown.append)
    requirement = enrolled_phone.status().requirement
    assert requirement is not None
    assert [purpose.value for purpose in requirement.purposes] == ["authentication", "signature", "encryption"]


def test_a_lost_answer_is_reported_again_until_one_arrives(enrolled_phone: Phone, services: Services) -> None:
    services.notify(trusted_root())
    services.lose_answers = {1}
    with pytest.raises(Unavailable):
        enrolled_phone.check_in(silent)
    enrolled_phone.check_in(silent)
    told = [bool(report["results"]) for report in reports(services)]
    assert told == [False, True, True]


def test_a_retired_phone_loses_what_management_brought_reports_and_is_let_go(
    enrolled_phone: Phone, services: Services
) -> None:
    services.notify(trusted_root())
    enrolled_phone.check_in(silent)
    command = str(uuid4())
    services.notify(trusted_root(), commands=[{"command": command, "type": "retire"}])
    enrolled_phone.check_in(silent)
    assert reports(services)[-1]["commands"] == [{"command": command, "state": "succeeded", "detail": ""}]
    status = enrolled_phone.status()
    assert status.device is DeviceState.RETIRED
    assert status.policies == ()
    assert enrolled_phone.device.keys.entries() == ()
    assert not enrolled_phone.device.applied.exists()
    with pytest.raises(Conflict, match="not_enrolled"):
        enrolled_phone.check_in(silent)


def test_a_wiped_phone_is_factory_new_and_can_be_enrolled_again(enrolled_phone: Phone, services: Services) -> None:
    services.notify(commands=[{"command": str(uuid4()), "type": "wipe"}])
    enrolled_phone.check_in(silent)
    assert enrolled_phone.status().device is DeviceState.FACTORY_NEW
    assert enrolled_phone.device.keys.entries() == ()
    enrolled(enrolled_phone, services)
    assert enrolled_phone.status().device is DeviceState.ENROLLED


def test_the_lost_answer_to_the_last_report_ends_the_management_all_the_same(
    enrolled_phone: Phone, services: Services
) -> None:
    services.notify(commands=[{"command": str(uuid4()), "type": "retire"}])
    services.lose_answers = {1}
    with pytest.raises(Unavailable):
        enrolled_phone.check_in(silent)
    enrolled_phone.check_in(silent)  # answered device_not_managed
    assert enrolled_phone.status().device is DeviceState.RETIRED


def test_a_phone_that_was_let_go_without_a_command_says_so(enrolled_phone: Phone, services: Services) -> None:
    services.managed.clear()
    with pytest.raises(NotPermitted, match="device_not_managed"):
        enrolled_phone.check_in(silent)
    assert enrolled_phone.status().device is DeviceState.ENROLLED


def test_an_unknown_command_is_reported_as_failed(enrolled_phone: Phone, services: Services) -> None:
    services.notify(commands=[{"command": str(uuid4()), "type": "selfDestruct"}])
    enrolled_phone.check_in(silent)
    (done,) = [report["commands"] for report in reports(services) if report["commands"]]
    assert isinstance(done, list)
    assert done[0]["state"] == "failed"


@pytest.mark.parametrize("body", [b"[]", b'{"version": -1}', b'{"version": 2, "policies": [{"policy": "x"}]}'])
def test_a_strange_answer_changes_nothing(enrolled_phone: Phone, services: Services, body: bytes) -> None:
    services.instead[CHECK_IN] = [Answer(200, body)]
    with pytest.raises(DecodeError):
        enrolled_phone.check_in(silent)
    assert enrolled_phone.device.state.management.version == 0


def test_long_polls_go_on_until_told_to_stop_and_back_off_from_a_silent_server(
    enrolled_phone: Phone, services: Services
) -> None:
    services.instead[CHECK_IN] = [Answer(503), Answer(503), Answer.problem(429, "slower")]
    rounds = iter([False, False, False, False, True])
    enrolled_phone.keep_checking_in(silent, stop=lambda: next(rounds))
    assert [report["wait"] for report in reports(services)] == [50, 50, 50, 50]
    assert enrolled_phone.device.surroundings.pause.waited[-3:] == [1, 2, 60]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["retire", "wipe"])
def test_a_phone_stopped_before_any_write_of_an_ending_goes_on_from_there(
    tmp_path: Path, services: Services, kind: str
) -> None:
    ended = {"retire": DeviceState.RETIRED, "wipe": DeviceState.FACTORY_NEW}[kind]
    for draws in range(60):
        directory = tmp_path / f"phone{draws}"
        with new_phone(directory) as phone:
            enrolled(phone, services)
        services.notify(trusted_root(), commands=[{"command": str(uuid4()), "type": kind}])
        stopped = _check_in_until_stopped(directory, draws)
        with Phone.open(directory, surroundings()) as phone:
            if phone.status().device is not ended:
                phone.check_in(silent)
            assert phone.status().device is ended
            assert phone.device.keys.entries() == ()
            assert not phone.device.applied.exists()
        if not stopped:
            assert draws > 3
            return
    pytest.fail("the flow did not end")


def _check_in_until_stopped(directory: Path, draws: int) -> bool:
    phone = Phone.open(directory, surroundings(entropy=StoppingEntropy(draws)))
    try:
        phone.check_in(silent)
    except Stopped:
        return True
    finally:
        phone.close()
    return False
