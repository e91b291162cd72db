# SPDX-License-Identifier: Apache-2.0
"""The outline of a practice statement names what is there: files, places in the code, settings, commands, targets."""

import re
from datetime import timedelta

import pytest

from etymon.ca import crl
from etymon.ca.http import status
from etymon.ca.policies import DEPLOYMENT_POLICIES, EXAMPLE_POLICY_OIDS
from etymon.ca.profiles import PROFILES
from etymon.issuer import model as issuer
from etymon.issuer import request
from etymon.server.command_line import app
from etymon.server.settings import Settings
from support.named_code import REPOSITORY, is_place

PAGE = (REPOSITORY / "docs" / "certificate-policy.md").read_text("utf-8")
NAMED = re.findall(r"`([^`]+)`", PAGE)
HEADINGS = re.findall(r"^## (\d)\. ", PAGE, re.MULTILINE)
COMMANDS = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))


def _hours(hours: int) -> timedelta:
    return timedelta(hours=hours)


def _is_there(name: str) -> bool:
    if name.startswith("--"):
        return f'"{name}"' in "".join(
            file.read_text("utf-8") for file in (REPOSITORY / "src/etymon/server/command_line").glob("*.py")
        )
    program, _, rest = name.partition(" ")
    if program == "etymon":
        return rest.partition(" ")[0] in COMMANDS
    if program == "make":
        return rest in TARGETS
    if re.fullmatch(r"[a-z_.0-9]+:[\w.]+", name):
        return is_place(name)
    return name in Settings.model_fields or name == "keys/" or (REPOSITORY / name).exists()


def test_everything_it_names_is_there() -> None:
    assert [name for name in NAMED if not _is_there(name)] == []
    assert len(NAMED) > 50


def test_what_is_not_there_is_found() -> None:
    for name in ("etymon burn", "make coffee", "ca.crl:burn", "docs/nothing.md", "no_such_setting", "--no-such-option"):
        assert not _is_there(name)


def test_its_policies_are_those_a_deployment_passes_on() -> None:
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| [^|]+ \|$", PAGE, re.MULTILINE)
    passed_on = {EXAMPLE_POLICY_OIDS[name].rpartition(".")[2] for name in DEPLOYMENT_POLICIES}
    assert {arc for _, arc in rows} == passed_on


@pytest.mark.parametrize(
    ("said", "is_so"),
    [
        ("card was presented in the five minutes before", timedelta(minutes=5) == issuer.PROOF_LIFETIME_AT_START),
        ("for ninety days from the card's first proof", timedelta(days=90) == request.IDENTITY_LIFETIME),
        ("proved within twelve years", timedelta(days=12 * 365) == issuer.PROOFING_LIFETIME),
        ("kept by caches for five minutes", status.CACHE_SECONDS == 300),
        ("before 18 hours are over and last 48", _hours(18) > crl.ONLINE_AGE and _hours(48) == crl.ONLINE_LIFETIME),
        (
            "those of roots 35 and 37 days",
            (_hours(840), _hours(888)) == (crl.OFFLINE_AGE, crl.OFFLINE_LIFETIME),
        ),
        ("its status is asked again after seven days", timedelta(days=7) == issuer.RECHECK_AFTER),
        ("Subscribers three years at most", timedelta(days=3 * 365) == issuer.LONGEST_LIFETIME),
        ("responders 120 days", timedelta(days=120) == PROFILES["ocsp-responder"].lifetime),
        ("issuing authorities ten years", timedelta(days=10 * 365) == PROFILES["issuing-ca"].lifetime),
        ("roots twenty", timedelta(days=20 * 365) == PROFILES["root-ca"].lifetime),
    ],
)
def test_the_times_it_gives_are_those_of_the_code(said: str, is_so: bool) -> None:  # noqa: FBT001 - one of a table
    assert said in " ".join(PAGE.split())
    assert is_so


def test_it_has_the_sections_of_rfc_3647_in_their_order() -> None:
    assert list("123456789") == HEADINGS
    numbers = [tuple(map(int, found)) for found in re.findall(r"^### (\d)\.(\d+)", PAGE, re.MULTILINE)]
    assert numbers == sorted(numbers)
