# SPDX-License-Identifier: Apache-2.0
"""What an enrollment profile may say, and what devices are called."""

from datetime import UTC, datetime

import pytest

from etymon.kernel.errors import Malformed
from etymon.mdm.enrollment_profile import ProfileTerms, device_name
from etymon.mdm.model import DeviceFacts

NOW = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)
FACTS = DeviceFacts("Google", "Pixel 9", "SN/42-ABCD", "14", "2026-11-05")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("", "Android_20261123040506_ABCD"),
        ("HQ-{{SERIAL}}", "HQ-SN42-ABCD"),
        ("{{serialLast4Digits}}-{{UPNPREFIX}}", "ABCD-alice"),
        ("{{USERNAME}}{{DEVICETYPE}}", "aliceAndroid"),
    ],
)
def test_a_template_gives_a_name(template: str, name: str) -> None:
    ProfileTerms("HQ", device_name_template=template)
    assert device_name(template, FACTS, "alice@agency.example", NOW) == name


def test_a_phone_without_a_serial_number_has_a_name_too() -> None:
    assert device_name("{{SERIAL}}", DeviceFacts(), "alice@agency.example", NOW) == "unknown"


@pytest.mark.parametrize("template", ["x" * 64, "{{RAND:4}}", "{{PASSWORD}}", "a b", "<b>", "a/{{SERIAL}}"])
def test_a_template_of_other_things_is_refused(template: str) -> None:
    with pytest.raises(Malformed):
        ProfileTerms("HQ", device_name_template=template)


@pytest.mark.parametrize(("name", "description"), [("", ""), ("x" * 201, ""), ("a\nb", ""), ("HQ", "x" * 1001)])
def test_a_profile_has_a_name_of_bounded_length(name: str, description: str) -> None:
    with pytest.raises(Malformed):
        ProfileTerms(name, description)


@pytest.mark.parametrize("facts", [{"model": "x" * 101}, {"serial_number": "a\nb"}, {"manufacturer": "\x1b[31m"}])
def test_what_a_phone_says_of_itself_is_short_and_printable(facts: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        DeviceFacts(**facts)
