# SPDX-License-Identifier: Apache-2.0
"""The site's four addresses, opened before anything else is done, so that what cannot be had is told at once."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from etymon.kernel.errors import Conflict, EtymonError, Malformed, NotPermitted, Unavailable
from etymon.server.settings import Settings
from etymon.web.connections import CannotListen, ConnectionLimits, Entrance


def limits(read: Settings) -> ConnectionLimits:
    """Return what each listener bears."""
    return ConnectionLimits(connections=read.most_connections)


@contextmanager
def opened(read: Settings) -> Iterator[Mapping[str, Entrance]]:
    """Lend what the site's listeners are reached by, under the listeners' names; raise with the setting to change."""
    ports = {
        "site": read.site_port,
        "certauth": read.certauth_port,
        "device": read.device_port,
        "status": read.status_port,
    }
    with ExitStack() as stack:
        entrances = {}
        for name, port in ports.items():
            try:
                entrances[name] = Entrance(name, read.bind, port, limits(read))
            except CannotListen as refused:
                raise explained(refused) from refused
            stack.callback(entrances[name].close)
        yield entrances


def explained(refused: CannotListen) -> EtymonError:
    """Return the refusal with the setting that it is about, and what to do."""
    setting = f"{refused.listener}_port"
    if refused.number == errno.EADDRINUSE:
        return Conflict(
            "port_taken",
            f"{setting}: another program has port {refused.port} of {refused.host}. End it, or choose another port.",
        )
    if refused.number == errno.EADDRNOTAVAIL:
        return Malformed("address_not_here", f"bind: {refused.host} is no address of this machine.")
    if refused.number in {errno.EACCES, errno.EPERM}:
        return NotPermitted(
            "port_not_permitted",
            f"{setting}: this user may not listen on port {refused.port}. Ports below 1024 need CAP_NET_BIND_SERVICE "
            "(AmbientCapabilities of a systemd unit).",
        )
    return Unavailable("cannot_listen", f"bind, {setting}: {refused.detail}")
