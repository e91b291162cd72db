# SPDX-License-Identifier: Apache-2.0
"""Certification authorities, their certificates, and the CRL each published last."""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0004_ca"
down_revision = "0003_directory"


def upgrade() -> None:
    """Create the authorities' tables."""
    op.create_table(
        "ca_authorities",
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("parent", sa.String(60), nullable=True),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("profiles", sa.JSON, nullable=False),
        sa.Column("policies", sa.JSON, nullable=False),
        sa.Column("revocations", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_ca_authorities"),
        sa.UniqueConstraint("spki_sha256", name="uq_ca_authorities_spki_sha256"),
        sa.ForeignKeyConstraint(["parent"], ["ca_authorities.name"], name="fk_ca_authorities_parent_ca_authorities"),
    )
    op.create_table(
        "ca_certificates",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("ca", sa.String(60), nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("profile", sa.String(60), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("request_key", sa.String(200), nullable=False),
        sa.Column("spki_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("not_before", UTCDateTime, nullable=False),
        sa.Column("not_after", UTCDateTime, nullable=False),
        sa.Column("authorized_by", sa.String(200), nullable=False),
        sa.Column("planned_at", UTCDateTime, nullable=False),
        sa.Column("tbs", sa.LargeBinary, nullable=True),
        sa.Column("der", sa.LargeBinary, nullable=True),
        sa.Column("thumbprint", sa.LargeBinary(32), nullable=True),
        sa.Column("issued_at", UTCDateTime, nullable=True),
        sa.Column("revoked_at", UTCDateTime, nullable=True),
        sa.Column("reason", sa.Integer, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_ca_certificates"),
        sa.ForeignKeyConstraint(["ca"], ["ca_authorities.name"], name="fk_ca_certificates_ca_ca_authorities"),
        sa.UniqueConstraint("request_key", name="uq_ca_certificates_request_key"),
        sa.UniqueConstraint("thumbprint", name="uq_ca_certificates_thumbprint"),
        sa.UniqueConstraint("ca", "serial", name="uq_ca_certificates_ca_serial"),
        sa.CheckConstraint("state IN ('planned', 'issued', 'revoked', 'abandoned')", name="ck_ca_certificates_state"),
        sa.CheckConstraint(
            "state NOT IN ('planned', 'abandoned') OR (tbs IS NOT NULL AND der IS NULL)",
            name="ck_ca_certificates_planned",
        ),
        sa.CheckConstraint(
            "state NOT IN ('issued', 'revoked') OR "
            "(der IS NOT NULL AND thumbprint IS NOT NULL AND issued_at IS NOT NULL)",
            name="ck_ca_certificates_issued",
        ),
        sa.CheckConstraint("(state = 'revoked') = (revoked_at IS NOT NULL)", name="ck_ca_certificates_revoked"),
        sa.CheckConstraint("(revoked_at IS NULL) = (reason IS NULL)", name="ck_ca_certificates_reason"),
    )
    _partial_index("uq_ca_certificates_spki_sha256", ["spki_sha256"], "state <> 'abandoned'", unique=True)
    _partial_index("ix_ca_certificates_revoked", ["ca", "not_after"], "state = 'revoked'")
    _partial_index("ix_ca_certificates_planned", ["planned_at"], "state = 'planned'")
    _partial_index("ix_ca_certificates_responders", ["ca", "not_after"], "profile = 'ocsp-responder'")
    op.create_table(
        "ca_revocation_lists",
        sa.Column("ca", sa.String(60), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("covers", sa.Integer, nullable=False),
        sa.Column("this_update", UTCDateTime, nullable=False),
        sa.Column("next_update", UTCDateTime, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("ca", name="pk_ca_revocation_lists"),
        sa.ForeignKeyConstraint(["ca"], ["ca_authorities.name"], name="fk_ca_revocation_lists_ca_ca_authorities"),
    )


def _partial_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "ca_certificates", columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
