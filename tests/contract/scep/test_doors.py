# SPDX-License-Identifier: Apache-2.0
"""What the issuer's doors refuse, a use case having seen it or not: in the protocol's form, and once in the trail."""

import asyncio
import base64
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.applications import Starlette

from etymon.audit.model import Outcome
from etymon.audit.refusals import MOST_OF_ONE
from etymon.issuer.http import device_routes, site_routes
from etymon.wire import est, scep
from support import patience
from support.scep_site import SCEPSite, fresh_address

FLEET, EST, DEVICE_EST = "/scep/fleet", "/.well-known/est/fleet", "/.well-known/est/authentication"
REDEEM, WAIT = "/issuer/link/v1/redeem", "/issuer/link/v1/authorization"
UNDO = f"/issuer/undo/{uuid.UUID(int=1)}"
PKCS10 = {"Content-Type": est.PKCS10}
LET_IN = {**PKCS10, "Authorization": "Basic " + base64.b64encode(b":0123").decode()}
AUTHORIZED = {**PKCS10, "Authorization": "Bearer abc"}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://issuer.test:8443"}
CONNECTOR = "scep_connector:fleet"


@dataclass(frozen=True)
class Sent:
    """What is sent where, and what comes of it."""

    door: str
    method: str
    address: str
    status: int
    code: str
    event: str
    subject: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.address[:50]} {self.code}"


def to_est(
    at: str, address: str, status: int, code: str, subject: str, headers: Mapping[str, str], body: bytes = b"MAA="
) -> Sent:
    return Sent(at, "POST", address, status, code, "issuer:est_request:refused", subject, headers, body)


def to_scep(method: str, query: str, status: int, code: str, body: bytes = b"", at: str = FLEET) -> Sent:
    subject = CONNECTOR if at == FLEET else "door:/scep/{connector}"
    return Sent("site", method, f"{at}?{query}", status, code, "issuer:scep_request:refused", subject, body=body)


def to_links(address: str, status: int, code: str, body: bytes) -> Sent:
    return Sent("device", "POST", address, status, code, "issuer:link:refused", f"door:{address}", JSON, body)


def to_keys(method: str, address: str, status: int, code: str, body: bytes) -> Sent:
    return Sent("site", method, address, status, code, "issuer:self_recovery:refused", f"door:{address}", FORM, body)


def to_holders(address: str, event: str, status: int, code: str, body: bytes, method: str = "POST") -> Sent:
    return Sent("device", method, address, status, code, event, f"door:{address}", JSON, body)


LONG = bytes(est.REQUEST_LIMIT_BYTES + 1)
LARGE = b'{"version":1,"pad":"' + b"a" * 70_000 + b'"}'
LARGE_FORM = b"key=all&password=1&seal=" + b"a" * 70_000
ENROLLING, RENEWING = (f"door:/.well-known/est/{{label}}/{it}" for it in ("simpleenroll", "simplereenroll"))
MESSAGE = "operation=PKIOperation"

