# SPDX-License-Identifier: Apache-2.0
"""The faces of the identity provider, as routes for the site and the certauth listener."""

from starlette.routing import BaseRoute

from etymon.idp.dependencies import Dependencies
from etymon.idp.http import authorize, binding, device, oauth, session, undo
from etymon.idp.http.site import Site


def site_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the site listener."""
    site = Site.of(deps)
    return [
        *oauth.routes(site),
        *authorize.routes(site),
        *session.routes(site),
        *device.routes(site),
        *binding.routes(site),
        *undo.routes(site),
        *site.pages.static_routes(),
    ]


def certauth_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return the routes of the certauth listener."""
    return Site.of(deps).certauth_routes()
