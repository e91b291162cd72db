# SPDX-License-Identifier: Apache-2.0
"""The enrollment code: Android's keys exactly, nothing half understood, nothing printed."""

import base64
import contextlib
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etymon.kernel.errors import DecodeError
from etymon.kernel.secret import Secret
from etymon.wire import enrollment_qr
from etymon.wire.enrollment_qr import DevicePolicyController, Invitation, Provisioning, SetupNetwork

PIN = base64.urlsafe_b64encode(hashlib.sha256(b"a key").digest()).rstrip(b"=").decode()
TOKEN = "MFRGGZDFMZTWQ2LKNNWG23TP"
INVITATION = Invitation("https://mdm.agency.example:8443/mdm", Secret(TOKEN), PIN)
CONTROLLER = DevicePolicyController(
    "org.example.agent/.AdminReceiver",
    "https://mdm.agency.example/agent.apk",
    "gJD2YwtOiWJHkSMkkIfLRlj-quNqG1fb6v100QmzM9w",
)


def document(**changes: object) -> dict[str, object]:
    whole: dict[str, object] = json.loads(enrollment_qr.encode(Provisioning(INVITATION)).reveal())
    return whole | changes


def extras(**changes: object) -> str:
    bundle = {"etymon.protocol": 1, "etymon.server": INVITATION.server, "etymon.token": TOKEN, "etymon.pin": PIN}
    bundle |= {f"etymon.{name}": value for name, value in changes.items()}
    return json.dumps({enrollment_qr.EXTRAS: bundle})


def test_the_keys_are_those_of_android() -> None:
    network = SetupNetwork("setup", "WPA", Secret("open sesame"), hidden=True)
    text = enrollment_qr.encode(Provisioning(INVITATION, CONTROLLER, network)).reveal()
    assert json.loads(text) == {
        "android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME": "org.example.agent/.AdminReceiver",
        "android.app.extra.PROVISIONING_DEVICE_ADMIN_PACKAGE_DOWNLOAD_LOCATION": "https://mdm.agency.example/agent.apk",
        "android.app.extra.PROVISIONING_DEVICE_ADMIN_SIGNATURE_CHECKSUM": "gJD2YwtOiWJHkSMkkIfLRlj-quNqG1fb6v100QmzM9w",
        "android.app.extra.PROVISIONING_WIFI_SSID": "setup",
        "android.app.extra.PROVISIONING_WIFI_SECURITY_TYPE": "WPA",
        "android.app.extra.PROVISIONING_WIFI_PASSWORD": "open sesame",
        "android.app.extra.PROVISIONING_WIFI_HIDDEN": True,
        "android.app.extra.PROVISIONING_ADMIN_EXTRAS_BUNDLE": {
            "etymon.protocol": 1,
            "etymon.server": "https://mdm.agency.example:8443/mdm",
            "etymon.token": TOKEN,
            "etymon.pin": PIN,
        },
    }


def test_a_checksum_with_padding_is_read_too() -> None:
    """Google's own test agent keeps the padding in its code."""
    whole = json.loads(enrollment_qr.encode(Provisioning(INVITATION, CONTROLLER)).reveal())
    whole["android.app.extra.PROVISIONING_DEVICE_ADMIN_SIGNATURE_CHECKSUM"] += "="
    assert enrollment_qr.decode(json.dumps(whole)).controller == CONTROLLER


def test_members_that_are_not_known_are_ignored() -> None:
    whole = document(**{"android.app.extra.PROVISIONING_TIME_ZONE": "Europe/Vienna", "later": [1]})
    assert enrollment_qr.decode(json.dumps(whole)) == Provisioning(INVITATION)


