# SPDX-License-Identifier: Apache-2.0
"""Credentials may be held, and what a hold was lifted by is kept.

A replica of the version before cannot read a credential that is held: bring every replica to this version before the
first hold.
"""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0019_held_credentials"
down_revision = "0018_key_history"

CHANGED = {
    "state": "state IN ('planned', 'active', 'held', 'ended')",
    "active_has_serial_number": "state NOT IN ('active', 'held') OR serial_number IS NOT NULL",
}
NEW = {
    "held_has_until": "(state = 'held') = (held_until IS NOT NULL)",
    "held_has_holder": "(held_until IS NULL) = (held_by IS NULL)",
}
KEPT = {
    "end_reason": "end_reason IN ('keyCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation', "
    "'privilegeWithdrawn', 'unspecified')",
    "ended_has_time": "state <> 'ended' OR ended_at IS NOT NULL",
    "purpose": "purpose IN ('authentication', 'signature', 'encryption')",
    "rekey_has_request": "replaces_id IS NULL OR request_digest IS NOT NULL",
}
COLUMNS_BEFORE = (
    "id, derivation_id, purpose, person_id, device_trust_entry, device_thumbprint, certificate_id, escrowed_key_id, "
    "state, planned_at, serial_number, thumbprint, not_before, not_after, issued_at, ended_at, end_reason, "
    "replaces_id, request_digest, rekey_from, rule_id"
)


def upgrade() -> None:
    """Add the state and what goes with it; SQLite cannot change a check and gets the table anew."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()
    else:
        op.add_column("issuer_credentials", sa.Column("held_until", UTCDateTime, nullable=True))
        op.add_column("issuer_credentials", sa.Column("held_by", sa.Uuid, nullable=True))
        for name in CHANGED:
            op.drop_constraint(f"ck_issuer_credentials_{name}", "issuer_credentials")
        for name, condition in {**CHANGED, **NEW}.items():
            op.create_check_constraint(op.f(f"ck_issuer_credentials_{name}"), "issuer_credentials", condition)
    _index("ix_issuer_credentials_held", ["held_until"], "state = 'held'")
    op.create_table(
        "issuer_restorations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("derivation_id", sa.Uuid, nullable=False),
        sa.Column("restored_by", sa.Uuid, nullable=False),
        sa.Column("restored_at", UTCDateTime, nullable=False),
        sa.Column("proof_id", sa.Uuid, nullable=True),
        sa.Column("evidence", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_restorations"),
        sa.ForeignKeyConstraint(
            ["derivation_id"], ["issuer_derivations.id"], name="fk_issuer_restorations_derivation_id_issuer_derivations"
        ),
        sa.ForeignKeyConstraint(
            ["proof_id"], ["issuer_card_proofs.id"], name="fk_issuer_restorations_proof_id_issuer_card_proofs"
        ),
        sa.CheckConstraint("proof_id IS NOT NULL OR evidence <> ''", name=op.f("ck_issuer_restorations_has_evidence")),
    )
    for column in ("derivation_id", "proof_id"):
        op.create_index(f"ix_issuer_restorations_{column}", "issuer_restorations", [column])


def _rebuild() -> None:
    """Copy the credentials into a table with the new checks. What refers to them is put aside meanwhile.

    SQLite checks references when a table is dropped, and lets nobody switch that off inside a transaction.
    """
    op.execute(
        "CREATE TABLE key_histories_0019 AS SELECT credential_id, request_digest, asked_at FROM issuer_key_histories"
    )
    op.execute("DELETE FROM issuer_key_histories")
    _new_table("issuer_credentials_0019")
    op.execute(
        f"INSERT INTO issuer_credentials_0019 ({COLUMNS_BEFORE}) SELECT {COLUMNS_BEFORE} FROM issuer_credentials"  # noqa: S608 - constants
    )
    op.drop_table("issuer_credentials")
    op.rename_table("issuer_credentials_0019", "issuer_credentials")  # with it the reference to itself
    op.execute(
        "INSERT INTO issuer_key_histories (credential_id, request_digest, asked_at) "
        "SELECT credential_id, request_digest, asked_at FROM key_histories_0019"
    )
    op.drop_table("key_histories_0019")
    _index("ix_issuer_credentials_person_id_id", ["person_id", "id"])
    _index("ix_issuer_credentials_device_thumbprint_id", ["device_thumbprint", "id"])
    _index("ix_issuer_credentials_thumbprint", ["thumbprint"])
    _index("ix_issuer_credentials_derivation_id_purpose", ["derivation_id", "purpose"])
    _index("uq_issuer_credentials_derivation_id_purpose_first", ["derivation_id", "purpose"], "replaces_id IS NULL")
    _index("uq_issuer_credentials_replaces_id_lived", ["replaces_id"], "state <> 'ended' OR issued_at IS NOT NULL")
    _index("ix_issuer_credentials_rekey_from_id_active", ["rekey_from", "id"], "state = 'active'")


def _new_table(name: str) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("derivation_id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("device_trust_entry", sa.String(60), nullable=True),
        sa.Column("device_thumbprint", sa.LargeBinary, nullable=True),
        sa.Column("certificate_id", sa.Uuid, nullable=False),
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
        sa.Column("replaces_id", sa.Uuid, nullable=True),
        sa.Column("request_digest", sa.LargeBinary, nullable=True),
        sa.Column("rekey_from", UTCDateTime, nullable=True),
        sa.Column("rule_id", sa.Uuid, nullable=True),
        sa.Column("held_until", UTCDateTime, nullable=True),
        sa.Column("held_by", sa.Uuid, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_credentials"),
        sa.UniqueConstraint("certificate_id", name="uq_issuer_credentials_certificate_id"),
        sa.ForeignKeyConstraint(
            ["derivation_id"], ["issuer_derivations.id"], name="fk_issuer_credentials_derivation_id_issuer_derivations"
        ),
        sa.ForeignKeyConstraint(
            ["replaces_id"], [f"{name}.id"], name="fk_issuer_credentials_replaces_id_issuer_credentials"
        ),
        *(
            sa.CheckConstraint(condition, name=op.f(f"ck_issuer_credentials_{check}"))
            for check, condition in {**CHANGED, **NEW, **KEPT}.items()
        ),
    )


def _index(name: str, columns: list[str], where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name,
        "issuer_credentials",
        columns,
        unique=name.startswith("uq_"),
        sqlite_where=condition,
        postgresql_where=condition,
    )
