# SPDX-License-Identifier: Apache-2.0
"""Tables of the endpoint manager."""

import sqlalchemy as sa

from etymon.storage.schema import UTCDateTime, metadata

enrollment_profiles = sa.Table(
    "enrollment_profiles",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("description", sa.String(1000), nullable=False),
    sa.Column("device_name_template", sa.String(63), nullable=False),
    sa.Column("network_ssid", sa.String(32), nullable=True),
    sa.Column("network_security", sa.String(10), nullable=True),
    sa.Column("network_hidden", sa.Boolean, nullable=False),
    sa.Column("network_password", sa.LargeBinary, nullable=True),
    sa.Column("token_digest", sa.LargeBinary(32), nullable=True, unique=True),
    sa.Column("token_wrapped", sa.LargeBinary, nullable=True),
    sa.Column("token_created_at", UTCDateTime, nullable=True),
    sa.Column("token_expires_at", UTCDateTime, nullable=True),
    sa.Column("enrolled_devices", sa.Integer, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("modified_at", UTCDateTime, nullable=False),
    sa.CheckConstraint(
        "(token_digest IS NULL) = (token_wrapped IS NULL) AND (token_digest IS NULL) = (token_created_at IS NULL)",
        name="token_is_whole",
    ),
)
"""`token_wrapped` and `network_password` are ciphertext; see `storage.wrapping`."""

enrollment_sessions = sa.Table(
    "enrollment_sessions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column(
        "profile_id", sa.Uuid, sa.ForeignKey("enrollment_profiles.id", ondelete="SET NULL"), nullable=True, index=True
    ),
    sa.Column("profile_name", sa.String(200), nullable=False),
    sa.Column("manufacturer", sa.String(100), nullable=False),
    sa.Column("model", sa.String(100), nullable=False),
    sa.Column("serial_number", sa.String(100), nullable=False),
    sa.Column("os_version", sa.String(100), nullable=False),
    sa.Column("security_patch", sa.String(100), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("secret_digest", sa.LargeBinary(32), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("expires_at", UTCDateTime, nullable=False, index=True),
    sa.Column("person_id", sa.Uuid, nullable=True),
    sa.Column("device_id", sa.Uuid, nullable=True),
    sa.Column("key_sha256", sa.LargeBinary(32), nullable=True),
    sa.Column("planned_certificate_id", sa.Uuid, nullable=True),
    sa.CheckConstraint("state IN ('open', 'completed', 'cancelled')", name="state_known"),
    sa.CheckConstraint(
        "state <> 'completed' OR (device_id IS NOT NULL AND planned_certificate_id IS NOT NULL)",
        name="completed_is_whole",
    ),
)

managed_devices = sa.Table(
    "managed_devices",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_id", sa.Uuid, nullable=False, index=True),
    sa.Column(
        "profile_id", sa.Uuid, sa.ForeignKey("enrollment_profiles.id", ondelete="SET NULL"), nullable=True, index=True
    ),
    sa.Column("profile_name", sa.String(200), nullable=False),
    sa.Column("session_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("name", sa.String(200), nullable=False, index=True),
    sa.Column("manufacturer", sa.String(100), nullable=False),
    sa.Column("model", sa.String(100), nullable=False),
    sa.Column("serial_number", sa.String(100), nullable=False, index=True),
    sa.Column("os_version", sa.String(100), nullable=False),
    sa.Column("security_patch", sa.String(100), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("identity_certificate_id", sa.Uuid, nullable=True),
    sa.Column("identity_thumbprint", sa.LargeBinary(32), nullable=True, unique=True),
    sa.Column("identity_not_after", UTCDateTime, nullable=True),
    sa.Column("enrolled_at", UTCDateTime, nullable=False),
    sa.Column("last_check_in_at", UTCDateTime, nullable=True),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    sa.Column("report_digest", sa.LargeBinary(32), nullable=True),
    sa.Column("desired_version", sa.Integer, nullable=False),
    sa.Column("desired", sa.JSON, nullable=False),
    sa.Column("computed_change", sa.BigInteger, nullable=False),
    sa.Column("computed_at", UTCDateTime, nullable=True),
    sa.Column("notified_issuer_id", sa.Uuid, nullable=True),
    sa.CheckConstraint(
        "state IN ('enrolling', 'managed', 'retiring', 'wiping', 'retired', 'wiped')", name="state_known"
    ),
    sa.CheckConstraint(
        "state IN ('enrolling', 'retired') OR identity_thumbprint IS NOT NULL", name="managed_has_identity"
    ),
)
"""`desired` is what was last worked out for the device, `desired_version` counts its changes, `computed_change` is the
organisation's change it was worked out after (-1: to be worked out at the next check-in)."""

desired_state_changes = sa.Table(
    "desired_state_changes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="single_row"),
)
"""One counter that rises with every change that may reach devices; a device compares, nobody walks the devices."""

configuration_profiles = sa.Table(
    "configuration_profiles",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("type", sa.String(30), nullable=False),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("description", sa.String(1000), nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("modified_at", UTCDateTime, nullable=False),
    sa.CheckConstraint("type IN ('trustedRoot', 'derivedCredential', 'wifi', 'email')", name="type_known"),
)

configuration_roots = sa.Table(
    "configuration_roots",
    metadata,
    sa.Column("profile_id", sa.Uuid, sa.ForeignKey("configuration_profiles.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("root_id", sa.Uuid, sa.ForeignKey("configuration_profiles.id"), primary_key=True, index=True),
)
"""Which trusted roots a profile refers to; a root that is referred to cannot be deleted."""

configuration_assignments = sa.Table(
    "configuration_assignments",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column(
        "profile_id",
        sa.Uuid,
        sa.ForeignKey("configuration_profiles.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("group_id", sa.Uuid, nullable=True, index=True),
    sa.CheckConstraint("kind IN ('group', 'excludedGroup', 'allUsers', 'allDevices')", name="kind_known"),
    sa.CheckConstraint("(group_id IS NOT NULL) = (kind IN ('group', 'excludedGroup'))", name="group_is_named"),
    sa.Index("ix_configuration_assignments_kind", "kind", "profile_id"),
)

configuration_results = sa.Table(
    "configuration_results",
    metadata,
    sa.Column("profile_id", sa.Uuid, sa.ForeignKey("configuration_profiles.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("device_id", sa.Uuid, sa.ForeignKey("managed_devices.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("detail", sa.String(500), nullable=False),
    sa.Column("reported_at", UTCDateTime, nullable=False),
    sa.CheckConstraint("state IN ('succeeded', 'failed', 'pending', 'notApplicable')", name="state_known"),
    sa.Index("ix_configuration_results_device_id", "device_id"),
)

device_credentials = sa.Table(
    "device_credentials",
    metadata,
    sa.Column("device_id", sa.Uuid, sa.ForeignKey("managed_devices.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("thumbprint", sa.LargeBinary(32), primary_key=True),
    sa.Column("purpose", sa.String(20), nullable=False),
    sa.Column("not_after", UTCDateTime, nullable=False),
    sa.CheckConstraint("purpose IN ('authentication', 'signature', 'encryption')", name="purpose_known"),
)

credential_rekeys = sa.Table(
    "credential_rekeys",
    metadata,
    sa.Column("thumbprint", sa.LargeBinary(32), primary_key=True),
    sa.Column(
        "device_id", sa.Uuid, sa.ForeignKey("managed_devices.id", ondelete="CASCADE"), nullable=False, index=True
    ),
)
"""Certificates that their issuer wants rekeyed; the phone that holds one is told."""

device_commands = sa.Table(
    "device_commands",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("device_id", sa.Uuid, sa.ForeignKey("managed_devices.id", ondelete="CASCADE"), nullable=False),
    sa.Column("type", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("credential", sa.LargeBinary(32), nullable=True),
    sa.Column("detail", sa.String(500), nullable=False),
    sa.Column("requested_by", sa.String(300), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("finished_at", UTCDateTime, nullable=True),
    sa.CheckConstraint("type IN ('retire', 'wipe', 'removeCredential')", name="type_known"),
    sa.CheckConstraint("state IN ('pending', 'succeeded', 'failed', 'overtaken')", name="state_known"),
    sa.CheckConstraint("(credential IS NOT NULL) = (type = 'removeCredential')", name="credential_is_named"),
    sa.Index("ix_device_commands_device_id", "device_id", "state"),
)

device_notifications = sa.Table(
    "device_notifications",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("device_id", sa.Uuid, sa.ForeignKey("managed_devices.id", ondelete="CASCADE"), nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("body", sa.String(1000), nullable=False),
    sa.Column("action", sa.String(40), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("settled_at", UTCDateTime, nullable=True),
    sa.Index("ix_device_notifications_device_id", "device_id", "version"),
)

derived_credential_issuers = sa.Table(
    "derived_credential_issuers",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(30), nullable=False),
    sa.Column("url", sa.String(500), nullable=False),
    sa.Column("help_url", sa.String(500), nullable=False),
    sa.Column("notify_phone", sa.Boolean, nullable=False),
    sa.Column("notify_mail", sa.Boolean, nullable=False),
    sa.Column("renewal_threshold_percentage", sa.Integer, nullable=False),
    sa.Column("described_name", sa.String(200), nullable=True),
    sa.Column("self_service", sa.String(500), nullable=True),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("modified_at", UTCDateTime, nullable=False),
    sa.Column("ended_at", UTCDateTime, nullable=True),
    sa.Column("live", sa.Integer, nullable=True, unique=True),
    sa.Column("rekeys_heard_until", UTCDateTime, nullable=True),
    sa.CheckConstraint("kind IN ('etymon')", name="kind_known"),
    sa.CheckConstraint("renewal_threshold_percentage BETWEEN 1 AND 99", name="threshold_is_percentage"),
    sa.CheckConstraint("(live IS NULL) = (ended_at IS NOT NULL) AND (live IS NULL OR live = 1)", name="single_live"),
)
"""One is live at a time (as in Microsoft's product); ended ones stay, so that their credentials can still be ended."""

credential_invalidations = sa.Table(
    "credential_invalidations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column(
        "issuer_id",
        sa.Uuid,
        sa.ForeignKey("derived_credential_issuers.id", name="fk_credential_invalidations_issuer_id_issuers"),
        nullable=False,
    ),
    sa.Column(
        "device_id", sa.Uuid, sa.ForeignKey("managed_devices.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("reason", sa.String(30), nullable=False),
    sa.Column("comment", sa.String(200), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("ended_credentials", sa.JSON, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("done_at", UTCDateTime, nullable=True),
    sa.CheckConstraint("state IN ('pending', 'done')", name="state_known"),
)

branding_profiles = sa.Table(
    "branding_profiles",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("slot", sa.Integer, nullable=False, unique=True),
    sa.Column("profile_name", sa.String(200), nullable=False),
    sa.Column("display_name", sa.String(64), nullable=False),
    sa.Column("color", sa.String(7), nullable=False),
    sa.Column("logo_type", sa.String(20), nullable=True),
    sa.Column("logo", sa.LargeBinary, nullable=True),
    sa.Column("support", sa.String(200), nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("modified_at", UTCDateTime, nullable=False),
    sa.CheckConstraint("slot = 1", name="single_row"),
    sa.CheckConstraint("(logo IS NULL) = (logo_type IS NULL)", name="logo_is_whole"),
)
