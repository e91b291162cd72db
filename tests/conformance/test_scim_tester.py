# SPDX-License-Identifier: Apache-2.0
"""scim2-tester, a compliance checker of the Yaal project, against our SCIM server: it follows our schemas.

What a schema has no word for, the form of a userName and the names of trust entries, it is given as examples.
"""

import uuid
from pathlib import Path
from typing import Any

import httpx
from scim2_client.client import BaseSyncSCIMClient
from scim2_models import ResourceType, Schema, ScimProvider, ServiceProviderConfig
from scim2_tester import Status, check_server

from etymon.kernel.entropy import Entropy
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.identity_feed import CORE, PIV, FeedProgram, FeedSite

DIVERGENCES = {
    "PATCH modify() did not remove attribute 'displayName'",
    "Failed to remove attribute 'active': active cannot be removed.",
}
"""docs/protocols/scim.md: a person has a name, is here or is not, and nothing ends because it is left out."""


ONLY_ADDRESS = "PATCH modify() returned unexpected value for 'emails'"
"""By chance the checker says of the only address that it is not the primary one. Beside that, what it was told it may
only read, the extension, it tries to change."""


class Client(BaseSyncSCIMClient):
    """The checker's client over an HTTP client of ours, so that it speaks TLS with the site as a feed does."""

    def __init__(self, feed: FeedProgram) -> None:
        super().__init__()
        self._feed = feed

    def _stays_under_base_url(self, endpoint: str) -> bool:
        return "//" not in endpoint or endpoint.startswith(f"{self._feed.site.deps.site_url}/scim/v2")

    def _parse_json(self, response: Any) -> Any:
        return response.json()

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        path = url.removeprefix(self._feed.site.deps.site_url).removeprefix("/scim/v2")
        headers = {**options.pop("headers", {}), **self._feed.bearer()}
        return self._feed.http.request(method, f"/scim/v2/{path.lstrip('/')}", headers=headers, **options)


def test_a_compliance_checker_finds_nothing_wrong(
    sqlite_databases: SQLiteDatabases, clock: TurnedClock, entropy: Entropy, tmp_path: Path
) -> None:
    with FeedSite(sqlite_databases.migrated(), clock, entropy, tmp_path).running() as site:
        feed = site.feed()
        said = check_server(Client(feed), include_tags={"discovery", "misc"})
        client = Client(feed)
        client.provider = without_cards(feed)
        model = client.get_resource_model("User")
        assert model is not None
        model.model_fields["user_name"].examples = [f"{uuid.uuid4()}@agency.example" for _ in range(1000)]
        model.model_fields["active"].examples = [True]
        done = check_server(client, include_tags={"crud", "patch"})
    wrong = {str(result.reason) for result in [*said, *done] if result.status is not Status.SUCCESS}
    chance = {reason for reason in wrong if PIV in reason or reason.startswith(ONLY_ADDRESS)}
    assert wrong - chance - {"Skipped due to tag filtering"} == DIVERGENCES
    passed = {result.title for result in [*said, *done] if result.status is Status.SUCCESS}
    assert {"object_creation", "object_replacement", "object_deletion", "check_add_attribute", "random_url"} <= passed
    assert len(passed) > 15


def without_cards(feed: FeedProgram) -> ScimProvider:
    """Return the server as it says it is, but the extension only read: random cards mean nothing."""
    piv = feed.send("GET", f"/Schemas/{PIV}").json()
    for attribute in piv["attributes"]:
        for one in (attribute, *attribute.get("subAttributes", ())):
            one["mutability"] = "readOnly"
    schemas = [Schema.model_validate(one) for one in (feed.send("GET", f"/Schemas/{CORE}").json(), piv)]
    user = ResourceType.model_validate(feed.send("GET", "/ResourceTypes/User").json())
    configuration = ServiceProviderConfig.model_validate(feed.send("GET", "/ServiceProviderConfig").json())
    return ScimProvider.from_discovery(schemas, [user], configuration)
