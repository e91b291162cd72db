# SPDX-License-Identifier: Apache-2.0
"""Tables of the issuer. What happens once has a state that one guarded UPDATE moves."""

import enum
from typing import Final

import sqlalchemy as sa

from etymon.issuer.model import (
    Approval,
    Attestation,
    CardLinkState,
    CredentialState,
    DerivationState,
    EndReason,
    Purpose,
)
from etymon.issuer.request import RequestState
from etymon.storage.schema import UTCDateTime, metadata


def one_of(column: str, values: type[enum.StrEnum], *, name: str) -> sa.CheckConstraint:
    """Return the constraint that a column holds one of the values of an enum."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=name)


issuance_rules: Final = sa.Table(
    "issuer_issuance_rules",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("group_ids", sa.JSON, nullable=False),
    sa.Column("managed_devices_only", sa.Boolean, nullable=False),
    sa.Column("purposes", sa.JSON, nullable=False),
    sa.Column("lifetime_seconds", sa.Integer, nullable=False),
    sa.Column("key_types", sa.JSON, nullable=False),
    sa.Column("encryption_key_type", sa.String(20), nullable=False),
    sa.Column("most_derivations", sa.Integer, nullable=False),
    sa.Column("instructions_url", sa.String(500), nullable=False),
    sa.Column("created_by", sa.Uuid, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("withdrawn_at", UTCDateTime, nullable=True),
    sa.Column("link_password", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("approval", sa.String(20), nullable=False, server_default=Approval.BLANKET.value),
    sa.Column("device_models", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("key_history", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("attestation", sa.String(20), nullable=False, server_default=Attestation.RECORDED.value),
    sa.Column("attestation_level", sa.String(30), nullable=False, server_default="trusted_environment"),
    sa.Column("verified_boot", sa.Boolean, nullable=False, server_default=sa.true()),
)
sa.Index(
    "uq_issuer_issuance_rules_name_in_force",
    issuance_rules.c.name,
    unique=True,
    sqlite_where=issuance_rules.c.withdrawn_at.is_(None),
    postgresql_where=issuance_rules.c.withdrawn_at.is_(None),
)

card_proofs: Final = sa.Table(
    "issuer_card_proofs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_id", sa.Uuid, nullable=False),
    sa.Column("trust_entry", sa.String(60), nullable=False),
    sa.Column("identifier", sa.String(320), nullable=False),
    sa.Column("certificates", sa.JSON, nullable=False),
    sa.Column("policies", sa.JSON, nullable=False),
    sa.Column("proved_at", UTCDateTime, nullable=False, index=True),
)

status_evidence: Final = sa.Table(
    "issuer_status_evidence",
    metadata,
    sa.Column("proof_id", sa.Uuid, sa.ForeignKey("issuer_card_proofs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("url", sa.String(2000), nullable=False),
    sa.Column("this_update", UTCDateTime, nullable=True),
    sa.Column("octets", sa.LargeBinary, nullable=False),
)

proof_requests: Final = sa.Table(
    "issuer_proof_requests",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("purpose", sa.String(60), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("cookie_digest", sa.LargeBinary, nullable=False),
    sa.Column("continue_at", sa.String(500), nullable=False),
    sa.Column("back_at", sa.String(500), nullable=False),
    sa.Column("form_targets", sa.JSON, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True),
    sa.Column("code_digest", sa.LargeBinary, nullable=True, unique=True),
    sa.Column("code_expires_at", UTCDateTime, nullable=True),
    sa.Column("proof_id", sa.Uuid, sa.ForeignKey("issuer_card_proofs.id"), nullable=True),
    sa.CheckConstraint("state IN ('asked', 'proved', 'redeemed')", name="state"),
)

sessions: Final = sa.Table(
    "issuer_sessions",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("id", sa.Uuid, nullable=False, unique=True),
    sa.Column("person_id", sa.Uuid, nullable=False, index=True),
    sa.Column("started_at", UTCDateTime, nullable=False),
    sa.Column("seen_at", UTCDateTime, nullable=False),
    sa.Column("ends_at", UTCDateTime, nullable=False, index=True),
    sa.Column("facts", sa.JSON, nullable=False),
)

UNDECIDED_OR_UNUSED: Final = sa.text("state IN ('requested', 'approved')")

requests: Final = sa.Table(
    "issuer_requests",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("person_id", sa.Uuid, nullable=False),
    sa.Column("rule_id", sa.Uuid, sa.ForeignKey("issuer_issuance_rules.id"), nullable=False),
    sa.Column("proof_id", sa.Uuid, sa.ForeignKey("issuer_card_proofs.id"), nullable=False),
    sa.Column("requested_at", UTCDateTime, nullable=False),
    sa.Column("requested_from", sa.String(100), nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Column("decided_by", sa.Uuid, nullable=True),
    sa.Column("decided_at", UTCDateTime, nullable=True),
    sa.Column("decision_reason", sa.String(500), nullable=False),
    one_of("state", RequestState, name="state"),
    sa.CheckConstraint(
        "state NOT IN ('approved', 'used', 'refused') OR "
        "(decided_by IS NOT NULL AND decided_at IS NOT NULL AND decided_by <> person_id)",
        name="decided_by_another",
    ),
    sa.Index("ix_issuer_requests_state_expires_at", "state", "expires_at"),
    sa.Index("ix_issuer_requests_person_id", "person_id"),
    sa.Index("ix_issuer_requests_proof_id", "proof_id"),
    sa.Index("ix_issuer_requests_decided_by", "decided_by"),
)
sa.Index(
    "uq_issuer_requests_person_id_rule_id_waiting",
    requests.c.person_id,
    requests.c.rule_id,
    unique=True,
    sqlite_where=UNDECIDED_OR_UNUSED,
    postgresql_where=UNDECIDED_OR_UNUSED,
)

derivations: Final = sa.Table(
    "issuer_derivations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("person_id", sa.Uuid, nullable=False, index=True),
    sa.Column("rule_id", sa.Uuid, sa.ForeignKey("issuer_issuance_rules.id"), nullable=False),
    sa.Column("proof_id", sa.Uuid, sa.ForeignKey("issuer_card_proofs.id"), nullable=False),
    sa.Column("session_id", sa.Uuid, nullable=False),
    sa.Column("purposes", sa.JSON, nullable=False),
    sa.Column("duties_version", sa.String(20), nullable=False),
    sa.Column("begun_at", UTCDateTime, nullable=False),
    sa.Column("begun_from", sa.String(100), nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False),
    sa.Column("undo_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("secret_digest", sa.LargeBinary, nullable=False),
    sa.Column("wrong_secrets", sa.Integer, nullable=False),
    sa.Column("device_trust_entry", sa.String(60), nullable=True),
    sa.Column("device_thumbprint", sa.LargeBinary, nullable=True),
    sa.Column("device_certificate", sa.LargeBinary, nullable=True),
    sa.Column("device_description", sa.JSON, nullable=True),
    sa.Column("link_key", sa.LargeBinary, nullable=True),
    sa.Column("link_key_thumbprint", sa.LargeBinary, nullable=True),
    sa.Column("digits", sa.String(6), nullable=True),
    sa.Column("redeemed_at", UTCDateTime, nullable=True),
    sa.Column("redeemed_from", sa.String(100), nullable=True),
    sa.Column("confirmed_at", UTCDateTime, nullable=True),
    sa.Column("authorization_digest", sa.LargeBinary, nullable=True, unique=True),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    sa.Column("end_reason", sa.String(40), nullable=True),
    sa.Column("asks_password", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("request_id", sa.Uuid, nullable=True),
    one_of("state", DerivationState, name="state"),
    one_of("end_reason", EndReason, name="end_reason"),
    sa.CheckConstraint(
        "state NOT IN ('redeemed', 'confirmed', 'issuing', 'completed') OR "
        "(link_key IS NOT NULL AND digits IS NOT NULL AND redeemed_at IS NOT NULL)",
        name="redeemed_has_key",
    ),
    sa.CheckConstraint(
        "state NOT IN ('confirmed', 'issuing', 'completed') OR "
        "(confirmed_at IS NOT NULL AND authorization_digest IS NOT NULL)",
        name="confirmed_has_authorization",
    ),
    sa.Index("ix_issuer_derivations_state_expires_at", "state", "expires_at"),
    sa.Index("ix_issuer_derivations_device_thumbprint", "device_thumbprint"),
)

authorizations: Final = sa.Table(
    "issuer_authorizations",
    metadata,
    sa.Column("derivation_id", sa.Uuid, sa.ForeignKey("issuer_derivations.id"), primary_key=True),
    sa.Column("purpose", sa.String(20), primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("request_digest", sa.LargeBinary, nullable=True),
    sa.Column("used_at", UTCDateTime, nullable=True),
    one_of("purpose", Purpose, name="purpose"),
    sa.CheckConstraint("state IN ('open', 'used')", name="state"),
    sa.CheckConstraint("state = 'open' OR request_digest IS NOT NULL", name="used_has_request"),
)

FIRST: Final = sa.text("replaces_id IS NULL")
ACTIVE: Final = sa.text("state = 'active'")
HELD: Final = sa.text("state = 'held'")
LIVED: Final = sa.text("state <> 'ended' OR issued_at IS NOT NULL")
"""Conditions of partial indexes. Queries repeat them word for word: a bound value would not use the index."""

credentials: Final = sa.Table(
    "issuer_credentials",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("derivation_id", sa.Uuid, sa.ForeignKey("issuer_derivations.id"), nullable=False),
    sa.Column("purpose", sa.String(20), nullable=False),
    sa.Column("person_id", sa.Uuid, nullable=False),
    sa.Column("device_trust_entry", sa.String(60), nullable=True),
    sa.Column("device_thumbprint", sa.LargeBinary, nullable=True),
    sa.Column("certificate_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("escrowed_key_id", sa.Uuid, nullable=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("planned_at", UTCDateTime, nullable=False),
    sa.Column("serial_number", sa.String(40), nullable=True),
    sa.Column("thumbprint", sa.LargeBinary, nullable=True),
    sa.Column("not_before", UTCDateTime, nullable=True),
    sa.Column("not_after", UTCDateTime, nullable=True),
    sa.Column("issued_at", UTCDateTime, nullable=True),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    sa.Column("end_reason", sa.String(40), nullable=True),
    sa.Column("replaces_id", sa.Uuid, sa.ForeignKey("issuer_credentials.id"), nullable=True),
    sa.Column("request_digest", sa.LargeBinary, nullable=True),
    sa.Column("rekey_from", UTCDateTime, nullable=True),
    sa.Column("rule_id", sa.Uuid, nullable=True),
    sa.Column("held_until", UTCDateTime, nullable=True),
    sa.Column("held_by", sa.Uuid, nullable=True),
    sa.CheckConstraint("replaces_id IS NULL OR request_digest IS NOT NULL", name="rekey_has_request"),
    one_of("purpose", Purpose, name="purpose"),
    one_of("state", CredentialState, name="state"),
    one_of("end_reason", EndReason, name="end_reason"),
    sa.CheckConstraint("state NOT IN ('active', 'held') OR serial_number IS NOT NULL", name="active_has_serial_number"),
    sa.CheckConstraint("(state = 'held') = (held_until IS NOT NULL)", name="held_has_until"),
    sa.CheckConstraint("(held_until IS NULL) = (held_by IS NULL)", name="held_has_holder"),
    sa.CheckConstraint("state <> 'ended' OR ended_at IS NOT NULL", name="ended_has_time"),
    sa.Index("ix_issuer_credentials_person_id_id", "person_id", "id"),
    sa.Index("ix_issuer_credentials_device_thumbprint_id", "device_thumbprint", "id"),
    sa.Index("ix_issuer_credentials_thumbprint", "thumbprint"),
)
sa.Index(
    "uq_issuer_credentials_derivation_id_purpose_first",
    credentials.c.derivation_id,
    credentials.c.purpose,
    unique=True,
    sqlite_where=FIRST,
    postgresql_where=FIRST,
)
sa.Index(
    "uq_issuer_credentials_replaces_id_lived",
    credentials.c.replaces_id,
    unique=True,
    sqlite_where=LIVED,
    postgresql_where=LIVED,
)
"""A certificate is replaced once; a plan that was given up before it was signed replaced nothing."""
sa.Index("ix_issuer_credentials_derivation_id_purpose", credentials.c.derivation_id, credentials.c.purpose)
sa.Index(
    "ix_issuer_credentials_rekey_from_id_active",
    credentials.c.rekey_from,
    credentials.c.id,
    sqlite_where=ACTIVE,
    postgresql_where=ACTIVE,
)
sa.Index("ix_issuer_credentials_held", credentials.c.held_until, sqlite_where=HELD, postgresql_where=HELD)

restorations: Final = sa.Table(
    "issuer_restorations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("derivation_id", sa.Uuid, sa.ForeignKey("issuer_derivations.id"), nullable=False, index=True),
    sa.Column("restored_by", sa.Uuid, nullable=False),
    sa.Column("restored_at", UTCDateTime, nullable=False),
    sa.Column("proof_id", sa.Uuid, sa.ForeignKey("issuer_card_proofs.id"), nullable=True, index=True),
    sa.Column("evidence", sa.String(500), nullable=False),
    sa.CheckConstraint("proof_id IS NOT NULL OR evidence <> ''", name="has_evidence"),
)
"""How the identity of a cardholder was established anew before a hold was lifted (Common Policy 4.9.15)."""

self_recoveries: Final = sa.Table(
    "issuer_self_recoveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_id", sa.Uuid, nullable=False),
    sa.Column("proof_id", sa.Uuid, sa.ForeignKey("issuer_card_proofs.id"), nullable=False, index=True),
    sa.Column("asked_at", UTCDateTime, nullable=False),
    sa.Index("ix_issuer_self_recoveries_person_id_asked_at", "person_id", "asked_at"),
)
"""Each attempt of people to recover their own encryption keys, and the card proof it stood on (KRP 4.2)."""

card_sources: Final = sa.Table(
    "issuer_card_sources",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("trust_entry", sa.String(60), nullable=False),
    sa.Column("issuer_sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("issuer", sa.LargeBinary, nullable=False),
    sa.Column("list_url", sa.String(500), nullable=False),
    sa.Column("host", sa.String(300), nullable=False),
    sa.Column("began_at", UTCDateTime, nullable=True),
    sa.Column("cursor", sa.Uuid, nullable=True),
    sa.Column("checked", sa.Integer, nullable=False),
    sa.Column("swept_at", UTCDateTime, nullable=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("silent_since", UTCDateTime, nullable=True),
    sa.Column("next_try_at", UTCDateTime, nullable=True),
    sa.Column("unknown", sa.Integer, nullable=False, server_default="0"),
    sa.Column("told_at", UTCDateTime, nullable=True),
    sa.UniqueConstraint("trust_entry", "issuer_sha256", "list_url"),
)

card_links: Final = sa.Table(
    "issuer_card_links",
    metadata,
    sa.Column("derivation_id", sa.Uuid, sa.ForeignKey("issuer_derivations.id"), primary_key=True),
    sa.Column("person_id", sa.Uuid, nullable=False, index=True),
    sa.Column("trust_entry", sa.String(60), nullable=False),
    sa.Column("identifier", sa.String(320), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("linked_at", UTCDateTime, nullable=False),
    sa.Column("source_id", sa.Uuid, sa.ForeignKey("issuer_card_sources.id"), nullable=True),
    sa.Column("serial", sa.String(40), nullable=True),
    sa.Column("certificate", sa.LargeBinary, nullable=True),
    sa.Column("unknown_since", UTCDateTime, nullable=True),
    sa.Column("unknown_tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_try_at", UTCDateTime, nullable=True),
    one_of("state", CardLinkState, name="state"),
    sa.CheckConstraint("source_id IS NULL OR serial IS NOT NULL", name="source_has_serial"),
    sa.Index("ix_issuer_card_links_source_id", "source_id", "derivation_id"),
    sa.Index(
        "ix_issuer_card_links_unknown",
        "source_id",
        "next_try_at",
        sqlite_where=sa.text("next_try_at IS NOT NULL"),
        postgresql_where=sa.text("next_try_at IS NOT NULL"),
    ),
)

key_histories: Final = sa.Table(
    "issuer_key_histories",
    metadata,
    sa.Column("credential_id", sa.Uuid, sa.ForeignKey("issuer_credentials.id"), primary_key=True),
    sa.Column("request_digest", sa.LargeBinary, nullable=False),
    sa.Column("asked_at", UTCDateTime, nullable=False),
)
"""Which request an authentication credential was given its key history for: one row, so one request."""

clients: Final = sa.Table(
    "issuer_clients",
    metadata,
    sa.Column("id", sa.String(100), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("public_key", sa.JSON, nullable=False),
    sa.Column("device_trust_entries", sa.JSON, nullable=False),
    sa.Column("registered_at", UTCDateTime, nullable=False),
    sa.Column("ended_at", UTCDateTime, nullable=True),
)

client_assertions: Final = sa.Table(
    "issuer_client_assertions",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True),
)

access_tokens: Final = sa.Table(
    "issuer_access_tokens",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("client_id", sa.String(100), sa.ForeignKey("issuer_clients.id"), nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True),
)

invalidations: Final = sa.Table(
    "issuer_invalidations",
    metadata,
    sa.Column("client_id", sa.String(100), sa.ForeignKey("issuer_clients.id"), primary_key=True),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("request_digest", sa.LargeBinary, nullable=False),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Column("comment", sa.String(500), nullable=False),
    sa.Column("credentials", sa.JSON, nullable=False),
    sa.Column("done_at", UTCDateTime, nullable=False),
    one_of("reason", EndReason, name="reason"),
)
