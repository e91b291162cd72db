# SPDX-License-Identifier: Apache-2.0
"""The administration API as an ASGI application, to be mounted at `/graph`."""

from typing import Final

from fastapi import APIRouter, FastAPI

from etymon.graph.dependencies import Dependencies
from etymon.graph.http import (
    attestation,
    audit_events,
    branding,
    derivations,
    derived_credentials,
    device_configurations,
    enrollment_profiles,
    errors,
    groups,
    identity,
    key_recoveries,
    managed_certificates,
    managed_devices,
    scep,
    trust,
    users,
)
from etymon.graph.http.body_limit import BodyLimit

VERSIONS: Final = ("beta", "v1.0")


def create_app(deps: Dependencies) -> FastAPI:
    """Return the application; the same resources under `/beta` and `/v1.0`."""
    app = FastAPI(
        title="Etymon administration API",
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    app.state.deps = deps
    errors.add_handlers(app, deps)
    app.add_middleware(BodyLimit)
    resources = APIRouter()
    for module in (
        users,
        groups,
        enrollment_profiles,
        device_configurations,
        derivations,
        derived_credentials,
        branding,
        managed_devices,
        trust,
        attestation,
        scep,
        managed_certificates,
        identity,
        key_recoveries,
        audit_events,
    ):
        resources.include_router(module.router)
    for version in VERSIONS:
        app.include_router(resources, prefix=f"/{version}", responses=errors.RESPONSES)
    return app
