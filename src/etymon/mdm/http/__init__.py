# SPDX-License-Identifier: Apache-2.0
"""The endpoint manager's faces: enrollment at the site listener, check-in at the device listener."""

from starlette.routing import BaseRoute

from etymon.mdm.dependencies import Dependencies
from etymon.mdm.http import check_in, enrollment


def site_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the site listener."""
    return enrollment.routes(deps)


def device_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the device listener."""
    return check_in.routes(deps)
