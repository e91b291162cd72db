# SPDX-License-Identifier: Apache-2.0
"""Who may call the administration API: a card, a role that counts now, and the role a write needs."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from etymon.directory import roles
from etymon.directory.model import Role
from support.directory_site import ADMINISTRATOR
from support.identity_provider import DERIVED
from support.mdm_listeners import RunningSite

KRA, KRO = Role.KEY_RECOVERY_AGENT, Role.KEY_RECOVERY_OFFICIAL
READABLE = (
    "users",
    "groups",
    "deviceManagement/androidDeviceOwnerEnrollmentProfiles",
    "deviceManagement/deviceConfigurations",
    "deviceManagement/derivedCredentials",
    "deviceManagement/intuneBrandingProfiles",
    "deviceManagement/managedDevices",
    "etymon/trustEntries",
    "etymon/attestationAuthorities",
    "etymon/issuanceRules",
    "etymon/roles",
    "etymon/scepConnectors",
    "etymon/managedCertificates",
    "etymon/derivationRequests",
    "etymon/identityFeeds",
    "etymon/terminations",
    "etymon/cardStatusSources",
)


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error["message"]
    assert set(error["innerError"]) == {"date", "request-id", "client-request-id"}
    return response.status_code, error["code"], error["details"][0]["code"]


def test_without_a_token_nothing_is_shown(running: RunningSite) -> None:
    client = running.administration()
    for path in READABLE:
        answer = client.get(f"/beta/{path}")
        assert refusal(answer) == (401, "InvalidAuthenticationToken", "token_missing")
        assert answer.headers["www-authenticate"] == "Bearer"
    broken = client.get("/beta/users", headers={"Authorization": "Bearer x.y.z"})
    assert refusal(broken) == (401, "InvalidAuthenticationToken", "token_not_valid")


def test_the_log_names_nobody_who_was_asked_for(running: RunningSite) -> None:
    with capture_logs() as logged:
        running.administration().get("/beta/users/alice@agency.example")
    assert [line["path"] for line in logged if line["event"] == "request_refused"] == ["/users/{user}"]
    assert "alice" not in str(logged)


def test_a_token_must_be_of_a_card_and_for_this_api(running: RunningSite) -> None:
    admin = running.somebody("admin", Role.ADMINISTRATOR)
    cases: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
        ({"acr": DERIVED}, (403, "Authorization_RequestDenied", "card_required")),
        ({"acr": None}, (403, "Authorization_RequestDenied", "card_required")),
        ({"scope": "openid enroll"}, (403, "Authorization_RequestDenied", "scope_missing")),
        ({"audience": running.site.deps.server_url}, (401, "InvalidAuthenticationToken", "token_not_valid")),
        ({"iss": "https://elsewhere.example"}, (401, "InvalidAuthenticationToken", "token_not_valid")),
        ({"sub": str(uuid4())}, (403, "Authorization_RequestDenied", "account_ended")),
        ({"roles": None}, (403, "Authorization_RequestDenied", "role_missing")),
        ({"roles": []}, (403, "Authorization_RequestDenied", "role_missing")),
        ({"roles": ["auditor", "king"]}, (403, "Authorization_RequestDenied", "role_missing")),
    ]
    for claims, expected in cases:
        assert refusal(running.administration(admin, **claims).get("/beta/users")) == expected
    assert running.administration(admin).get("/beta/users").status_code == 200


def test_a_token_ends(running: RunningSite) -> None:
    client = running.administration(running.somebody("admin", Role.ADMINISTRATOR))
    assert client.get("/beta/users").status_code == 200
    running.site.later(timedelta(minutes=12))
    assert refusal(client.get("/beta/users"))[0] == 401


def test_a_role_that_was_withdrawn_ends_with_the_next_request(running: RunningSite) -> None:
    admin = running.somebody("admin", Role.ADMINISTRATOR)
    client = running.administration(admin)
    assert client.get("/beta/users").status_code == 200
    with running.site.database.transaction() as tx:
        roles.withdraw(
            tx, running.site.directory.deps, admin.id, Role.ADMINISTRATOR, actor=ADMINISTRATOR, authority="letter"
        )
    assert refusal(client.get("/beta/users")) == (403, "Authorization_RequestDenied", "role_missing")


def test_a_role_the_token_does_not_name_does_not_count(running: RunningSite) -> None:
    both = running.somebody("olga", Role.OFFICER, Role.OPERATOR)
    client = running.administration(both, roles=["operator"])
    assert client.get("/beta/users").status_code == 200
    assert refusal(client.put("/beta/etymon/issuanceRules/x", json={}))[0] == 403


def test_a_person_whose_account_ended_is_nobody(running: RunningSite) -> None:
    admin = running.somebody("admin", Role.ADMINISTRATOR)
    client = running.administration(admin)
    running.site.directory.end_account(admin)
    assert refusal(client.get("/beta/users"))[2] == "account_ended"


@pytest.mark.parametrize("role", list(Role))
def test_every_role_reads_everything(running: RunningSite, role: Role) -> None:
    client = running.administration(running.somebody("reader", role))
    for version in ("beta", "v1.0"):
        for path in READABLE:
            answer = client.get(f"/{version}/{path}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["@odata.context"].endswith(f"/graph/{version}/$metadata#{path}")
            assert isinstance(answer.json()["value"], list)


ID = str(uuid4())
ADMINISTRATORS_WRITE = [
    ("POST", "users"),
    ("DELETE", f"users/{ID}"),
    ("POST", f"etymon/roles/{ID}/confirm"),
    ("POST", "groups"),
    ("PATCH", f"groups/{ID}"),
    ("DELETE", f"groups/{ID}"),
    ("POST", f"groups/{ID}/members/$ref"),
    ("DELETE", f"groups/{ID}/members/{ID}/$ref"),
    ("POST", "deviceManagement/androidDeviceOwnerEnrollmentProfiles"),
    ("PATCH", f"deviceManagement/androidDeviceOwnerEnrollmentProfiles/{ID}"),
    ("DELETE", f"deviceManagement/androidDeviceOwnerEnrollmentProfiles/{ID}"),
    ("POST", f"deviceManagement/androidDeviceOwnerEnrollmentProfiles/{ID}/createToken"),
    ("POST", f"deviceManagement/androidDeviceOwnerEnrollmentProfiles/{ID}/revokeToken"),
    ("POST", "deviceManagement/deviceConfigurations"),
    ("PATCH", f"deviceManagement/deviceConfigurations/{ID}"),
    ("DELETE", f"deviceManagement/deviceConfigurations/{ID}"),
    ("POST", f"deviceManagement/deviceConfigurations/{ID}/assign"),
    ("POST", f"deviceManagement/deviceConfigurations/{ID}/assignments"),
    ("DELETE", f"deviceManagement/deviceConfigurations/{ID}/assignments/{ID}"),
    ("POST", "deviceManagement/derivedCredentials"),
    ("PATCH", f"deviceManagement/derivedCredentials/{ID}"),
    ("DELETE", f"deviceManagement/derivedCredentials/{ID}"),
    ("POST", "deviceManagement/intuneBrandingProfiles"),
    ("PATCH", f"deviceManagement/intuneBrandingProfiles/{ID}"),
    ("DELETE", f"deviceManagement/intuneBrandingProfiles/{ID}"),
    ("PUT", "etymon/trustEntries/cards"),
    ("DELETE", "etymon/trustEntries/cards"),
    ("PUT", "etymon/attestationAuthorities/x"),
    ("DELETE", "etymon/attestationAuthorities/x"),
]
OFFICERS_WRITE = [
    ("PUT", "etymon/issuanceRules/x"),
    ("DELETE", "etymon/issuanceRules/x"),
    ("PUT", "etymon/scepConnectors/x"),
    ("DELETE", "etymon/scepConnectors/x"),
    ("POST", f"etymon/managedCertificates/{ID}/end"),
    ("POST", "etymon/managedCertificates/endEnrolled"),
    ("PUT", "etymon/managementClients/x"),
    ("DELETE", "etymon/managementClients/x"),
    ("PUT", "etymon/identityFeeds/x"),
    ("DELETE", "etymon/identityFeeds/x"),
    ("POST", "etymon/cardStatusSources/check"),
    ("POST", f"etymon/derivationRequests/{ID}/approve"),
    ("POST", f"etymon/derivationRequests/{ID}/refuse"),
    ("POST", f"etymon/derivations/{ID}/end"),
    ("POST", f"etymon/derivations/{ID}/hold"),
    ("POST", f"etymon/derivations/{ID}/restore"),
    ("POST", "etymon/derivations/endAuthorized"),
    ("POST", "etymon/derivations/rekeyCertified"),
    ("POST", f"users/{ID}/endDerivations"),
]
BOTH_WRITE = [
    ("PUT", f"etymon/identityFeeds/x/accounts/{ID}"),
    ("PATCH", f"users/{ID}"),
    ("POST", f"users/{ID}/cards"),
    ("DELETE", f"users/{ID}/cards/{ID}"),
    ("POST", f"users/{ID}/issueBindingCode"),
    ("PUT", f"etymon/roles/{ID}"),
    ("POST", f"deviceManagement/managedDevices/{ID}/retire"),
    ("POST", f"deviceManagement/managedDevices/{ID}/wipe"),
]


READERS_ASK = [("POST", "etymon/scepConnectors/x/check")]

KEY_RECOVERY = [
    ({KRO}, "POST", "etymon/keyRecoveries"),
    ({KRA}, "POST", f"etymon/keyRecoveries/{ID}/approve"),
    ({KRA, KRO}, "POST", f"etymon/keyRecoveries/{ID}/refuse"),
    ({KRO}, "POST", f"etymon/keyRecoveries/{ID}/collect"),
    ({KRA, KRO, Role.OFFICER}, "POST", f"etymon/keyRecoveries/{ID}/explain"),
    ({KRO, Role.OFFICER}, "POST", "etymon/legalHolds"),
    ({KRO, Role.OFFICER}, "POST", f"etymon/legalHolds/{ID}/lift"),
]
SEEN_BY_FEW = ("etymon/keyRecoveries", "etymon/legalHolds", "users/operator@example.test/escrowedKeys")


def test_each_write_needs_its_role(running: RunningSite) -> None:
    clients = {role: running.administration(running.somebody(role.value, role)) for role in Role}
    for writes, allowed in (
        (ADMINISTRATORS_WRITE, {Role.ADMINISTRATOR}),
        (OFFICERS_WRITE, {Role.OFFICER}),
        (BOTH_WRITE, {Role.ADMINISTRATOR, Role.OFFICER}),
        (READERS_ASK, set(Role)),
    ):
        for method, path in writes:
            require(clients, method, path, allowed)
    for allowed, method, path in KEY_RECOVERY:
        require(clients, method, path, allowed)


def require(clients: Mapping[Role, httpx.Client], method: str, path: str, allowed: AbstractSet[Role]) -> None:
    for role, client in clients.items():
        answer = client.request(method, f"/beta/{path}", json={})
        is_refused = answer.status_code == 403
        assert is_refused is (role not in allowed), (method, path, role, answer.text)


def test_whose_keys_are_recovered_or_held_is_seen_by_few(running: RunningSite) -> None:
    clients = {role: running.administration(running.somebody(role.value, role)) for role in Role}
    for path in SEEN_BY_FEW:
        require(clients, "GET", path, {KRA, KRO, Role.OFFICER, Role.AUDITOR})


def test_the_list_of_writes_in_these_tests_is_complete(running: RunningSite) -> None:
    """Every operation that is not a GET stands in one of the lists above."""
    document = running.app.openapi()
    written = {
        (method.upper(), path.removeprefix("/beta/"))
        for path, operations in document["paths"].items()
        for method in operations
        if path.startswith("/beta/") and method != "get"
    }
    usual = (*ADMINISTRATORS_WRITE, *OFFICERS_WRITE, *BOTH_WRITE, *READERS_ASK)
    known = {*usual, *((method, path) for _, method, path in KEY_RECOVERY)}
    offered = {(method, shape(path, is_parameter=lambda part: part.startswith("{"))) for method, path in written}
    assert offered == {(method, named(path)) for method, path in known}


def shape(path: str, *, is_parameter: Callable[[str], bool]) -> str:
    return "/".join("*" if at and is_parameter(part) else part for at, part in enumerate(path.split("/")))


def named(path: str) -> str:
    names = {ID, "cards", "x"} if path.startswith("etymon/") else {ID}
    return shape(path, is_parameter=lambda part: part in names)


def test_a_framework_refusal_has_graphs_form_too(running: RunningSite) -> None:
    client = running.administration(running.somebody("admin", Role.ADMINISTRATOR))
    assert refusal(client.get("/beta/nothing"))[:2] == (404, "ResourceNotFound")
    assert refusal(client.get("/v2.0/users"))[:2] == (404, "ResourceNotFound")
    assert refusal(client.put("/beta/users", json={}))[:2] == (405, "MethodNotAllowed")
    assert refusal(client.post("/beta/users", content=b"{"))[:2] == (400, "BadRequest")
    assert refusal(client.post("/beta/users", content=b"[" * 100_000))[:2] == (400, "BadRequest")
    assert refusal(client.get("/beta/groups/not-an-id"))[:2] == (400, "BadRequest")
    large = client.post("/beta/users", content=b" " * (1024 * 1024 + 1))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "RequestEntityTooLarge")

    def endless() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    large = client.post("/beta/users", content=endless())
    assert (large.status_code, large.json()["error"]["code"]) == (413, "RequestEntityTooLarge")


def test_a_request_id_of_the_client_is_echoed_when_it_is_harmless(running: RunningSite) -> None:
    client = running.administration()
    mine = str(uuid4())
    inner = client.get("/beta/users", headers={"client-request-id": mine}).json()["error"]["innerError"]
    assert inner["client-request-id"] == mine
    assert inner["request-id"] != mine
    long = client.get("/beta/users", headers={"client-request-id": "x" * 65}).json()["error"]["innerError"]
    assert long["client-request-id"] == long["request-id"]
