# SPDX-License-Identifier: Apache-2.0
"""Notices to people, written in the transaction of what they tell of and delivered by a worker."""

from collections.abc import Sequence
from typing import Final

from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.storage import jobs
from etymon.storage.database import Transaction

MAIL_JOB: Final = "mail.send"
"""Payload: `to` (list of addresses), `subject`, `text`."""


def notify(tx: Transaction, clock: Clock, entropy: Entropy, to: Sequence[str], subject: str, text: str) -> None:
    """Send `text` to every address of a person (SP 800-63B §4.6: all but postal ones); nothing when there is none.

    A notice never carries a one-time secret; an undo link in it can end something and start nothing.
    """
    if to:
        jobs.enqueue(tx, clock, entropy, MAIL_JOB, {"to": list(to), "subject": subject, "text": text})
