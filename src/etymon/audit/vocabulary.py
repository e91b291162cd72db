# SPDX-License-Identifier: Apache-2.0
"""What events can be called and who can be named in them: so that a slip in what is asked for is no empty answer."""

import difflib
import re
from collections.abc import Mapping
from typing import Final
from uuid import UUID

VERBS: Final[Mapping[str, str]] = {
    "audit:clock": "stepped",
    "audit:trail": "exported read",
    "ca:authority": "created revoked",
    "ca:ceremony": "performed refused",
    "ca:certificate": "planned issued abandoned hold_requested held restore_requested restored revoked refused",
    "ca:crl": "published",
    "directory:binding": "bound ended",
    "directory:binding_code": "issued redeemed refused",
    "directory:feed": "registered signed_in ended refused",
    "directory:group": "created updated removed member_added member_removed",
    "directory:identity_account": "created handed_over removed refused",
    "directory:person": "created updated ended",
    "directory:role": "assigned confirmed withdrawn",
    "directory:termination": "closed late",
    "directory:trust_entry": "saved removed",
    "escrow:key": "deposited certified released release_refused destroyed",
    "escrow:legal_hold": "placed lifted",
    "escrow:recovery": "requested approved refused expired delivered delivery_refused failed analyzed",
    "graph:request": "refused",
    "idp:account": "ended",
    "idp:binding": "refused",
    "idp:certificate": "refused",
    "idp:client": "registered removed refused",
    "idp:device_authorization": "started superseded approved denied undone refused",
    "idp:grant": "started refreshed ended refused",
    "idp:proof": "refused",
    "idp:session": "started ended",
    "idp:user_code": "refused",
    "issuer:approval": "refused",
    "issuer:attestation_authority": "saved removed",
    "issuer:card": "authenticated checked_again found_revoked found_unbound refused",
    "issuer:card_link": "moved",
    "issuer:card_session": "ended",
    "issuer:card_status": "asked swept unavailable unknown",
    "issuer:changeover": "rekeyed",
    "issuer:client": "registered signed_in ended refused",
    "issuer:credential": "authorized rekey_due rekey_authorized rekeyed issued lost ended refused",
    "issuer:derivation": "begun completed held restored expired ended refused",
    "issuer:device": "refused",
    "issuer:est_request": "refused",
    "issuer:hold": "refused",
    "issuer:incident": "opened handled",
    "issuer:invalidation": "done refused",
    "issuer:key": "judged",
    "issuer:key_history": "released refused",
    "issuer:link": "redeemed confirmed denied refused",
    "issuer:proof": "refused",
    "issuer:registration_authority": "made",
    "issuer:rekey": "refused",
    "issuer:request": "made approved refused expired ended",
    "issuer:revoked_authority": "told",
    "issuer:rule": "made changed withdrawn",
    "issuer:scep_challenge": "made refused",
    "issuer:scep_connector": "made changed withdrawn",
    "issuer:scep_ending": "refused",
    "issuer:scep_enrollment": "authorized issued ended",
    "issuer:scep_request": "refused",
    "issuer:self_recovery": "released refused",
    "issuer:undo": "refused",
    "mdm:branding": "created changed deleted",
    "mdm:command": "ordered finished",
    "mdm:configuration_profile": "created changed assigned unassigned deleted",
    "mdm:credential_issuer": "created changed deleted",
    "mdm:derived_credential": "requested invalidated",
    "mdm:device": "enrolled abandoned retiring retired wiping wiped refused",
    "mdm:enrollment": "begun completed cancelled refused",
    "mdm:enrollment_profile": "created changed deleted admission_opened admission_closed",
    "server:backup": "taken restored",
    "server:notice": "refused delayed",
    "server:process": "started",
    "server:software": "changed",
}
NAMES: Final = frozenset(f"{subject}:{verb}" for subject, verbs in VERBS.items() for verb in verbs.split())

KINDS: Final = (
    "account", "attestation_authority", "authority", "card_proof", "ceremony", "certificate", "client", "command",
    "crl", "device", "device_authorization", "door", "enrollment", "enrollment_profile", "escrowed_key", "feed",
    "grant", "group", "issuer", "legal_hold", "person", "profile", "recovery", "rule", "scep_connector", "scep_page",
    "service", "session", "trust_entry",
)  # fmt: skip
"""Kinds of actors and subjects that are written `KIND:ID`."""

PARTS: Final = frozenset(
    {
        "anonymous", "ca", "card-issuer", "card_recheck", "directory", "escrow", "init", "intune", "notice", "operator",
        "server", "system", "validation", "worker",
    }
)  # fmt: skip
"""Actors that are nobody known, or a part of the program."""

THINGS: Final = frozenset({"audit-trail", "cards", "client", "clock", "deployment", "enrollment", "feed", "serve"})
"""Subjects of which a deployment has one, or that nobody knows by more than their kind."""

_OPERATION: Final = re.compile(r"(DELETE|GET|PATCH|POST|PUT) /\S*")
"""What was refused of the administration API, with the names of its parameters."""

NEAREST: Final = 3


def nearest(name: str) -> list[str]:
    """Return the names of events that are most like this one."""
    return difflib.get_close_matches(name, sorted(NAMES), NEAREST)


def is_party(text: str) -> bool:
    """Say whether an actor or subject can be called this: `KIND:ID`, a part, a thing, an operation, or a bare id."""
    if text in PARTS | THINGS or _OPERATION.fullmatch(text):
        return True
    kind, colon, rest = text.partition(":")
    if kind == "person" or not colon:
        return _is_id(rest or kind)
    return kind in KINDS and bool(rest)


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
