# SPDX-License-Identifier: Apache-2.0
"""Certificate policies: which OIDs name what, which are others' to grant, and which a deployment mints.

Source: Common Policy CP v2.8 §1.2, FBCA CP v3.5 §1.2. An organisation mints what it owns: an arc of its own, or OIDs of
somebody else's that it says it was authorized to assert.
"""

import enum
from collections.abc import Collection, Iterator, Mapping
from typing import Final

EXAMPLE_ARC: Final = "2.999.1"

_FEDERAL: Final = "2.16.840.1.101.3.2.1.3"
_FEDERAL_TEST: Final = "2.16.840.1.101.3.2.1.48"
_DEFENSE: Final = "2.16.840.1.101.2.1.11"
_EXTERNAL: Final = "2.16.840.1.101.3.2.1.12"

RESERVED_ARCS: Final[Mapping[str, str]] = {
    "2.16.840.1.101": "the United States Government",
    "1.3.6.1.5.5.7": "the PKIX standards",
    "2.5.29": "the X.509 standard",
}
"""Arcs below which nobody mints without having been authorized, and whose they are. The first holds the Common Policy,
the bridge, the Department of Defense, External Certification Authorities and the federal test policies."""

FEDERAL_POLICY_OIDS: Final[Mapping[str, str]] = {
    "subscriber": f"{_FEDERAL}.6",
    "piv-authentication": f"{_FEDERAL}.13",
    "card-authentication": f"{_FEDERAL}.17",
    "content-signing": f"{_FEDERAL}.39",
    "derived-piv-authentication": f"{_FEDERAL}.40",
    "derived-piv-authentication-hardware": f"{_FEDERAL}.41",
    "piv-i-authentication": f"{_FEDERAL}.45",
    "piv-i-card-authentication": f"{_FEDERAL}.46",
    "piv-i-content-signing": f"{_FEDERAL}.47",
    "device-identity": f"{_FEDERAL}.8",
    "tls-server": f"{_FEDERAL}.8",
    "key-generation-signer": f"{_FEDERAL}.8",
    "managed-endpoint": f"{_FEDERAL}.8",
    "registration-authority": f"{_FEDERAL}.8",
}
"""Policy names to the Common Policy's OIDs. Software keys: `.7` and `.36` are what hardware is given."""

EXAMPLE_POLICY_OIDS: Final[Mapping[str, str]] = {
    "subscriber": "2.999.1.6",
    "piv-authentication": "2.999.1.13",
    "card-authentication": "2.999.1.17",
    "content-signing": "2.999.1.39",
    "derived-piv-authentication": "2.999.1.40",
    "derived-piv-authentication-hardware": "2.999.1.41",
    "piv-i-authentication": "2.999.1.45",
    "piv-i-card-authentication": "2.999.1.46",
    "piv-i-content-signing": "2.999.1.47",
    "device-identity": "2.999.1.101",
    "tls-server": "2.999.1.102",
    "key-generation-signer": "2.999.1.103",
    "managed-endpoint": "2.999.1.104",
    "registration-authority": "2.999.1.105",
}
"""Policies under the arc for examples (X.660); last arcs follow the Common Policy where it has a counterpart."""

DEPLOYMENT_POLICIES: Final = frozenset(
    {
        "subscriber",
        "derived-piv-authentication",
        "device-identity",
        "tls-server",
        "key-generation-signer",
        "managed-endpoint",
        "registration-authority",
    }
)
"""The policies that a deployment's own authorities pass on (ca/ceremony.py); an issuer of cards has others. None claims
hardware: phones' keys count as software, whatever their attestation says of a key store that nobody validated."""

_HARDWARE: Final = "derived-piv-authentication-hardware"

_ALTERNATIVES: Final[Mapping[str, tuple[str, ...]]] = {
    "subscriber": (f"{_FEDERAL}.7", f"{_FEDERAL}.16"),
    "derived-piv-authentication": (f"{_FEDERAL}.41", "2.999.1.41"),
    "piv-i-authentication": (f"{_FEDERAL}.18",),
    "piv-i-card-authentication": (f"{_FEDERAL}.19",),
    "piv-i-content-signing": (f"{_FEDERAL}.20",),
    "device-identity": (f"{_FEDERAL}.36", f"{_FEDERAL}.37", f"{_FEDERAL}.38"),
    "tls-server": (f"{_FEDERAL}.36", f"{_FEDERAL}.37", f"{_FEDERAL}.38"),
}
"""Further OIDs that say the same in somebody else's certificate: hardware, high, and the bridge's own."""

