# SPDX-License-Identifier: Apache-2.0
"""What ceremonies do to the authorities of an issuer's site: the next one, and the end of one."""

from dataclasses import replace

from etymon.ca import authorities, ceremony
from etymon.ca.model import RevocationReason, SubjectNames
from etymon.issuer import revoked_authorities
from support.issuer_site import IssuerSite


def issue_from_a_successor(site: IssuerSite) -> None:
    """Make the next authority for derived credentials, and let it be the one that issues."""
    (like,) = [new for new in ceremony.deployment(SubjectNames(organization="Agency")) if new.name == "derived"]
    second = replace(like, name="derived-2", subject=replace(like.subject, common_name="Derived Credential CA 2"))
    ceremony.create(site.ca.deps, site.ca.keys, [second], actor="ceremony")
    site.deps = replace(site.deps, authority="derived-2")


def revoke(site: IssuerSite, name: str, reason: RevocationReason = RevocationReason.CA_COMPROMISE) -> None:
    """Have an authority revoked by its root."""
    with site.database.transaction() as tx:
        authorities.revoke(tx, site.ca.deps, name, reason, actor="ceremony")
        revoked_authorities.was_revoked(tx, site.deps, name)
