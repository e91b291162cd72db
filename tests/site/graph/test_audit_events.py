# SPDX-License-Identifier: Apache-2.0
"""The audit trail over the administration API: for Auditors alone, page by page, and on record."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from etymon.audit import sealer, store, trail
from etymon.audit.model import AuditEvent, Outcome
from etymon.audit.reading import READ
from etymon.directory.model import Role
from etymon.pki import keys
from etymon.pki.algorithms import KeyType
from etymon.pki.signer import SoftwareSigner
from etymon.wire import odata
from support.graph_answers import JSON, code, ok
from support.identity_provider import DERIVED
from support.mdm_listeners import RunningSite

PATH = "/beta/etymon/auditEvents"
NOBODY = "person:6f1c4ab2-5a1e-4bfb-9d2b-0c7a1f1d8e55"


@pytest.fixture
def auditor(running: RunningSite) -> httpx.Client:
    return running.administration(running.somebody("aude", Role.AUDITOR))


def happen(running: RunningSite, number: int, subject: str) -> list[str]:
    """Record events a second apart, and return their names, the newest first."""
    names = [f"test:number{n}:counted" for n in range(number)]
    for name in names:
        running.site.later(timedelta(seconds=1))
        event = AuditEvent(name, "person:x", subject, Outcome.FAILURE, {"at": 1}, "192.0.2.1")
        with running.site.database.transaction() as tx:
            trail.record(tx, running.site.deps.clock, running.site.deps.entropy, event)
    return names[::-1]


def readings(running: RunningSite) -> int:
    with running.site.database.snapshot() as tx:
        return len(trail.page(tx, name=READ, limit=200))


def listed(client: httpx.Client, condition: str, **options: str | int) -> list[JSON]:
    found: list[JSON] = []
    answer = ok(client.get(PATH, params={"$filter": condition, **options}))
    while "@odata.nextLink" in answer:
        found += answer["value"]
        answer = ok(client.get(answer["@odata.nextLink"]))
    found += answer["value"]
    return found


def test_an_auditor_reads_who_did_what_and_that_is_on_record_once(running: RunningSite, auditor: httpx.Client) -> None:
    names = happen(running, 5, "thing:1")
    read = listed(auditor, "subject eq 'thing:1'", **{"$top": 2})
    assert [each["name"] for each in read] == names
    assert read[0] | {"id": "", "recordedDateTime": ""} == {
        "@odata.type": "#etymon.graph.auditEvent",
        "id": "",
        "recordedDateTime": "",
        "name": names[0],
        "actor": "person:x",
        "subject": "thing:1",
        "outcome": "failure",
        "source": "192.0.2.1",
        "facts": {"at": 1},
        "sequence": None,
    }
    (told,) = listed(auditor, f"name eq '{READ}'", **{"$top": 1})
    assert told["facts"] == {"subject": "thing:1", "newest": read[0]["id"]}
    assert told["source"]
    sealer.seal(
        running.site.database,
        running.site.deps.clock,
        running.site.deps.entropy,
        SoftwareSigner(keys.generate(KeyType.P256)),
    )
    (sealed,) = listed(auditor, f"subject eq 'thing:1' and name eq '{names[0]}'")
    with running.site.database.snapshot() as tx:
        assert store.sequences_of(tx, [UUID(sealed["id"])]) == {UUID(sealed["id"]): sealed["sequence"]}


def test_nobody_but_an_auditor_reads_it(running: RunningSite) -> None:
    for role in set(Role) - {Role.AUDITOR}:
        client = running.administration(running.somebody(role.value, role))
        assert code(client.get(PATH)) == (403, "role_missing"), role
    assert code(running.administration().get(PATH)) == (401, "token_missing")
    assert code(running.administration(running.somebody("nobody"), roles=["auditor"]).get(PATH)) == (
        403,
        "role_missing",
    )
    aude = running.somebody("aude", Role.AUDITOR)
    assert code(running.administration(aude, acr=DERIVED).get(PATH)) == (403, "card_required")
    assert code(running.administration(aude, roles=["operator"]).get(PATH)) == (403, "role_missing")
    assert readings(running) == 0
    assert ok(running.administration(running.somebody("both", Role.AUDITOR, Role.OPERATOR)).get(PATH))["value"]


def test_a_time_is_looked_for_from_a_moment_to_before_another(running: RunningSite, auditor: httpx.Client) -> None:
    names = happen(running, 4, "thing:2")
    times = [each["recordedDateTime"] for each in listed(auditor, "actor eq 'person:x' and subject eq 'thing:2'")]
    between = f"subject eq 'thing:2' and recordedDateTime ge {times[2]} and recordedDateTime lt {times[0]}"
    assert [each["name"] for each in listed(auditor, between)] == names[1:3]
    told = [set(each["facts"]) for each in listed(auditor, f"name eq '{READ}'")]
    assert {"subject", "since", "until", "newest"} in told


NO_FILTERS = (
    "outcome eq 'failure'",
    "actor ne 'x'",
    " and ".join(f"name ne 'test:number{n}:counted'" for n in range(21)),
    "name eq null",
    "name eq 'x' or actor eq 'y'",
    "name eq 'x' and name eq 'y'",
    "not (name eq 'x')",
    "startswith(name, 'x')",
    "recordedDateTime gt 2026-01-31T08:00:00Z",
    "recordedDateTime ge '2026-01-31'",
)
NO_NAMES = ("x" * 301, "a\x00b", "-----BEGIN PRIVATE KEY-----")
"""What no event can be called."""


def test_what_no_index_finds_is_no_filter_and_a_page_has_a_hundred_events(
    running: RunningSite, auditor: httpx.Client
) -> None:
    for condition in NO_FILTERS:
        answer = auditor.get(PATH, params={"$filter": condition})
        assert code(answer) == (400, "filter_not_supported"), condition
    for value in NO_NAMES:
        answer = auditor.get(PATH, params={"$filter": f"subject eq '{value}'"})
        assert code(answer) == (400, "filter_not_understood"), value
    for top in (0, 101, "x"):
        assert auditor.get(PATH, params={"$top": top}).status_code == 400
    for option in ("$orderby", "$skip", "$search"):
        assert code(auditor.get(PATH, params={option: "name"})) == (400, "option_not_supported")
    assert readings(running) == 0


NOT_IN_ANY_TRAIL = (
    ("name eq 'directory:role:asigned'", "event_name_unknown", "directory:role:assigned"),
    ("name ne 'directory:role:asigned'", "event_name_unknown", "directory:role:assigned"),
    ("name eq 'x'", "event_name_unknown", "context:subject:verb"),
    ("actor eq 'otto@agency.example'", "party_not_understood", "KIND:ID"),
    ("actor eq 'person:otto@agency.example'", "party_not_understood", "KIND:ID"),
    ("subject eq 'persn:1'", "party_not_understood", "kinds are account"),
    ("subject eq 'device:'", "party_not_understood", "KIND:ID"),
)


@pytest.mark.parametrize(("condition", "error", "told"), NOT_IN_ANY_TRAIL)
def test_what_no_event_can_be_called_is_no_empty_answer(
    running: RunningSite, auditor: httpx.Client, condition: str, error: str, told: str
) -> None:
    answer = auditor.get(PATH, params={"$filter": condition})
    assert code(answer) == (400, error)
    assert told in answer.json()["error"]["message"]
    assert readings(running) == 0


@pytest.mark.parametrize(
    "condition",
    ["name eq 'mdm:device:wiped'", f"actor eq '{NOBODY}'", "actor eq 'anonymous'", f"subject eq '{NOBODY[7:]}'"],
)
def test_what_could_be_there_and_is_not_is_an_empty_answer(auditor: httpx.Client, condition: str) -> None:
    assert listed(auditor, condition) == []


def test_events_of_some_names_are_left_out_of_every_page(running: RunningSite, auditor: httpx.Client) -> None:
    names = happen(running, 5, "thing:4")
    but = f"subject eq 'thing:4' and name ne '{names[0]}' and name ne '{names[2]}'"
    assert [each["name"] for each in listed(auditor, but, **{"$top": 1})] == [names[1], names[3], names[4]]
    full = ok(auditor.get(PATH, params={"$filter": but, "$top": 3}))["value"]
    assert [each["name"] for each in full] == [names[1], names[3], names[4]], (
        "what is left out takes no place of a page"
    )
    told, *_ = listed(auditor, f"name eq '{READ}'", **{"$top": 1})
    assert told["facts"]["but"] == f"{names[2]} {names[0]}"


def test_a_page_is_gone_on_from_by_its_reader_for_what_was_there(running: RunningSite, auditor: httpx.Client) -> None:
    """Otherwise one reading on record would open everything that comes after it, to anybody, unrecorded."""
    happen(running, 3, "thing:3")
    mine = {"$filter": "subject eq 'thing:3'", "$top": "1"}
    first = ok(auditor.get(PATH, params=mine))
    token = httpx.URL(first["@odata.nextLink"]).params["$skiptoken"]
    run, last = odata.parse_skiptoken(token).split("/")
    assert last == first["value"][0]["id"]
    happen(running, 1, "thing:3")
    (later,) = ok(auditor.get(PATH, params=mine))["value"]
    other = running.administration(running.somebody("otto", Role.AUDITOR))
    empty = ok(auditor.get(PATH, params={"$filter": f"subject eq '{NOBODY}'"}))["value"]
    assert empty == []
    (nothing,) = (each for each in listed(auditor, f"name eq '{READ}'") if "newest" not in each["facts"])
    before = readings(running)

    def again(client: httpx.Client, place: str, **options: str) -> httpx.Response:
        return client.get(PATH, params={**mine, **options, "$skiptoken": odata.write_skiptoken(place)})

    for client, place, options in (
        (other, f"{run}/{last}", {}),
        (auditor, f"{run}/{last}", {"$filter": "subject eq 'thing:1'"}),
        (auditor, f"{run}/{later['id']}", {}),
        (auditor, f"{run}/{uuid4()}", {}),
        (auditor, f"{uuid4()}/{last}", {}),
        (auditor, f"{last}/{last}", {}),
        (auditor, f"{nothing['id']}/{last}", {"$filter": f"subject eq '{NOBODY}'"}),
        (auditor, last, {}),
    ):
        assert code(again(client, place, **options)) == (400, "skiptoken_not_understood"), place
    assert len(ok(again(auditor, f"{run}/{last}"))["value"]) == 1
    assert readings(running) == before
