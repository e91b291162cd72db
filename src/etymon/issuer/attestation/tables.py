# SPDX-License-Identifier: Apache-2.0
"""Tables of key attestation."""

from typing import Final

import sqlalchemy as sa

from etymon.issuer.model import Purpose
from etymon.issuer.tables import one_of
from etymon.storage.schema import UTCDateTime, metadata

authorities: Final = sa.Table(
    "issuer_attestation_authorities",
    metadata,
    sa.Column("name", sa.String(60), primary_key=True),
    sa.Column("roots", sa.JSON, nullable=False),
    sa.Column("revoked_serials", sa.JSON, nullable=False),
    sa.Column("has_status_list", sa.Boolean, nullable=False),
    sa.Column("saved_at", UTCDateTime, nullable=False),
)

key_attestations: Final = sa.Table(
    "issuer_key_attestations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("derivation_id", sa.Uuid, sa.ForeignKey("issuer_derivations.id"), nullable=False),
    sa.Column("purpose", sa.String(20), nullable=False),
    sa.Column("key_sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("verdict", sa.String(60), nullable=False),
    sa.Column("authority", sa.String(60), nullable=False),
    sa.Column("security_level", sa.String(30), nullable=False),
    sa.Column("manufacturer", sa.String(100), nullable=False),
    sa.Column("model", sa.String(100), nullable=False),
    sa.Column("os_patch_level", sa.BigInteger, nullable=True),
    sa.Column("status_list", sa.Boolean, nullable=False),
    sa.Column("chain", sa.JSON, nullable=False),
    sa.Column("judged_at", UTCDateTime, nullable=False),
    sa.Column("key_use", sa.String(20), nullable=False, server_default="certificate"),
    one_of("purpose", Purpose, name="purpose"),
    sa.UniqueConstraint("derivation_id", "key_sha256"),
)
"""A key is judged once for a derivation; the first verdict stays."""
