# SPDX-License-Identifier: Apache-2.0
"""Configuration profiles: from their short forms in the file."""

from pathlib import Path

from etymon.kernel.errors import Malformed
from etymon.server.apply import named_files
from etymon.server.apply.document import (
    ALL_DEVICES,
    ALL_USERS,
    Assigned,
    DerivedCredentialDocument,
    EmailDocument,
    TrustedRootDocument,
    WiFiDocument,
)
from etymon.server.apply.resource import Joined, Kind, LeftOut, Link, Reference, Resource, Value


def resource(part: Assigned, folder: Path) -> Resource:
    """Return a configuration with its type, settings and assignments; raises Malformed."""
    kind, settings = _settings(part, folder)
    properties = {"name": part.name, "description": part.description, **settings}
    return Resource(Kind.CONFIGURATION, part.name, properties, fixed={"type": kind}, links=_links(part))


def _settings(part: Assigned, folder: Path) -> tuple[str, dict[str, Value]]:
    match part:
        case TrustedRootDocument():
            file = folder / part.certificate
            certificate = named_files.certificate_value(named_files.certificate(file))
            return part.type, {"certificate": certificate, "fileName": file.name}
        case DerivedCredentialDocument():
            return part.type, {"apps": tuple(sorted(set(part.apps)))}
        case WiFiDocument():
            roots = sorted({Reference(Kind.CONFIGURATION, name) for name in part.trusted_roots}, key=lambda r: r.key[1])
            return part.type, {
                "ssid": part.ssid,
                "networkName": part.network_name or part.ssid,
                "serverNames": tuple(sorted(set(part.server_names))),
                "trustedRoots": tuple(roots),
                "outerIdentity": part.outer_identity,
                "connectAutomatically": part.connect_automatically,
                "hidden": part.hidden,
            }
        case EmailDocument():
            return part.type, {
                "accountName": part.account_name,
                "host": part.host,
                "addressSource": part.address_source,
                "signing": part.signing,
                "encryption": part.encryption,
                "signByDefault": part.sign_by_default,
                "encryptByDefault": part.encrypt_by_default,
            }
        case _:
            message = f"no configuration is described by {type(part).__name__}"
            raise TypeError(message)


def _links(part: Assigned) -> dict[Link, frozenset[Joined]]:
    for name in part.except_:
        if name.casefold() in {ALL_USERS, ALL_DEVICES}:
            raise Malformed("organization_file", f"Nobody would be left: except names {name}. Name groups.")
    if not part.says("assigned_to"):
        if part.except_:
            raise Malformed("organization_file", "Write assignedTo beside except: all users, all devices or groups.")
        return {}
    included = (Reference(Kind.GROUP, name) for name in part.assigned_to)
    left_out = (LeftOut(Reference(Kind.GROUP, name)) for name in part.except_)
    return {Link.ASSIGNED_TO: frozenset((*included, *left_out))}
