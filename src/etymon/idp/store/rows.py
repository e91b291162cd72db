# SPDX-License-Identifier: Apache-2.0
"""Values that several tables keep in the same columns."""

from typing import Any

import sqlalchemy as sa

from etymon.idp.model import SignIn


def scopes_text(scopes: frozenset[str]) -> str:
    """Return scopes as one text, in order (RFC 6749 §3.3)."""
    return " ".join(sorted(scopes))


def scopes_of(text: str) -> frozenset[str]:
    """Return the scopes of a text."""
    return frozenset(text.split())


def sign_in_values(sign_in: SignIn) -> dict[str, Any]:
    """Return the columns of a sign-in."""
    return {
        "person_id": sign_in.person,
        "acr": sign_in.acr,
        "signed_in_at": sign_in.at,
        "trust_entry": sign_in.trust_entry,
        "identifier": sign_in.identifier,
        "proof_id": sign_in.proof,
    }


def sign_in_of(row: sa.Row[Any]) -> SignIn:
    """Return the sign-in of a row that has its columns."""
    return SignIn(row.person_id, row.acr, row.signed_in_at, row.trust_entry, row.identifier, row.proof_id)
