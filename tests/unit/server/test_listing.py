# SPDX-License-Identifier: Apache-2.0
"""Lists that commands print: what is copied is never cut, whatever the terminal, and a program gets JSON."""

import io
import json
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from etymon.server.command_line import listing
from etymon.server.command_line.appointments import LISTING as APPOINTMENTS
from etymon.server.command_line.derivations import DERIVED, WAITING
from etymon.server.command_line.identity_feed import LISTING as FEEDS
from etymon.server.command_line.key_recovery import KEYS
from etymon.server.command_line.key_recovery import LISTING as RECOVERIES
from etymon.server.command_line.legal_hold import LISTING as HOLDS
from etymon.server.command_line.listing import Listing
from etymon.server.command_line.managed_certificates import IN_FORCE
from etymon.server.command_line.managed_certificates import LISTING as MANAGED

ID, OFFICER = str(UUID(int=7)), str(UUID(int=8))
SERIAL, WHEN, NAME = "ab" * 20, "2026-01-31T08:00:00.123456Z", "alexandra.longworth-example@agency.example"
SHA256, ADDRESS = "cd" * 32, "https://agency.example:8443/scep/fleet"
WORDS = "The phone was left in a train, and nobody knows who has it now"
KEY = {"serialNumber": SERIAL, "keyType": "rsa2048", "state": "live", "notAfterDateTime": WHEN}
SHOWN: dict[str, tuple[Listing, dict[str, Any]]] = {
    "requests": (
        WAITING,
        {
            "id": ID,
            "userPrincipalName": NAME,
            "issuanceRule": "staff",
            "requestedDateTime": WHEN,
            "expiresDateTime": WHEN,
        },
    ),
    "derivations": (
        DERIVED,
        {
            "id": ID,
            "state": "completed",
            "userId": ID,
            "manufacturer": "Google",
            "model": "Pixel 9",
            "serialNumber": "S1",
            "endReason": None,
            "hold": {
                "heldBy": OFFICER,
                "heldByPrincipalName": "otto@agency.example",
                "heldDateTime": WHEN,
                "heldUntilDateTime": WHEN,
                "reason": WORDS,
            },
            "credentials": [
                {
                    "purpose": "authentication",
                    "state": "held",
                    "revokedAuthority": None,
                    "serialNumber": SERIAL,
                    "notAfterDateTime": WHEN,
                    "endReason": None,
                }
            ],
            "attestations": [
                {
                    "use": "certificate",
                    "purpose": "authentication",
                    "verdict": "attested",
                    "securityLevel": "trusted_environment",
                    "manufacturer": "Google",
                    "model": "Pixel 9",
                    "authority": "android",
                }
            ],
        },
    ),
    "managed": (
        MANAGED,
        {
            "id": ID,
            "state": "active",
            "revokedAuthority": None,
            "serialNumber": SERIAL,
            "connector": "fleet",
            "userPrincipalName": NAME,
            "userId": OFFICER,
            "deviceName": WORDS,
            "deviceId": ID,
            "notAfterDateTime": WHEN,
            "endReason": None,
        },
    ),
    "connectors": (
        IN_FORCE,
        {
            "name": "fleet",
            "challengeSource": "page",
            "clientId": None,
            "lifetimeDays": 30,
            "keyTypes": ["rsa2048", "rsa3072"],
            "legacyAlgorithms": False,
            "url": ADDRESS,
        },
    ),
    "feeds": (
        FEEDS,
        {"id": "hr", "displayName": "Human resources", "mayBindCards": True, "accounts": 7, "registeredDateTime": WHEN},
    ),
    "keys": (KEYS, KEY),
    "recoveries": (
        RECOVERIES,
        {
            "id": ID,
            "state": "requested",
            "userPrincipalName": NAME,
            "requestor": "Jane Roe, counsel",
            "authority": "legalProcess",
            "reference": "order 12/34",
            "reason": WORDS,
            "documentSha256": SHA256,
            "noticeWithheld": True,
            "expiresDateTime": WHEN,
            "endedDateTime": None,
            "endReason": None,
            "cause": None,
            "keys": [KEY],
        },
    ),
    "holds": (
        HOLDS,
        {
            "id": ID,
            "state": "live",
            "userPrincipalName": NAME,
            "reference": "case 7",
            "reason": WORDS,
            "placedDateTime": WHEN,
        },
    ),
    "appointments": (
        APPOINTMENTS,
        {
            "userPrincipalName": NAME,
            "role": "keyRecoveryAgent",
            "appointedBy": OFFICER,
            "assignedDateTime": WHEN,
            "confirmedBy": None,
            "counts": False,
            "cards": [{"trustEntry": "agency-cards", "identifier": ID}],
        },
    ),
}
"""An item of each list."""


