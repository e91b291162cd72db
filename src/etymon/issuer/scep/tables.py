# SPDX-License-Identifier: Apache-2.0
"""Tables of SCEP. What happens once is a unique value, or a guarded UPDATE.

A connector's name is its address; which connector something is of, `connector_id` says. It is empty where a replica of
an earlier version wrote the row: that is of the connector that has the name.
"""

from typing import Final

import sqlalchemy as sa

from etymon.issuer.model import EndReason
from etymon.issuer.scep.model import ChallengeSource, EnrollmentState
from etymon.issuer.tables import one_of
from etymon.storage.schema import UTCDateTime, metadata

connectors: Final = sa.Table(
    "issuer_scep_connectors",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("client_id", sa.String(100), sa.ForeignKey("issuer_clients.id"), nullable=True),
    sa.Column("source", sa.String(20), nullable=False),
    sa.Column("lifetime_seconds", sa.Integer, nullable=False),
    sa.Column("key_types", sa.JSON, nullable=False),
    sa.Column("legacy_algorithms", sa.Boolean, nullable=False),
    sa.Column("page_password_digest", sa.LargeBinary, nullable=True),
    sa.Column("created_by", sa.Uuid, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("withdrawn_at", UTCDateTime, nullable=True),
    sa.Column("id", sa.Uuid, nullable=True),
    one_of("source", ChallengeSource, name="source"),
    sa.CheckConstraint("source <> 'management' OR client_id IS NOT NULL", name="management_has_client"),
    sa.Index("uq_issuer_scep_connectors_id", "id", unique=True),
)

challenges: Final = sa.Table(
    "issuer_scep_challenges",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("connector", sa.String(40), sa.ForeignKey("issuer_scep_connectors.name"), nullable=False),
    sa.Column("person_id", sa.Uuid, nullable=True),
    sa.Column("device_id", sa.Uuid, nullable=True),
    sa.Column("device_name", sa.String(64), nullable=False),
    sa.Column("asked_by", sa.String(200), nullable=False),
    sa.Column("made_at", UTCDateTime, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True),
    sa.Column("request_digest", sa.LargeBinary(32), nullable=True),
    sa.Column("used_at", UTCDateTime, nullable=True),
    sa.Column("connector_id", sa.Uuid, nullable=True),
    sa.CheckConstraint("(request_digest IS NULL) = (used_at IS NULL)", name="used_has_request"),
    sa.Index("ix_issuer_scep_challenges_connector_expires_at", "connector", "expires_at"),
)

LIVE: Final = sa.text("state <> 'ended'")

enrollments: Final = sa.Table(
    "issuer_scep_enrollments",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("connector", sa.String(40), sa.ForeignKey("issuer_scep_connectors.name"), nullable=False),
    sa.Column("challenge_id", sa.Uuid, sa.ForeignKey("issuer_scep_challenges.id"), nullable=True, unique=True),
    sa.Column("renews_id", sa.Uuid, sa.ForeignKey("issuer_scep_enrollments.id"), nullable=True, unique=True),
    sa.Column("transaction_id", sa.LargeBinary, nullable=False),
    sa.Column("request_digest", sa.LargeBinary(32), nullable=False),
    sa.Column("key_thumbprint", sa.LargeBinary(32), nullable=False),
    sa.Column("person_id", sa.Uuid, nullable=True, index=True),
    sa.Column("device_id", sa.Uuid, nullable=True),
    sa.Column("device_name", sa.String(64), nullable=False),
    sa.Column("certificate_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("planned_at", UTCDateTime, nullable=False),
    sa.Column("serial_number", sa.String(40), nullable=True),
    sa.Column("not_after", UTCDateTime, nullable=True),
    sa.Column("issued_at", UTCDateTime, nullable=True),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    sa.Column("end_reason", sa.String(40), nullable=True),
    sa.Column("connector_id", sa.Uuid, nullable=True),
    sa.Column("officer_id", sa.Uuid, nullable=True),
    one_of("state", EnrollmentState, name="state"),
    one_of("end_reason", EndReason, name="end_reason"),
    sa.CheckConstraint("(challenge_id IS NULL) <> (renews_id IS NULL)", name="begun_once"),
    sa.CheckConstraint("state <> 'active' OR serial_number IS NOT NULL", name="active_has_serial_number"),
    sa.CheckConstraint("state <> 'ended' OR ended_at IS NOT NULL", name="ended_has_time"),
    sa.Index("ix_issuer_scep_enrollments_connector_key_thumbprint", "connector", "key_thumbprint"),
    sa.Index("ix_issuer_scep_enrollments_serial_number", "serial_number"),
    sa.Index("ix_issuer_scep_enrollments_connector_id", "connector", "id"),
)
for _column in (enrollments.c.connector, enrollments.c.officer_id):
    sa.Index(
        f"ix_issuer_scep_enrollments_{_column.name}_planned_at_live",
        _column,
        enrollments.c.planned_at,
        enrollments.c.id,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )

registration_authorities: Final = sa.Table(
    "issuer_scep_registration_authorities",
    metadata,
    sa.Column("key_name", sa.String(80), primary_key=True),
    sa.Column("certificate_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("not_after", UTCDateTime, nullable=False, index=True),
)
