# SPDX-License-Identifier: Apache-2.0
"""Notices to people, written in the transaction of what they tell of and delivered by a worker."""

from collections.abc import Sequence
from typing import Final

from etymon.kernel.clock import Clock
from etymon.kernel.entropy import Entropy
from etymon.storage import jobs
from etymon.storage.database import Transaction

MAIL_JOB: Final = "mail.send"
"""Payload: `to` (a list of one address), `subject`, `text`."""


def notify(tx: Transaction, clock: Clock, entropy: Entropy, to: Sequence[str], subject: str, text: str) -> None:
    """Send `text` to every address of a person (SP 800-63B §4.6: all but postal ones); nothing when there is none.

    Each gets a message of its own, which says nothing of the others and waits for none of them. A notice never carries
    a one-time secret; an undo link in it can end something and start nothing.
    """
    for address in to:
        jobs.enqueue(tx, clock, entropy, MAIL_JOB, {"to": [address], "subject": subject, "text": text})
