# SPDX-License-Identifier: Apache-2.0
"""An outside judge (Schemathesis) calls every operation of the administration API with what its description allows.

It looks for failures on our side, statuses and media types that are not described, and errors not in Graph's form.
"""

import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import given
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from etymon.directory.model import Role
from support.clock import TurnedClock
from support.databases import SQLiteDatabases
from support.graph_answers import configurations
from support.identity_provider import StandInProvider
from support.mdm_listeners import AUTHORITIES, RunningSite
from support.mdm_site import MDMSite
from support.tls_files import certificates_pem

EXAMPLES = 8
OFFICERS = re.compile("issuanceRules|scepConnectors|managementClients")
CHECKS: Any = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, sqlite_databases: SQLiteDatabases) -> Iterator[RunningSite]:
    directory = tmp_path_factory.mktemp("site")
    database = sqlite_databases.migrated()
    with StandInProvider(directory).running() as provider:
        site = MDMSite(database, TurnedClock(), directory, provider, authorities=AUTHORITIES)
        with RunningSite(site, directory).running() as running:
            yield running
    database.close()


@pytest.fixture(scope="module")
def tokens(running: RunningSite) -> dict[Role, str]:
    return {
        role: running.administration_token(running.somebody(role.value, role))
        for role in (Role.ADMINISTRATOR, Role.OFFICER)
    }


@pytest.fixture(scope="module")
def anchor(running: RunningSite) -> str:
    file = running.directory / "anchor.pem"
    file.write_text(certificates_pem([running.tls.certificate]))
    return str(file)


@pytest.fixture(scope="module")
def api(running: RunningSite, tokens: dict[Role, str]) -> Any:
    """The API's own description, with an organisation behind it in which there is something to find."""
    admin = running.administration()
    admin.headers["Authorization"] = f"Bearer {tokens[Role.ADMINISTRATOR]}"
    configurations(admin)
    running.site.phone(running.site.directory.person())
    document = running.app.openapi()
    document["paths"] = {path: item for path, item in document["paths"].items() if path.startswith("/beta/")}
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=running.graph.url)
    return schema


def test_every_operation_answers_as_it_is_described(api: Any, tokens: dict[Role, str], anchor: str) -> None:
    tried = 0
    for found in api.get_all_operations():
        operation = found.ok()
        role = Role.OFFICER if OFFICERS.search(operation.path) else Role.ADMINISTRATOR
        try_out(operation, {"Authorization": f"Bearer {tokens[role]}"}, anchor)
        tried += 1
    assert tried == sum(len(item) for item in api.raw_schema["paths"].values())


def try_out(operation: Any, headers: dict[str, str], anchor: str) -> None:
    @given(case=operation.as_strategy())
    @hypothesis.settings(max_examples=EXAMPLES, suppress_health_check=list(hypothesis.HealthCheck))
    def answers(case: Any) -> None:
        hypothesis.assume("%0A" not in case.formatted_path.upper())  # a path with a line end does not reach a mount
        case.call_and_validate(checks=CHECKS, headers=headers, verify=anchor)

    answers()
