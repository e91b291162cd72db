# SPDX-License-Identifier: Apache-2.0
"""Authorities, the certificates they issued, the CRL each has published last, and kept OCSP answers."""

from typing import Final

import sqlalchemy as sa

from etymon.storage.schema import UTCDateTime, metadata

authorities = sa.Table(
    "ca_authorities",
    metadata,
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("parent", sa.String(60), sa.ForeignKey("ca_authorities.name"), nullable=True),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("spki_sha256", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("profiles", sa.JSON, nullable=False),
    sa.Column("policies", sa.JSON, nullable=False),
    sa.Column("revocations", sa.Integer, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
)

certificates = sa.Table(
    "ca_certificates",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("ca", sa.String(60), sa.ForeignKey("ca_authorities.name"), nullable=False),
    sa.Column("serial", sa.String(40), nullable=False),
    sa.Column("profile", sa.String(60), nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("request_key", sa.String(200), nullable=False, unique=True),
    sa.Column("spki_sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("not_before", UTCDateTime, nullable=False),
    sa.Column("not_after", UTCDateTime, nullable=False),
    sa.Column("authorized_by", sa.String(200), nullable=False),
    sa.Column("planned_at", UTCDateTime, nullable=False),
    sa.Column("tbs", sa.LargeBinary, nullable=True),
    sa.Column("der", sa.LargeBinary, nullable=True),
    sa.Column("thumbprint", sa.LargeBinary(32), nullable=True, unique=True),
    sa.Column("issued_at", UTCDateTime, nullable=True),
    sa.Column("revoked_at", UTCDateTime, nullable=True),
    sa.Column("reason", sa.Integer, nullable=True),
    sa.Column("held_until", UTCDateTime, nullable=True),
    sa.UniqueConstraint("ca", "serial"),
    sa.CheckConstraint("state IN ('planned', 'issued', 'held', 'revoked', 'abandoned')", name="state"),
    sa.CheckConstraint("state NOT IN ('planned', 'abandoned') OR (tbs IS NOT NULL AND der IS NULL)", name="planned"),
    sa.CheckConstraint(
        "state NOT IN ('issued', 'held', 'revoked') OR "
        "(der IS NOT NULL AND thumbprint IS NOT NULL AND issued_at IS NOT NULL)",
        name="issued",
    ),
    sa.CheckConstraint("(state IN ('held', 'revoked')) = (revoked_at IS NOT NULL)", name="revoked"),
    sa.CheckConstraint("(state = 'revoked') = (reason IS NOT NULL)", name="reason"),
    sa.CheckConstraint("(state = 'held') = (held_until IS NOT NULL)", name="held"),
)

LIVE: Final = sa.text("state <> 'abandoned'")
LISTED: Final = sa.text("state IN ('held', 'revoked')")
HELD: Final = sa.text("state = 'held'")
PLANNED: Final = sa.text("state = 'planned'")
RESPONDER: Final = sa.text("profile = 'ocsp-responder'")
"""Conditions of partial indexes. Queries repeat them word for word: a bound value would not use the index."""

sa.Index(
    "uq_ca_certificates_spki_sha256",
    certificates.c.spki_sha256,
    unique=True,
    sqlite_where=LIVE,
    postgresql_where=LIVE,
)
sa.Index(  # everything that a revocation list says: it is written from the index alone
    "ix_ca_certificates_listed",
    certificates.c.ca,
    certificates.c.not_after,
    certificates.c.serial,
    certificates.c.revoked_at,
    certificates.c.reason,
    certificates.c.state,
    sqlite_where=LISTED,
    postgresql_where=LISTED,
)
sa.Index(
    "ix_ca_certificates_held",
    certificates.c.held_until,
    sqlite_where=HELD,
    postgresql_where=HELD,
)
sa.Index(
    "ix_ca_certificates_planned",
    certificates.c.planned_at,
    sqlite_where=PLANNED,
    postgresql_where=PLANNED,
)
sa.Index(
    "ix_ca_certificates_responders",
    certificates.c.ca,
    certificates.c.not_after,
    sqlite_where=RESPONDER,
    postgresql_where=RESPONDER,
)

refused_keys = sa.Table(
    "ca_refused_keys",
    metadata,
    sa.Column("spki_sha256", sa.LargeBinary(32), primary_key=True),
    sa.Column("reason", sa.String(20), nullable=False),
    sa.Column("noted_at", UTCDateTime, nullable=False),
    sa.CheckConstraint("reason IN ('card')", name="reason"),
)
"""Keys that are never certified here, since they are somebody else's: those of cards that were proved."""

revocation_lists = sa.Table(
    "ca_revocation_lists",
    metadata,
    sa.Column("ca", sa.String(60), sa.ForeignKey("ca_authorities.name"), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("covers", sa.Integer, nullable=False),
    sa.Column("this_update", UTCDateTime, nullable=False),
    sa.Column("next_update", UTCDateTime, nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
)

ocsp_answers = sa.Table(
    "ca_ocsp_answers",
    metadata,
    sa.Column("ca", sa.String(60), primary_key=True),
    sa.Column("cert_id", sa.LargeBinary(200), primary_key=True),
    sa.Column("certificate", sa.Uuid, sa.ForeignKey("ca_certificates.id"), nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("produced_at", UTCDateTime, nullable=False),
    sa.Column("next_update", UTCDateTime, nullable=False),
    sa.Index("ix_ca_ocsp_answers_certificate", "certificate"),
    sa.Index("ix_ca_ocsp_answers_next_update", "next_update"),
)
