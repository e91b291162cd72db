# SPDX-License-Identifier: Apache-2.0
"""Tables of the identity provider. Bearer values are kept as keyed digests only."""

import sqlalchemy as sa

from etymon.idp.model import ClientAuthentication, DeviceAuthorizationKind, DeviceState, ProofState
from etymon.storage.schema import UTCDateTime, metadata

DIGEST = sa.LargeBinary(32)


def _one_of(
    column: str, values: type[ClientAuthentication | DeviceAuthorizationKind | DeviceState | ProofState]
) -> str:
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


clients = sa.Table(
    "idp_clients",
    metadata,
    sa.Column("id", sa.String(200), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("redirect_uris", sa.JSON, nullable=False),
    sa.Column("scopes", sa.String(1000), nullable=False),
    sa.Column("authentication", sa.String(20), nullable=False),
    sa.Column("keys", sa.JSON, nullable=False),
    sa.Column("device_authorization", sa.String(20), nullable=False),
    sa.Column("assertion_issuer", sa.String(500), nullable=False),
    sa.Column("assertion_keys", sa.JSON, nullable=False),
    sa.CheckConstraint(_one_of("authentication", ClientAuthentication), name="authentication"),
    sa.CheckConstraint(_one_of("device_authorization", DeviceAuthorizationKind), name="device_authorization"),
)

sessions = sa.Table(
    "idp_sessions",
    metadata,
    sa.Column("digest", DIGEST, primary_key=True),
    sa.Column("id", sa.Uuid, nullable=False, unique=True),
    sa.Column("person_id", sa.Uuid, nullable=False),
    sa.Column("started_at", UTCDateTime, nullable=False),
    sa.Column("seen_at", UTCDateTime, nullable=False),
    sa.Column("ends_at", UTCDateTime, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Index("ix_idp_sessions_person_id", "person_id"),
    sa.Index("ix_idp_sessions_ends_at", "ends_at"),
)

proofs = sa.Table(
    "idp_certificate_proofs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("purpose", sa.String(100), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("cookie_digest", DIGEST, nullable=False),
    sa.Column("continue_at", sa.Text, nullable=False),
    sa.Column("back_at", sa.Text, nullable=False),
    sa.Column("form_targets", sa.JSON, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Column("code_digest", DIGEST, nullable=True, unique=True),
    sa.Column("code_expires_at", UTCDateTime, nullable=True),
    sa.Column("acr", sa.String(100), nullable=True),
    sa.Column("trust_entry", sa.String(60), nullable=True),
    sa.Column("identifier", sa.String(500), nullable=True),
    sa.Column("person_id", sa.Uuid, nullable=True),
    sa.Column("validated_at", UTCDateTime, nullable=True),
    sa.Column("evidence", sa.JSON, nullable=True),
    sa.Column("redeemed_by", sa.String(64), nullable=True),
    sa.Column("redeemed_at", UTCDateTime, nullable=True),
    sa.CheckConstraint(_one_of("state", ProofState), name="state"),
    sa.CheckConstraint("state = 'asked' OR evidence IS NOT NULL", name="proved_has_evidence"),
    sa.Index("ix_idp_certificate_proofs_state_expires_at", "state", "expires_at"),
)

device_authorizations = sa.Table(
    "idp_device_authorizations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("device_code_digest", DIGEST, nullable=False, unique=True),
    sa.Column("user_code_digest", DIGEST, nullable=False, unique=True),
    sa.Column("client_id", sa.String(200), nullable=False),
    sa.Column("scopes", sa.String(1000), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("started_at", UTCDateTime, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Column("interval_seconds", sa.Integer, nullable=False),
    sa.Column("next_poll_at", UTCDateTime, nullable=False),
    sa.Column("enrollment_session", sa.String(100), nullable=True),
    sa.Column("live_enrollment_session", sa.String(100), nullable=True, unique=True),
    sa.Column("device", sa.JSON, nullable=True),
    sa.Column("entered_by", sa.String(64), nullable=True),
    sa.Column("undo_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("decided_at", UTCDateTime, nullable=True),
    sa.Column("person_id", sa.Uuid, nullable=True),
    sa.Column("acr", sa.String(100), nullable=True),
    sa.Column("signed_in_at", UTCDateTime, nullable=True),
    sa.Column("trust_entry", sa.String(60), nullable=True),
    sa.Column("identifier", sa.String(500), nullable=True),
    sa.Column("proof_id", sa.Uuid, nullable=True),
    sa.CheckConstraint(_one_of("state", DeviceState), name="state"),
    sa.CheckConstraint("state NOT IN ('approved', 'used') OR proof_id IS NOT NULL", name="approved_has_proof"),
    sa.Index("ix_idp_device_authorizations_person_id", "person_id"),
    sa.Index("ix_idp_device_authorizations_expires_at", "expires_at"),
)

authorization_codes = sa.Table(
    "idp_authorization_codes",
    metadata,
    sa.Column("digest", DIGEST, primary_key=True),
    sa.Column("used", sa.Boolean, nullable=False),
    sa.Column("client_id", sa.String(200), nullable=False),
    sa.Column("redirect_uri", sa.Text, nullable=False),
    sa.Column("scopes", sa.String(1000), nullable=False),
    sa.Column("code_challenge", sa.String(128), nullable=False),
    sa.Column("nonce", sa.Text, nullable=True),
    sa.Column("person_id", sa.Uuid, nullable=False),
    sa.Column("acr", sa.String(100), nullable=False),
    sa.Column("signed_in_at", UTCDateTime, nullable=False),
    sa.Column("trust_entry", sa.String(60), nullable=False),
    sa.Column("identifier", sa.String(500), nullable=False),
    sa.Column("proof_id", sa.Uuid, nullable=False),
    sa.Column("grant_id", sa.Uuid, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Index("ix_idp_authorization_codes_person_id", "person_id"),
    sa.Index("ix_idp_authorization_codes_expires_at", "expires_at"),
)

grants = sa.Table(
    "idp_grants",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("client_id", sa.String(200), nullable=False),
    sa.Column("scopes", sa.String(1000), nullable=False),
    sa.Column("person_id", sa.Uuid, nullable=False),
    sa.Column("acr", sa.String(100), nullable=False),
    sa.Column("signed_in_at", UTCDateTime, nullable=False),
    sa.Column("trust_entry", sa.String(60), nullable=False),
    sa.Column("identifier", sa.String(500), nullable=False),
    sa.Column("proof_id", sa.Uuid, nullable=False),
    sa.Column("started_at", UTCDateTime, nullable=False),
    sa.Column("ends_at", UTCDateTime, nullable=False),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    sa.Column("device_authorization_id", sa.Uuid, nullable=True, unique=True),
    sa.Column("enrollment_session", sa.String(100), nullable=True),
    sa.Index("ix_idp_grants_person_id", "person_id"),
    sa.Index("ix_idp_grants_ends_at", "ends_at"),
)

refresh_tokens = sa.Table(
    "idp_refresh_tokens",
    metadata,
    sa.Column("digest", DIGEST, primary_key=True),
    sa.Column("grant_id", sa.Uuid, sa.ForeignKey("idp_grants.id", ondelete="CASCADE"), nullable=False),
    sa.Column("used", sa.Boolean, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Index("ix_idp_refresh_tokens_grant_id", "grant_id"),
)

assertion_ids = sa.Table(
    "idp_assertion_ids",
    metadata,
    sa.Column("client_id", sa.String(200), primary_key=True),
    sa.Column("jti", sa.String(200), primary_key=True),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Index("ix_idp_assertion_ids_expires_at", "expires_at"),
)

counters = sa.Table(
    "idp_counters",
    metadata,
    sa.Column("key", sa.String(300), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("ends_at", UTCDateTime, nullable=False),
    sa.Index("ix_idp_counters_ends_at", "ends_at"),
)
