# SPDX-License-Identifier: Apache-2.0
"""The issuer's faces, as route lists for the listeners of a deployment."""

from functools import partial

from starlette.routing import BaseRoute

from etymon.issuer import card_authentication
from etymon.issuer.dependencies import SERVICE, Dependencies
from etymon.issuer.http import (
    attestation,
    challenge_page,
    confirmation,
    connector_est,
    ending,
    est,
    key_history,
    link,
    management,
    scep,
    scep_management,
    self_recovery,
    undo,
)
from etymon.issuer.http.self_service import SelfService
from etymon.issuer.model import SESSION_ABSOLUTE, SESSION_IDLE
from etymon.web.pages import Pages
from etymon.web.sessions import Sessions


def site_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return what the site listener serves: pages, discovery, the management API, SCEP and EST of connectors."""
    sessions = _sessions(deps)
    pages = Pages("etymon.issuer", deps.branding, sessions, deps.translations, (deps.certauth_url,))
    self_service = SelfService(deps, pages, sessions, card_authentication.hand_off(deps))
    return [
        *link.site_routes(deps),
        *management.site_routes(deps),
        *scep_management.site_routes(deps),
        *challenge_page.site_routes(deps),
        *scep.routes(deps),
        *connector_est.site_routes(deps),
        *undo.site_routes(deps, pages),
        *self_service.routes(),
        *ending.site_routes(self_service),
        *self_recovery.site_routes(self_service),
        *pages.static_routes(),
    ]


def certauth_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return what the certauth listener serves: the proof of a card."""
    pages = Pages("etymon.issuer", deps.branding, translations=deps.translations)
    return card_authentication.hand_off(deps).certauth_routes(
        partial(card_authentication.open_to_read, deps),
        partial(card_authentication.open_to_write, deps),
        partial(card_authentication.judge, deps),
        pages,
        proxies=deps.proxies,
    )


def device_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return what the device listener serves: linking, EST, what comes with a rekey, the key history."""
    return [
        *link.device_routes(deps),
        *est.device_routes(deps),
        *confirmation.device_routes(deps),
        *attestation.device_routes(deps),
        *key_history.device_routes(deps),
    ]


def status_routes(deps: Dependencies) -> list[BaseRoute]:
    """Return what the status listener serves: SCEP."""
    return scep.routes(deps)


def _sessions(deps: Dependencies) -> Sessions:
    return Sessions(SERVICE, deps.digest_key, deps.clock, deps.entropy, idle=SESSION_IDLE, absolute=SESSION_ABSOLUTE)
