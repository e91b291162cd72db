# SPDX-License-Identifier: Apache-2.0
"""What the SCIM face says of itself: its configuration, its resource type and its schemas (RFC 7643 §5 to §7)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from etymon.directory.identity_accounts import PAGE_LIMIT
from etymon.directory.model import BindingEnd, TerminationReason
from etymon.wire.scim import CORE

PIV: Final = "urn:etymon:params:scim:schemas:extension:piv:1.0:User"
IN_USE: Final = "active"
ACTIVE: Final = "active"
TERMINATED: Final = "terminated"

Document = dict[str, Any]


def configuration(root: str) -> Document:
    """Return what is supported (RFC 7643 §5, RFC 9865 §4)."""
    off = {"supported": False}
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": True},
        "bulk": {**off, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": PAGE_LIMIT},
        "changePassword": off,
        "sort": off,
        "etag": {"supported": True},
        "pagination": {
            "cursor": True,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": PAGE_LIMIT,
            "maxPageSize": PAGE_LIMIT,
        },
        "authenticationSchemes": [
            {
                "type": "oauthbearertoken",
                "name": "OAuth bearer token",
                "description": "Client credentials with private_key_jwt at /scim/oauth/token, scope scim.",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": True,
            }
        ],
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{root}/ServiceProviderConfig"},
    }


def resource_type(root: str) -> Document:
    """Return the one resource type there is."""
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": "User",
        "name": "User",
        "endpoint": "/Users",
        "description": "PIV identity accounts of this feed.",
        "schema": CORE,
        "schemaExtensions": [{"schema": PIV, "required": False}],
        "meta": {"resourceType": "ResourceType", "location": f"{root}/ResourceTypes/User"},
    }


def schemas(root: str) -> Mapping[str, Document]:
    """Return both schemas by their URN."""
    user = _schema(root, CORE, "User", "User account", USER_ATTRIBUTES)
    piv = _schema(
        root, PIV, "PIV identity account", "The cards of a person, and whether the person belongs here", PIV_ATTRIBUTES
    )
    return {CORE: user, PIV: piv}


def _schema(root: str, id_: str, name: str, description: str, attributes: Sequence[Document]) -> Document:
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": id_,
        "name": name,
        "description": description,
        "attributes": list(attributes),
        "meta": {"resourceType": "Schema", "location": f"{root}/Schemas/{id_}"},
    }


def _attribute(name: str, description: str, kind: str = "string", **more: Any) -> Document:
    exact = {"caseExact": False, "uniqueness": "none"} if kind == "string" else {}
    return {
        "name": name,
        "type": kind,
        "multiValued": False,
        "description": description,
        "required": False,
        "mutability": "readWrite",
        "returned": "default",
        **exact,
        **more,
    }


USER_ATTRIBUTES: Final = (
    _attribute("userName", "User principal name: name@organization.", required=True, uniqueness="server"),
    _attribute("displayName", "Name for people; the userName where it is absent."),
    _attribute("active", "False ends the account, for good.", "boolean"),
    _attribute(
        "emails",
        "Mail addresses; the primary one goes into certificates. Notices go to all.",
        "complex",
        multiValued=True,
        subAttributes=[
            _attribute("value", "The address.", uniqueness="server"),
            _attribute("type", "Always work.", canonicalValues=["work"]),
            _attribute("primary", "One of them.", "boolean"),
        ],
    ),
)
PIV_ATTRIBUTES: Final = (
    _attribute("accountStatus", "Whether the person belongs here.", canonicalValues=[ACTIVE, TERMINATED]),
    _attribute(
        "terminationReason",
        "Why the account ended; goes with accountStatus terminated.",
        caseExact=True,
        canonicalValues=[reason.value for reason in TerminationReason],
    ),
    _attribute("terminatedAt", "When that was told.", "dateTime", mutability="readOnly"),
    _attribute("dueAt", "By when every credential is revoked and published.", "dateTime", mutability="readOnly"),
    _attribute("closedAt", "When that was so.", "dateTime", mutability="readOnly"),
    _attribute(
        "cards",
        "Cards. One that is not named stays as it is.",
        "complex",
        multiValued=True,
        subAttributes=[
            _attribute("trustEntry", "Name of the trust entry that takes the card.", caseExact=True),
            _attribute("identifier", "What the entry reads from the card's certificate.", caseExact=True),
            _attribute(
                "state",
                "active, or why the card is in use no more.",
                canonicalValues=[IN_USE, *(end.value for end in BindingEnd)],
            ),
            _attribute(
                "replaces",
                "Identifier of the card of this person whose place it takes.",
                mutability="writeOnly",
                returned="never",
            ),
            _attribute(
                "replacesTrustEntry", "Its trust entry, if another one.", mutability="writeOnly", returned="never"
            ),
            _attribute("boundAt", "Since when.", "dateTime", mutability="readOnly"),
            _attribute("endedAt", "Until when.", "dateTime", mutability="readOnly"),
        ],
    ),
)
