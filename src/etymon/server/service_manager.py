# SPDX-License-Identifier: Apache-2.0
"""Telling the service manager that a service is ready (systemd, `Type=notify`; sd_notify(3))."""

import socket

import structlog

log = structlog.get_logger("etymon.server")


def tell_ready(address: str) -> None:
    """Send READY=1 to the socket that $NOTIFY_SOCKET names; nothing where there is none."""
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        try:
            manager.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)
        except OSError as exc:  # the site runs all the same
            log.warning("service_manager_not_told", error=str(exc))
