# SPDX-License-Identifier: Apache-2.0
"""The key ceremony: hierarchies of authorities as data, made in a data directory and a database.

A root certifies, publishes its first CRL, and then its key leaves: it is exported under a passphrase of its own, kept
elsewhere, and only then removed from the directory. Interrupted, a ceremony is begun again and goes on where it was.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from etymon.ca import crl, responder
from etymon.ca.authorities import NewAuthority, create_issuing, create_root
from etymon.ca.dependencies import Dependencies
from etymon.ca.model import Authority, SubjectNames
from etymon.kernel.secret import Secret
from etymon.pki.algorithms import KeyType
from etymon.pki.keys import KeyDirectory, KeyStore

DERIVED_PROFILES: Final = frozenset(
    {"derived-piv-authentication", "derived-digital-signature", "derived-key-management", "key-generation-signer"}
)
MANAGED_PROFILES: Final = frozenset({"managed-endpoint", "registration-authority"})
"""What other endpoint managers get by SCEP; nothing of it stands for a card or for a device identity of ours."""
CARD_PROFILES: Final = frozenset(
    {"piv-authentication", "card-authentication", "piv-digital-signature", "piv-key-management", "content-signing"}
)
RESPONDER: Final = frozenset({"ocsp-responder"})

_CARD_POLICIES: Final = ("piv-authentication", "card-authentication", "subscriber", "content-signing")


def deployment(organization: SubjectNames, key_type: KeyType = KeyType.P256) -> tuple[NewAuthority, ...]:
    """Return the hierarchies of a deployment, each with a root of its own: derived, device, tls, managed."""
    return (
        *_pair(
            "derived",
            "Derived Credential",
            organization,
            key_type,
            profiles=DERIVED_PROFILES,
            policies=("derived-piv-authentication", "subscriber", "key-generation-signer"),
        ),
        *_pair(
            "device",
            "Device Identity",
            organization,
            key_type,
            profiles=frozenset({"device-identity"}),
            policies=("device-identity",),
        ),
        *_pair("tls", "Server", organization, key_type, profiles=frozenset({"tls-server"}), policies=("tls-server",)),
        *_pair(
            "managed",
            "Managed Endpoint",
            organization,
            key_type,
            profiles=MANAGED_PROFILES,
            policies=("managed-endpoint", "registration-authority"),
        ),
    )


def card_issuer(organization: SubjectNames, key_type: KeyType = KeyType.P256) -> tuple[NewAuthority, ...]:
    """Return the hierarchy of an issuer of cards: root, intermediate and issuing authority."""
    root, issuing = _pair("card", "Card", organization, key_type, profiles=CARD_PROFILES, policies=_CARD_POLICIES)
    intermediate = replace(
        root,
        name="card-intermediate",
        parent=root.name,
        profile="intermediate-ca",
        subject=replace(organization, common_name="Card Intermediate CA"),
        profiles=frozenset({"issuing-ca"}),
        policies=_CARD_POLICIES,
    )
    return (
        replace(root, profiles=frozenset({"intermediate-ca"})),
        intermediate,
        replace(issuing, parent=intermediate.name),
    )


def create(
    deps: Dependencies, keys: KeyStore, hierarchy: Iterable[NewAuthority], *, actor: str
) -> tuple[Authority, ...]:
    """Make the authorities of a hierarchy, parents first, each with a CRL, and a responder where it issues to others.

    `deps.signers` finds what `keys` makes. Repeating it makes what is missing and nothing else.
    """
    made: list[Authority] = []
    for new in hierarchy:
        authority = (create_root if new.parent is None else create_issuing)(deps, keys, new, actor=actor)
        if authority.profiles >= RESPONDER:
            responder.renew(deps, keys, authority.name, actor=actor)
        crl.refresh(deps, authority.name)
        made.append(authority)
    return tuple(made)


def export_root_keys(
    keys: KeyDirectory, authorities: Collection[Authority], passphrase: Secret[bytes]
) -> Mapping[str, bytes]:
    """Return the roots' keys as encrypted PKCS #8 in PEM, by authority, to be kept away from this machine."""
    return {root.name: keys.export(root.name, passphrase) for root in authorities if root.parent is None}


def remove_root_keys(keys: KeyDirectory, authorities: Collection[Authority]) -> None:
    """Remove the roots' keys from the directory, once what `export_root_keys` returned is safe."""
    for root in authorities:
        if root.parent is None:
            keys.remove(root.name)


def _pair(
    name: str,
    title: str,
    organization: SubjectNames,
    key_type: KeyType,
    *,
    profiles: frozenset[str],
    policies: tuple[str, ...],
) -> tuple[NewAuthority, NewAuthority]:
    root = NewAuthority(
        name=f"{name}-root",
        parent=None,
        profile="root-ca",
        subject=replace(organization, common_name=f"{title} Root CA"),
        key_type=key_type,
        profiles=frozenset({"issuing-ca"}),
    )
    issuing = NewAuthority(
        name=name,
        parent=root.name,
        profile="issuing-ca",
        subject=replace(organization, common_name=f"{title} CA"),
        key_type=key_type,
        profiles=profiles | RESPONDER,
        policies=policies,
    )
    return root, issuing
