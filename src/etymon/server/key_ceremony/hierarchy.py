# SPDX-License-Identifier: Apache-2.0
"""Which authorities a script makes, and whose roots it brings back."""

from dataclasses import replace

from etymon.ca import ceremony
from etymon.ca.authorities import NewAuthority
from etymon.ca.model import SubjectNames
from etymon.server.key_ceremony.script import Kind, Script


def hierarchy_of(script: Script) -> tuple[NewAuthority, ...]:
    """Return the authorities that a script makes, parents first."""
    organization = SubjectNames(organization=str(script.configuration["organization"]))
    usual = {new.name: new for new in ceremony.deployment(organization, script.key_type)}
    if script.kind in {Kind.ORGANIZATION, Kind.HIERARCHY}:
        return tuple(usual[name] for name in script.authorities)
    (name,) = script.authorities
    hierarchy, _, number = name.partition("-")
    like = usual[hierarchy]
    subject = replace(like.subject, common_name=f"{like.subject.common_name} {number}")
    return (replace(like, name=name, subject=subject),)


def roots_of(script: Script) -> tuple[str, ...]:
    """Return the roots of a later script whose keys it takes and whose lists it touches."""
    if script.kind is Kind.ROOT_LISTS:
        return script.authorities
    return (f"{script.authorities[-1].split('-')[0]}-root",)
