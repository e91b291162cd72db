# SPDX-License-Identifier: Apache-2.0
"""Reads an organisation's file. Whatever is wrong with it is told with its place and with what to write instead."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from etymon.kernel.errors import EtymonError, Malformed
from etymon.server.apply import wanted, yaml_source
from etymon.server.apply.document import OrganizationDocument
from etymon.server.apply.resource import Kind, Organization, Resource
from etymon.server.apply.yaml_source import Source

MOST_FAULTS: Final = 20
SECTIONS: Final[Mapping[Kind, str]] = {
    Kind.TRUST_ENTRY: "trust_entries",
    Kind.ATTESTATION_AUTHORITY: "attestation_authorities",
    Kind.USER: "users",
    Kind.GROUP: "groups",
    Kind.BRANDING: "branding",
    Kind.ISSUER: "derived_credential",
    Kind.ENROLLMENT_PROFILE: "enrollment_profiles",
    Kind.CONFIGURATION: "configurations",
    Kind.ISSUANCE_RULE: "issuance_rules",
    Kind.CONNECTOR: "connectors",
}


def read(file: Path) -> Organization:
    """Return what the file wants; paths in it are relative to it. Raises Malformed."""
    source = yaml_source.read(file)
    try:
        document = OrganizationDocument.model_validate(source.value)
    except ValidationError as exc:
        raise Malformed("organization_file", "\n".join(_told(source, exc.errors()))) from exc
    sections = {kind: _section(source, document, kind) for kind, field in SECTIONS.items() if document.says(field)}
    return Organization(document.organization, sections)


def _section(source: Source, document: OrganizationDocument, kind: Kind) -> tuple[Resource, ...]:
    field = SECTIONS[kind]
    value = getattr(document, field)
    name = OrganizationDocument.model_fields[field].alias or field
    parts = value if isinstance(value, tuple) else () if value is None else (value,)
    found: dict[tuple[Kind, str], Resource] = {}
    for number, part in enumerate(parts):
        place = source.place((name, number) if isinstance(value, tuple) else (name,))
        try:
            resource = wanted.resource(part, document, source.file.parent)
        except EtymonError as error:
            raise Malformed("organization_file", f"{place}: {error.detail}") from error
        if resource.reference.key in found:
            raise Malformed("organization_file", f"{place}: the {kind.value} {resource.name} is described twice.")
        found[resource.reference.key] = resource
    return tuple(found.values())


def _told(source: Source, faults: Sequence[Any]) -> list[str]:
    lines = []
    for fault in faults[:MOST_FAULTS]:
        location = _location(fault["loc"])
        lines.append(f"{source.place(location)}: {_advice(fault, location)}")
    if len(faults) > MOST_FAULTS:
        lines.append(f"… and {len(faults) - MOST_FAULTS} more faults.")
    return lines


def _location(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return the place in the file; the library adds which type of configuration it took."""
    if len(location) > 2 and location[0] == "configurations":
        return location[:2] + location[3:]
    return location


def _advice(fault: Any, location: Sequence[str | int]) -> str:  # noqa: PLR0911 - one sentence a fault
    context: Mapping[str, Any] = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "this is missing. Write it."
        case "extra_forbidden":
            return f"nothing called {location[-1]} belongs here. Remove it, or look for a slip of the pen."
        case "string_type":
            return "write text here; a number or a word such as yes stands in quotes."
        case "tuple_type" | "list_type":
            return "write a list here, each item on a line that begins with a dash, or [] for none."
        case "literal_error":
            return f"write one of {context.get('expected', '')}."
        case "union_tag_invalid" | "union_tag_not_found":
            return "write its type: one of trustedRoot, derivedCredential, wifi and email."
        case "model_type" | "model_attributes_type":
            return "write names and values here, such as name: value."
        case _:
            return f"{str(fault['msg']).removeprefix('Value error, ')}."