def shown(what: Listing, *items: dict[str, Any], width: int = 80, terminal: bool = True, as_json: bool = False) -> str:
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=terminal, color_system=None)
    listing.show(what, items, as_json=as_json, console=console)
    return screen.getvalue()


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", SHOWN)
def test_what_is_copied_is_whole_on_any_terminal_and_stands_under_a_heading(name: str, width: int) -> None:
    what, item = SHOWN[name]
    text = shown(what, item, item, width=width)
    plain = shown(what, item, terminal=False)
    copied = [each for each in (ID, OFFICER, SERIAL, WHEN, NAME, SHA256, ADDRESS) if each in plain]
    assert copied
    assert all(each in text for each in copied)
    columns = [(column, column.value(item)) for column in what.columns]
    for part in what.parts:
        columns += [(column, column.value(each)) for column in part.columns for each in part.items(item)]
    assert all(column.heading in text for column, value in columns if value not in {None, ""})


@pytest.mark.parametrize("name", SHOWN)
def test_elsewhere_an_item_is_a_line_without_headings(name: str) -> None:
    what, item = SHOWN[name]
    lines = shown(what, item, item, width=20, terminal=False).splitlines()
    belonging = sum(len(list(part.items(item))) for part in what.parts)
    assert len(lines) == 2 * (1 + belonging)
    assert lines[0].split("  ")[0] == str(what.columns[0].value(item))
    assert len(lines[0].split("  ")) == len(what.columns)


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("terminal", [True, False])
def test_a_program_gets_an_object_a_line(name: str, terminal: bool) -> None:  # noqa: FBT001 - a parameter of tests
    what, item = SHOWN[name]
    lines = shown(what, item, item, width=20, terminal=terminal, as_json=True).splitlines()
    assert [json.loads(line) for line in lines] == [item, item]


@pytest.mark.parametrize("name", SHOWN)
def test_an_empty_list_says_that_nothing_is_there_beside_the_output(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    what, _ = SHOWN[name]
    assert shown(what) == shown(what, terminal=False) == ""
    assert capsys.readouterr().err == f"{what.nothing}\n" * 2
    assert shown(what, as_json=True) == ""
    assert capsys.readouterr().err == ""


def test_words_that_fit_are_a_table_and_go_on_below_where_they_do_not() -> None:
    what, item = SHOWN["holds"]
    wide, narrow = (shown(what, item, width=width).splitlines() for width in (200, 80))
    assert wide[0].split() == ["Id", "State", "Person", "Reference", "Reason", "Placed"]
    assert len(wide) == 2
    assert narrow[0] == f"Id         {ID}"
    folded = shown(what, item, width=165).splitlines()
    (start, end) = (folded[0].index(heading) for heading in ("Reason", "Placed"))
    assert len(folded) > 2
    assert " ".join(line[start:end].strip() for line in folded[1:]) == WORDS


def test_what_a_phone_says_of_itself_moves_no_cursor_and_is_no_picture() -> None:
    what, item = SHOWN["derivations"]
    hostile = {**item, "model": "\x1b[2J\r\n:smile: [red]x[/red]"}
    for text in (shown(what, hostile, width=400), shown(what, hostile, terminal=False)):
        assert "Google �[2J��:smile: [red]x[/red] S1" in text
        assert "\x1b" not in text
    assert ":smile: [red]" in shown(what, hostile, as_json=True)
    assert "\x1b" not in shown(what, hostile, as_json=True)


def test_a_long_list_is_shown_part_by_part() -> None:
    what, item = SHOWN["feeds"]
    feeds = [{**item, "id": f"feed-{number}"} for number in range(listing.ROWS + 1)]
    text = shown(what, *feeds, width=160)
    assert [text.count(f"feed-{number} ") for number in (0, listing.ROWS)] == [1, 1]
    assert text.count("May bind cards") == 2