DOORS = [
    to_est("site", f"{EST}/simpleenroll", 413, "body_too_large", CONNECTOR, LET_IN, LONG),
    to_est("site", f"{EST}/simpleenroll", 401, "challenge_missing", CONNECTOR, PKCS10),
    to_est("site", f"{EST}/simpleenroll", 400, "wrong_media_type", CONNECTOR, {**LET_IN, **JSON}),
    to_est("site", f"{EST}/serverkeygen", 404, "operation_unknown", CONNECTOR, LET_IN),
    to_est(
        "site",
        "/.well-known/est/nobody/simpleenroll",
        404,
        "label_unknown",
        ENROLLING,
        LET_IN,
        b"0",
    ),
    to_est("device", f"{EST}/simplereenroll", 413, "body_too_large", CONNECTOR, PKCS10, LONG),
    to_est("device", f"{EST}/simplereenroll", 401, "certificate_required", CONNECTOR, PKCS10),
    to_est("device", f"{DEVICE_EST}/simpleenroll", 413, "body_too_large", ENROLLING, AUTHORIZED, LONG),
    to_est("device", f"{DEVICE_EST}/simpleenroll", 400, "wrong_media_type", ENROLLING, JSON),
    to_est(
        "device",
        f"{DEVICE_EST}/simpleenroll",
        401,
        "authorization_unknown",
        ENROLLING,
        PKCS10,
    ),
    to_est(
        "device",
        f"{DEVICE_EST}/simpleenroll",
        403,
        "link_proof_wrong",
        ENROLLING,
        {**AUTHORIZED, "Link-Proof": "!!"},
    ),
    to_est(
        "device",
        f"{DEVICE_EST}/simplereenroll",
        401,
        "derived_credential_required",
        RENEWING,
        PKCS10,
    ),
    to_est("site", f"{EST}/simpleenroll", 401, "challenge_wrong", CONNECTOR, LET_IN),
    Sent(
        "device",
        "POST",
        f"{DEVICE_EST}/simpleenroll",
        401,
        "authorization_unknown",
        "issuer:credential:refused",
        "derivation",
        {**AUTHORIZED, "Link-Proof": "MAA="},
        b"MAA=",
    ),
    to_scep("GET", f"{MESSAGE}&message=" + "A" * 16_400, 413, "message_too_large"),
    to_scep("GET", f"{MESSAGE}&message=!!", 400, "not_base64"),
    to_scep("GET", "operation=GetNextCACert", 404, "operation_unknown"),
    to_scep("POST", MESSAGE, 413, "body_too_large", bytes(scep.MESSAGE_LIMIT_BYTES + 1)),
    to_scep("POST", MESSAGE, 413, "body_too_large", bytes(99_000)),
    to_scep("POST", MESSAGE, 400, "message_missing"),
    to_scep("POST", MESSAGE, 404, "scep_connector_unknown", b"0", at="/scep/nobody"),
    to_links(REDEEM, 413, "body_too_large", LARGE),
    to_links(REDEEM, 400, "unsupported_version", b'{"version":9}'),
    to_links(REDEEM, 400, "malformed", b"{"),
    to_links(WAIT, 413, "body_too_large", LARGE),
    to_links(WAIT, 400, "malformed", b"{"),
    to_holders("/issuer/rekey/v1/confirmation", "issuer:rekey:refused", 413, "body_too_large", LARGE),
    to_holders("/issuer/attestation/v1/challenge", "issuer:rekey:refused", 401, "derived_credential_required", b"{}"),
    to_holders("/issuer/key-history/v1", "issuer:key_history:refused", 413, "body_too_large", LARGE),
    to_holders("/issuer/key-history/v1", "issuer:key_history:refused", 401, "derived_credential_required", b"", "GET"),
    to_keys("GET", "/issuer/keys", 413, "body_too_large", LARGE_FORM),
    to_keys("POST", "/issuer/keys/password", 413, "body_too_large", LARGE_FORM),
    to_keys("POST", "/issuer/keys/file", 413, "body_too_large", LARGE_FORM),
    *(
        Sent(
            "site",
            method,
            UNDO,
            404,
            "derivation_unknown",
            "issuer:undo:refused",
            "door:/issuer/undo/{undo}",
            {"Origin": "https://issuer.test:8443"},
        )
        for method in ("GET", "POST")
    ),
    Sent(
        "site",
        "GET",
        "/certsrv/mscep_admin",
        401,
        "page_password_missing",
        "issuer:scep_challenge:refused",
        "door:/certsrv/mscep_admin",
    ),
]


@pytest.fixture(scope="module")
def applications(shared: SCEPSite) -> Mapping[str, Starlette]:
    return {"site": Starlette(routes=site_routes(shared.deps)), "device": Starlette(routes=device_routes(shared.deps))}


@pytest.mark.parametrize("sent", DOORS, ids=str)
def test_what_a_door_refuses_is_recorded_once(
    shared: SCEPSite, applications: Mapping[str, Starlette], sent: Sent
) -> None:
    source, before = fresh_address(), shared.kept()
    answer = asyncio.run(_sent(applications[sent.door], sent, source))
    codes = re.findall(r'(?:urn:etymon:problem:|data-code=")(\w+)', answer.text)
    assert (answer.status_code, answer.headers.get("error-code") or codes[0]) == (sent.status, sent.code)
    patience.until(lambda: any(event.source == source for event in shared.events()), "it is recorded")
    (event,) = [event for event in shared.events() if event.source == source]
    assert (event.name, event.subject, event.facts["code"]) == (sent.event, sent.subject, sent.code)
    assert (event.actor, event.outcome) == ("anonymous", Outcome.FAILURE)
    assert shared.kept() == before


def test_junk_at_a_door_leaves_room_for_what_is_refused_behind_it(
    shared: SCEPSite, applications: Mapping[str, Starlette]
) -> None:
    """The two have one name and one source: what nobody read must not be why a wrong challenge is not on record."""
    source = fresh_address()
    junk = to_est("site", f"{EST}/simpleenroll", 400, "wrong_media_type", CONNECTOR, {**LET_IN, **JSON})
    wrong = to_est("site", f"{EST}/simpleenroll", 401, "challenge_wrong", CONNECTOR, LET_IN)
    for _ in range(MOST_OF_ONE + 1):
        assert asyncio.run(_sent(applications["site"], junk, source)).status_code == junk.status
    assert asyncio.run(_sent(applications["site"], wrong, source)).status_code == wrong.status
    events = [event for event in shared.events() if event.source == source]
    assert {event.name for event in events} == {junk.event}
    codes = Counter(event.facts["code"] for event in events)
    assert codes == {"wrong_media_type": MOST_OF_ONE, "challenge_wrong": 1}


async def _sent(application: Starlette, sent: Sent, source: str) -> httpx.Response:
    transport = httpx.ASGITransport(application, client=(source, 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://issuer.test:8443") as client:
        return await client.request(sent.method, sent.address, content=sent.body, headers=dict(sent.headers))
