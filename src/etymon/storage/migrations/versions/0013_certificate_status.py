# SPDX-License-Identifier: Apache-2.0
"""Certificates may be held, revocation lists are written from an index alone, and OCSP answers are kept.

A replica of the version before refuses a certificate that is held, but leaves it out of the lists it makes: bring every
worker to this version before the first hold.
"""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0013_certificate_status"
down_revision = "0011_rekey"

CHECKS = {
    "state": "state IN ('planned', 'issued', 'held', 'revoked', 'abandoned')",
    "planned": "state NOT IN ('planned', 'abandoned') OR (tbs IS NOT NULL AND der IS NULL)",
    "issued": "state NOT IN ('issued', 'held', 'revoked') OR "
    "(der IS NOT NULL AND thumbprint IS NOT NULL AND issued_at IS NOT NULL)",
    "revoked": "(state IN ('held', 'revoked')) = (revoked_at IS NOT NULL)",
    "reason": "(state = 'revoked') = (reason IS NOT NULL)",
    "held": "(state = 'held') = (held_until IS NOT NULL)",
}
COLUMNS_BEFORE = (
    "id, ca, serial, profile, state, request_key, spki_sha256, not_before, not_after, authorized_by, planned_at, tbs, "
    "der, thumbprint, issued_at, revoked_at, reason"
)


def upgrade() -> None:
    """Add the state and what goes with it; SQLite cannot change a check and gets the table anew."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()
    else:
        op.drop_index("ix_ca_certificates_revoked", "ca_certificates")
        op.add_column("ca_certificates", sa.Column("held_until", UTCDateTime, nullable=True))
        for name, condition in CHECKS.items():
            if name != "held":
                op.drop_constraint(f"ck_ca_certificates_{name}", "ca_certificates")
            op.create_check_constraint(f"ck_ca_certificates_{name}", "ca_certificates", condition)
    listed = ["ca", "not_after", "serial", "revoked_at", "reason", "state"]
    _partial_index("ix_ca_certificates_listed", listed, "state IN ('held', 'revoked')")
    _partial_index("ix_ca_certificates_held", ["held_until"], "state = 'held'")
    op.create_table(
        "ca_ocsp_answers",
        sa.Column("ca", sa.String(60), nullable=False),
        sa.Column("cert_id", sa.LargeBinary(200), nullable=False),
        sa.Column("certificate", sa.Uuid, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("produced_at", UTCDateTime, nullable=False),
        sa.Column("next_update", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("ca", "cert_id", name="pk_ca_ocsp_answers"),
        sa.ForeignKeyConstraint(
            ["certificate"], ["ca_certificates.id"], name="fk_ca_ocsp_answers_certificate_ca_certificates"
        ),
    )
    op.create_index("ix_ca_ocsp_answers_certificate", "ca_ocsp_answers", ["certificate"])
    op.create_index("ix_ca_ocsp_answers_next_update", "ca_ocsp_answers", ["next_update"])


def _rebuild() -> None:
    """Copy the certificates into a table with the new checks; nothing refers to them yet."""
    op.create_table(
        "ca_certificates_0013",
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
        sa.Column("held_until", UTCDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_ca_certificates"),
        sa.ForeignKeyConstraint(["ca"], ["ca_authorities.name"], name="fk_ca_certificates_ca_ca_authorities"),
        sa.UniqueConstraint("request_key", name="uq_ca_certificates_request_key"),
        sa.UniqueConstraint("thumbprint", name="uq_ca_certificates_thumbprint"),
        sa.UniqueConstraint("ca", "serial", name="uq_ca_certificates_ca_serial"),
        *(sa.CheckConstraint(text, name=f"ck_ca_certificates_{name}") for name, text in CHECKS.items()),
    )
    op.execute(
        f"INSERT INTO ca_certificates_0013 ({COLUMNS_BEFORE}) SELECT {COLUMNS_BEFORE} FROM ca_certificates"  # noqa: S608 - constants
    )
    op.drop_table("ca_certificates")
    op.rename_table("ca_certificates_0013", "ca_certificates")
    _partial_index("uq_ca_certificates_spki_sha256", ["spki_sha256"], "state <> 'abandoned'", unique=True)
    _partial_index("ix_ca_certificates_planned", ["planned_at"], "state = 'planned'")
    _partial_index("ix_ca_certificates_responders", ["ca", "not_after"], "profile = 'ocsp-responder'")


def _partial_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "ca_certificates", columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
