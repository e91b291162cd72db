# SPDX-License-Identifier: Apache-2.0
"""What of a plan the site would refuse half-way: found before anything is written, and all of it at once."""

from collections.abc import Iterator

from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotFound, Unavailable
from etymon.server.apply.administration_api import NOT_OFFERED, AdministrationAPI
from etymon.server.apply.change import Create, Plan, Replace, Update
from etymon.server.apply.entities import BODIES, path_of
from etymon.server.apply.entities_management import PASSWORD_MISSING
from etymon.server.apply.names import Names
from etymon.server.apply.resource import Kind, Resource
from etymon.wire.enrollment_qr import SECURITY_TYPES, SetupNetwork


def require(api: AdministrationAPI, plan: Plan, names: Names) -> None:
    """Refuse a plan with a part that cannot be done: `Malformed` `plan_impossible`, a line for each."""
    faults = [
        f"{wanted.kind.value} {wanted.name}: {fault.detail or fault.code} ({fault.code})"
        for change in plan.changes
        if isinstance(change, Create | Update | Replace)
        for wanted in [change.wanted]
        for fault in _faults(api, wanted, change.present if isinstance(change, Update) else None, names)
    ]
    if faults:
        raise Malformed("plan_impossible", "\n".join(["This cannot be done, and nothing was changed:", *faults]))


def _faults(api: AdministrationAPI, wanted: Resource, present: Resource | None, names: Names) -> Iterator[EtymonError]:
    try:
        match wanted.kind:
            case Kind.CONNECTOR:
                body = BODIES[wanted.kind](wanted, (), names)
                api.post(f"{path_of(wanted.kind, wanted.name)}/check", body)
            case Kind.ENROLLMENT_PROFILE:
                _require_network(wanted, present)
    except (Malformed, NotFound, Conflict, Unavailable) as fault:
        if fault.code == NOT_OFFERED:  # an older site cannot be asked; it tells when it is written
            return
        if isinstance(fault, Unavailable):
            raise
        yield fault


def _require_network(wanted: Resource, present: Resource | None) -> None:
    """Refuse a network of a new phone that has not the password it needs; a present one keeps the one it has."""
    ssid, security = str(wanted.properties["wifi.ssid"]), str(wanted.properties["wifi.security"]).upper()
    password = wanted.secrets.get("wifi.password") if security != "NONE" else None
    kept = present.properties["wifi.security"] if present is not None and present.properties["wifi.ssid"] else "none"
    if ssid and password is None and security != "NONE":
        if kept in ("none", PASSWORD_MISSING):
            raise Malformed("wifi_password_missing", "Its Wi-Fi needs a password. Name its file as passwordFile.")
    elif ssid:
        SetupNetwork(ssid, next(known for known in SECURITY_TYPES if known == security), password)
