# SPDX-License-Identifier: Apache-2.0
"""The endpoint manager: enrollment, devices, configuration profiles, commands, issuers."""

import sqlalchemy as sa
from alembic import op

from etymon.storage.schema import UTCDateTime

revision = "0007_mdm"
down_revision = "0006_idp"


def upgrade() -> None:
    """Create the tables of the endpoint manager."""
    _create_settings()
    _create_enrollment()
    _create_configuration()
    _create_device_records()


def _create_settings() -> None:
    op.create_table(
        "branding_profiles",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("profile_name", sa.String(200), nullable=False),
        sa.Column("display_name", sa.String(64), nullable=False),
        sa.Column("color", sa.String(7), nullable=False),
        sa.Column("logo_type", sa.String(20), nullable=True),
        sa.Column("logo", sa.LargeBinary, nullable=True),
        sa.Column("support", sa.String(200), nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("modified_at", UTCDateTime, nullable=False),
        sa.CheckConstraint("(logo IS NULL) = (logo_type IS NULL)", name="ck_branding_profiles_logo_is_whole"),
        sa.CheckConstraint("slot = 1", name="ck_branding_profiles_single_row"),
        sa.PrimaryKeyConstraint("id", name="pk_branding_profiles"),
        sa.UniqueConstraint("slot", name="uq_branding_profiles_slot"),
    )
    op.create_table(
        "configuration_profiles",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("type", sa.String(30), nullable=False),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("description", sa.String(1000), nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("modified_at", UTCDateTime, nullable=False),
        sa.CheckConstraint(
            "type IN ('trustedRoot', 'derivedCredential', 'wifi', 'email')", name="ck_configuration_profiles_type_known"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_configuration_profiles"),
    )
    op.create_table(
        "derived_credential_issuers",
        sa.Column("id", sa.Uuid, nullable=False),
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
        sa.Column("live", sa.Integer, nullable=True),
        sa.CheckConstraint("kind IN ('etymon')", name="ck_derived_credential_issuers_kind_known"),
        sa.CheckConstraint(
            "(live IS NULL) = (ended_at IS NOT NULL) AND (live IS NULL OR live = 1)",
            name="ck_derived_credential_issuers_single_live",
        ),
        sa.CheckConstraint(
            "renewal_threshold_percentage BETWEEN 1 AND 99",
            name="ck_derived_credential_issuers_threshold_is_percentage",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_derived_credential_issuers"),
        sa.UniqueConstraint("live", name="uq_derived_credential_issuers_live"),
    )
    op.create_table(
        "desired_state_changes",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("counter", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1", name="ck_desired_state_changes_single_row"),
        sa.PrimaryKeyConstraint("id", name="pk_desired_state_changes"),
    )


def _create_enrollment() -> None:
    op.create_table(
        "enrollment_profiles",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("display_name", sa.String(200), nullable=False),
        sa.Column("description", sa.String(1000), nullable=False),
        sa.Column("device_name_template", sa.String(63), nullable=False),
        sa.Column("network_ssid", sa.String(32), nullable=True),
        sa.Column("network_security", sa.String(10), nullable=True),
        sa.Column("network_hidden", sa.Boolean, nullable=False),
        sa.Column("network_password", sa.LargeBinary, nullable=True),
        sa.Column("token_digest", sa.LargeBinary(32), nullable=True),
        sa.Column("token_wrapped", sa.LargeBinary, nullable=True),
        sa.Column("token_created_at", UTCDateTime, nullable=True),
        sa.Column("token_expires_at", UTCDateTime, nullable=True),
        sa.Column("enrolled_devices", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("modified_at", UTCDateTime, nullable=False),
        sa.CheckConstraint(
            "(token_digest IS NULL) = (token_wrapped IS NULL) AND (token_digest IS NULL) = (token_created_at IS NULL)",
            name="ck_enrollment_profiles_token_is_whole",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_enrollment_profiles"),
        sa.UniqueConstraint("token_digest", name="uq_enrollment_profiles_token_digest"),
    )
    op.create_table(
        "enrollment_sessions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("profile_id", sa.Uuid, nullable=True),
        sa.Column("profile_name", sa.String(200), nullable=False),
        sa.Column("manufacturer", sa.String(100), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("serial_number", sa.String(100), nullable=False),
        sa.Column("os_version", sa.String(100), nullable=False),
        sa.Column("security_patch", sa.String(100), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("expires_at", UTCDateTime, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=True),
        sa.Column("device_id", sa.Uuid, nullable=True),
        sa.Column("key_sha256", sa.LargeBinary(32), nullable=True),
        sa.Column("planned_certificate_id", sa.Uuid, nullable=True),
        sa.CheckConstraint(
            "state <> 'completed' OR (device_id IS NOT NULL AND planned_certificate_id IS NOT NULL)",
            name="ck_enrollment_sessions_completed_is_whole",
        ),
        sa.CheckConstraint("state IN ('open', 'completed', 'cancelled')", name="ck_enrollment_sessions_state_known"),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["enrollment_profiles.id"],
            name="fk_enrollment_sessions_profile_id_enrollment_profiles",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_enrollment_sessions"),
    )
    op.create_index("ix_enrollment_sessions_expires_at", "enrollment_sessions", ["expires_at"], unique=False)
    op.create_index("ix_enrollment_sessions_profile_id", "enrollment_sessions", ["profile_id"], unique=False)
    op.create_table(
        "managed_devices",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_id", sa.Uuid, nullable=False),
        sa.Column("profile_id", sa.Uuid, nullable=True),
        sa.Column("profile_name", sa.String(200), nullable=False),
        sa.Column("session_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("manufacturer", sa.String(100), nullable=False),
        sa.Column("model", sa.String(100), nullable=False),
        sa.Column("serial_number", sa.String(100), nullable=False),
        sa.Column("os_version", sa.String(100), nullable=False),
        sa.Column("security_patch", sa.String(100), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("identity_certificate_id", sa.Uuid, nullable=True),
        sa.Column("identity_thumbprint", sa.LargeBinary(32), nullable=True),
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
            "state IN ('enrolling', 'managed', 'retiring', 'wiping', 'retired', 'wiped')",
            name="ck_managed_devices_state_known",
        ),
        sa.CheckConstraint(
            "state IN ('enrolling', 'retired') OR identity_thumbprint IS NOT NULL",
            name="ck_managed_devices_managed_has_identity",
        ),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["enrollment_profiles.id"],
            name="fk_managed_devices_profile_id_enrollment_profiles",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_managed_devices"),
        sa.UniqueConstraint("identity_thumbprint", name="uq_managed_devices_identity_thumbprint"),
        sa.UniqueConstraint("session_id", name="uq_managed_devices_session_id"),
    )
    op.create_index("ix_managed_devices_name", "managed_devices", ["name"], unique=False)
    op.create_index("ix_managed_devices_person_id", "managed_devices", ["person_id"], unique=False)
    op.create_index("ix_managed_devices_profile_id", "managed_devices", ["profile_id"], unique=False)
    op.create_index("ix_managed_devices_serial_number", "managed_devices", ["serial_number"], unique=False)


def _create_configuration() -> None:
    op.create_table(
        "configuration_assignments",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("profile_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("group_id", sa.Uuid, nullable=True),
        sa.CheckConstraint(
            "(group_id IS NOT NULL) = (kind IN ('group', 'excludedGroup'))",
            name="ck_configuration_assignments_group_is_named",
        ),
        sa.CheckConstraint(
            "kind IN ('group', 'excludedGroup', 'allUsers', 'allDevices')",
            name="ck_configuration_assignments_kind_known",
        ),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["configuration_profiles.id"],
            name="fk_configuration_assignments_profile_id_configuration_profiles",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_configuration_assignments"),
    )
    op.create_index("ix_configuration_assignments_group_id", "configuration_assignments", ["group_id"], unique=False)
    op.create_index(
        "ix_configuration_assignments_kind", "configuration_assignments", ["kind", "profile_id"], unique=False
    )
    op.create_index(
        "ix_configuration_assignments_profile_id", "configuration_assignments", ["profile_id"], unique=False
    )
    op.create_table(
        "configuration_roots",
        sa.Column("profile_id", sa.Uuid, nullable=False),
        sa.Column("root_id", sa.Uuid, nullable=False),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["configuration_profiles.id"],
            name="fk_configuration_roots_profile_id_configuration_profiles",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["root_id"], ["configuration_profiles.id"], name="fk_configuration_roots_root_id_configuration_profiles"
        ),
        sa.PrimaryKeyConstraint("profile_id", "root_id", name="pk_configuration_roots"),
    )
    op.create_index("ix_configuration_roots_root_id", "configuration_roots", ["root_id"], unique=False)
    op.create_table(
        "configuration_results",
        sa.Column("profile_id", sa.Uuid, nullable=False),
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("detail", sa.String(500), nullable=False),
        sa.Column("reported_at", UTCDateTime, nullable=False),
        sa.CheckConstraint(
            "state IN ('succeeded', 'failed', 'pending', 'notApplicable')", name="ck_configuration_results_state_known"
        ),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["managed_devices.id"],
            name="fk_configuration_results_device_id_managed_devices",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["configuration_profiles.id"],
            name="fk_configuration_results_profile_id_configuration_profiles",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("profile_id", "device_id", name="pk_configuration_results"),
    )
    op.create_index("ix_configuration_results_device_id", "configuration_results", ["device_id"], unique=False)


def _create_device_records() -> None:
    op.create_table(
        "credential_invalidations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("issuer_id", sa.Uuid, nullable=False),
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("reason", sa.String(30), nullable=False),
        sa.Column("comment", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("ended_credentials", sa.JSON, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("done_at", UTCDateTime, nullable=True),
        sa.CheckConstraint("state IN ('pending', 'done')", name="ck_credential_invalidations_state_known"),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["managed_devices.id"],
            name="fk_credential_invalidations_device_id_managed_devices",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["issuer_id"],
            ["derived_credential_issuers.id"],
            name="fk_credential_invalidations_issuer_id_issuers",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_credential_invalidations"),
    )
    op.create_index("ix_credential_invalidations_device_id", "credential_invalidations", ["device_id"], unique=False)
    op.create_table(
        "device_commands",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("credential", sa.LargeBinary(32), nullable=True),
        sa.Column("detail", sa.String(500), nullable=False),
        sa.Column("requested_by", sa.String(300), nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("finished_at", UTCDateTime, nullable=True),
        sa.CheckConstraint(
            "(credential IS NOT NULL) = (type = 'removeCredential')", name="ck_device_commands_credential_is_named"
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'succeeded', 'failed', 'overtaken')", name="ck_device_commands_state_known"
        ),
        sa.CheckConstraint("type IN ('retire', 'wipe', 'removeCredential')", name="ck_device_commands_type_known"),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["managed_devices.id"],
            name="fk_device_commands_device_id_managed_devices",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_device_commands"),
    )
    op.create_index("ix_device_commands_device_id", "device_commands", ["device_id", "state"], unique=False)
    op.create_table(
        "device_credentials",
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("thumbprint", sa.LargeBinary(32), nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("not_after", UTCDateTime, nullable=False),
        sa.CheckConstraint(
            "purpose IN ('authentication', 'signature', 'encryption')", name="ck_device_credentials_purpose_known"
        ),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["managed_devices.id"],
            name="fk_device_credentials_device_id_managed_devices",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("device_id", "thumbprint", name="pk_device_credentials"),
    )
    op.create_table(
        "device_notifications",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("device_id", sa.Uuid, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("body", sa.String(1000), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("settled_at", UTCDateTime, nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"],
            ["managed_devices.id"],
            name="fk_device_notifications_device_id_managed_devices",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_device_notifications"),
    )
    op.create_index("ix_device_notifications_device_id", "device_notifications", ["device_id", "version"], unique=False)