_SOFTWARE_ALTERNATIVES: Final = frozenset({f"{_FEDERAL}.37"})
"""Of the alternatives, the one of keys in software: the bridge's for devices."""

HARDWARE_POLICIES: Final = frozenset(
    {
        EXAMPLE_POLICY_OIDS[_HARDWARE],
        *(oid for name, oid in FEDERAL_POLICY_OIDS.items() if name not in DEPLOYMENT_POLICIES),
        *frozenset(oid for oids in _ALTERNATIVES.values() for oid in oids) - _SOFTWARE_ALTERNATIVES,
        *(f"{_FEDERAL}.{arc}" for arc in (4, 12, 15)),
        *(f"{_FEDERAL_TEST}.{arc}" for arc in (9, 11, 12, 13, 78, 79, 83, 84, 98, 110)),
        *(f"{_DEFENSE}.{arc}" for arc in (9, 10, 19, 20, 42, 43, 44)),
        *(f"{_EXTERNAL}.{arc}" for arc in (2, 3, 5, 6, 7, 10)),
    }
)
"""Policies of keys in validated hardware, a card's among them: Common Policy, bridge, their test arc, Department of
Defense, External Certification Authorities. Most also ask that a biometric identified the person, in person."""

_PIV_I: Final = frozenset({"piv-i-authentication", "piv-i-card-authentication", "piv-i-content-signing"})


class PolicyFamily(enum.StrEnum):
    """Where a deployment's policy OIDs come from."""

    OWN = "own"
    """All of them from the organisation's arc."""
    PIV_I = "piv-i"
    """The PIV-I ones from the Common Policy, the others from the organisation's arc."""
    FEDERAL = "federal"
    """All of them from the Common Policy."""


def policy_oids(family: PolicyFamily, arc: str, overrides: Mapping[str, str]) -> Mapping[str, str]:
    """Return policy names to OIDs: the family's, or the organisation's own choice by name."""
    own = {name: arc + oid.removeprefix(EXAMPLE_ARC) for name, oid in EXAMPLE_POLICY_OIDS.items()}
    federal = {
        name: oid
        for name, oid in FEDERAL_POLICY_OIDS.items()
        if family is PolicyFamily.FEDERAL or (family is PolicyFamily.PIV_I and name in _PIV_I)
    }
    return {**own, **federal, **overrides}


def faults(minted: Mapping[str, str], chosen: Collection[str], authorized: Collection[str]) -> Iterator[str]:
    """Tell of names that no policy has, and of OIDs that are another's to grant and that nobody granted.

    Each begins with the setting to change. `chosen` are the names whose OIDs the organisation chose one by one.
    """
    for name in sorted(set(chosen) - EXAMPLE_POLICY_OIDS.keys()):
        yield f"policy_oids: there is no policy called {name}; there are {', '.join(EXAMPLE_POLICY_OIDS)}"
    for name in sorted(DEPLOYMENT_POLICIES.union(chosen) & minted.keys()):
        owners = [owner for arc, owner in RESERVED_ARCS.items() if is_below(minted[name], arc)]
        if owners and minted[name] not in authorized:
            yield (
                f"authorized_policies: {minted[name]} for {name} is a policy of {owners[0]}; list it there if you were "
                "authorized to assert it, or mint below an arc of your own"
            )
    for name in sorted(DEPLOYMENT_POLICIES & minted.keys()):
        if minted[name] in HARDWARE_POLICIES or minted[name] == minted.get(_HARDWARE):
            yield (
                f"policy_oids: {minted[name]} for {name} is a policy of keys in validated hardware, and of people whom "
                "a biometric identified in person; nothing here establishes either, so nobody is authorized to assert "
                "it here. Choose a policy of software keys"
            )
    if _HARDWARE in chosen:
        yield f"policy_oids: nothing is issued under {_HARDWARE}, so there is nothing to choose for it"


def recognised(name: str) -> frozenset[str]:
    """Return the OIDs that say in anybody's certificate what the policy called `name` says: federal and example."""
    return frozenset({FEDERAL_POLICY_OIDS[name], EXAMPLE_POLICY_OIDS[name], *_ALTERNATIVES.get(name, ())})


def is_federal(oid: str) -> bool:
    """Say whether an OID is one of the Common Policy, the bridge, or their test arc."""
    return is_below(oid, _FEDERAL) or is_below(oid, _FEDERAL_TEST)


def is_below(oid: str, arc: str) -> bool:
    """Say whether `oid` is `arc` or below it."""
    return oid == arc or oid.startswith(f"{arc}.")
