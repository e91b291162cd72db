# SPDX-License-Identifier: Apache-2.0
"""An Officer's role that a person gives counts once it is confirmed; those that were there go on as they are.

They become Officers whom nobody appointed, as the founding's are; the audit trail tells who gave the role. One that a
replica of the version before gives meanwhile waits for its confirmation.
"""

from alembic import op

revision = "0026_officers_confirmed"
down_revision = "0025_key_attestation"


def upgrade() -> None:
    """Have the Officers that there are need no confirmation."""
    op.execute("UPDATE directory_roles SET appointed_by = NULL WHERE role = 'officer'")
