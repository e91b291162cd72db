# SPDX-License-Identifier: Apache-2.0
"""What stops the operations that must not go on without an audit trail (CP 5.4)."""

from typing import ClassVar

from etymon.kernel.errors import Unavailable


class NotSealed(Unavailable):
    """Events have waited too long for the sealer."""

    default_code: ClassVar[str] = "audit_not_sealed"


class TrailDamaged(Unavailable):
    """The trail is not what was signed; nothing may be added to it until somebody has looked."""

    default_code: ClassVar[str] = "audit_trail_damaged"


class NotRecorded(Unavailable):
    """The database refused an event; the change it tells of is rolled back with it."""

    default_code: ClassVar[str] = "audit_not_recorded"
