# SPDX-License-Identifier: Apache-2.0
"""Whatever organisation is applied, from whatever there was before: a second look finds nothing to do."""

from typing import Any

from hypothesis import HealthCheck, given, settings

from etymon.server.apply.applying import Outcome
from support.operator import Operator
from support.organizations import organizations


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(organization=organizations())
def test_what_was_applied_is_there(administrator: Operator, officer: Operator, organization: dict[str, Any]) -> None:
    for prune in (False, True):
        administrator.apply(organization, prune=prune)
        assert officer.apply(organization, prune=prune) is Outcome.AS_WANTED
        for operator in (administrator, officer):
            assert operator.plan(organization, prune=prune).changes == ()
        assert administrator.apply(organization, prune=prune, check=True) is Outcome.AS_WANTED
        assert "Nothing to do" in administrator.shown
