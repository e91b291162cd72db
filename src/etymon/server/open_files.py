# SPDX-License-Identifier: Apache-2.0
"""Room for every connection that the listeners may have: a process that runs out of open files fails everywhere."""

import resource
from typing import Final

from etymon.kernel.errors import Malformed
from etymon.web.connections import BACKLOG

LISTENERS: Final = 4
OTHERS: Final = 256
"""Files a site opens besides its clients' connections: the database's, logs, questions to other hosts."""


def provide(most_connections: int) -> None:
    """Raise this process's limit of open files as far as is needed, or raise Malformed where the system forbids it."""
    needed = LISTENERS * (most_connections + BACKLOG) + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise Malformed(
                "too_few_open_files",
                f"most_connections: {most_connections} for each of {LISTENERS} listeners need {needed} open files, and "
                f"this process may have {hard}. Lower the setting, or raise the limit (LimitNOFILE, ulimit -Hn).",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