def test_another_protocol_is_refused_by_its_name() -> None:
    with pytest.raises(DecodeError) as refusal:
        enrollment_qr.decode(extras(protocol=2))
    assert refusal.value.code == "unsupported_version"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        "https://issuer.example/link#v=1",
        json.dumps({enrollment_qr.EXTRAS: "text"}),
        extras(protocol="1"),
        extras(protocol=True),
        extras(server="http://mdm.agency.example/mdm"),
        extras(server="https://mdm.agency.example/mdm/"),
        extras(server="https://mdm.agency.example@evil.example/mdm"),
        extras(server="https:///mdm"),
        extras(server="https://mdm.agency.example:0/mdm"),
        extras(server="https://mdm.agency.example:99999/mdm"),
        extras(server="https://mdm.agency.example/mdm#x"),
        extras(server="https://mdm.agency.example/m dm"),
        extras(server="https://mdm.ägency.example/mdm"),
        extras(server=7),
        extras(token="SHORT"),
        extras(token=TOKEN.lower()),
        extras(token="A" * 65),
        extras(pin=PIN + "="),
        extras(pin=PIN[:-1]),
        extras(pin=PIN[:-1] + "B"),
        extras(pin="/" * 43),
        "[" * 1200,
        '{"\\ud800": "\ud800"}',
        json.dumps(document(**{"android.app.extra.PROVISIONING_WIFI_SSID": ""})),
        json.dumps(document(**{"android.app.extra.PROVISIONING_WIFI_SSID": "x" * 33})),
        json.dumps(
            document(
                **{
                    "android.app.extra.PROVISIONING_WIFI_SSID": "x",
                    "android.app.extra.PROVISIONING_WIFI_SECURITY_TYPE": "EAP",
                }
            )
        ),
        json.dumps(
            document(
                **{
                    "android.app.extra.PROVISIONING_WIFI_SSID": "x",
                    "android.app.extra.PROVISIONING_WIFI_HIDDEN": "true",
                }
            )
        ),
        json.dumps(document(**{"android.app.extra.PROVISIONING_DEVICE_ADMIN_COMPONENT_NAME": "org.example.agent"})),
        json.dumps(document(padding="x" * 1500)),
    ],
)
def test_what_is_no_enrollment_code_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        enrollment_qr.decode(text)


def test_a_code_that_no_camera_reads_is_not_made() -> None:
    controller = DevicePolicyController(
        CONTROLLER.component, "https://mdm.agency.example/" + "a" * 1500, CONTROLLER.signature_checksum
    )
    with pytest.raises(DecodeError):
        enrollment_qr.encode(Provisioning(INVITATION, controller))


@pytest.mark.parametrize(
    ("security", "password"), [("WPA", None), ("NONE", Secret("p")), ("WPA", Secret("")), ("WPA", Secret("p" * 65))]
)
def test_a_network_has_a_password_exactly_when_it_needs_one(
    security: enrollment_qr.WiFiSecurity, password: Secret[str] | None
) -> None:
    with pytest.raises(DecodeError):
        SetupNetwork("setup", security, password)


@pytest.mark.parametrize(
    ("component", "download", "checksum"),
    [
        ("agent", CONTROLLER.download_location, CONTROLLER.signature_checksum),
        (CONTROLLER.component, "http://mdm.agency.example/agent.apk", CONTROLLER.signature_checksum),
        (CONTROLLER.component, CONTROLLER.download_location, "abc"),
    ],
)
def test_an_agent_that_setup_would_refuse_is_not_named(component: str, download: str, checksum: str) -> None:
    with pytest.raises(DecodeError):
        DevicePolicyController(component, download, checksum)


def test_nothing_secret_is_printed() -> None:
    provisioning = Provisioning(INVITATION, network=SetupNetwork("setup", "WPA", Secret("open sesame")))
    shown = f"{provisioning!r} {enrollment_qr.encode(provisioning)}"
    assert TOKEN not in shown
    assert "open sesame" not in shown


tokens = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=20, max_size=64).map(Secret)
pins = st.binary(min_size=32, max_size=32).map(lambda key: base64.urlsafe_b64encode(key).rstrip(b"=").decode())
hosts = st.from_regex(r"[a-z]{1,20}(\.[a-z]{1,10}){0,3}(:[1-9][0-9]{0,3})?", fullmatch=True)
invitations = st.builds(Invitation, hosts.map(lambda host: f"https://{host}/mdm"), tokens, pins)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
networks = st.one_of(
    st.builds(SetupNetwork, names, st.just("NONE"), st.none(), st.booleans()),
    st.builds(SetupNetwork, names, st.sampled_from(["WPA", "WEP"]), names.map(Secret), st.booleans()),
)


@given(st.builds(Provisioning, invitations, st.one_of(st.none(), st.just(CONTROLLER)), st.one_of(st.none(), networks)))
def test_what_is_written_is_read_again(provisioning: Provisioning) -> None:
    assert enrollment_qr.decode(enrollment_qr.encode(provisioning).reveal()) == provisioning


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=20), inner, max_size=3)),
    max_leaves=8,
)
keys = st.sampled_from([*document(), *json.loads(extras())[enrollment_qr.EXTRAS], enrollment_qr.PREFIX + "WIFI_SSID"])


@given(
    st.one_of(
        st.text(max_size=200),
        st.dictionaries(keys, st.one_of(json_values, st.dictionaries(keys, json_values))).map(json.dumps),
    )
)
def test_any_text_is_a_stable_code_or_a_decode_error(text: str) -> None:
    with contextlib.suppress(DecodeError):
        provisioning = enrollment_qr.decode(text)
        assert enrollment_qr.decode(enrollment_qr.encode(provisioning).reveal()) == provisioning
