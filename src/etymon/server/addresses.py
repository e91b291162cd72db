# SPDX-License-Identifier: Apache-2.0
"""Addresses that an operator writes into settings: judged, and written the one way that everybody compares."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

HTTPS_PORT: Final = 443

_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


def http_origin(value: str) -> str:
    """Return a plain address of certificates' status without its last slash; ValueError for another."""
    parts = urlsplit(value)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        message = "an address such as http://status.agency.example; certificates carry it, so it is plain http"
        raise ValueError(message)
    return value.rstrip("/")


def https_origin(value: str) -> str:
    """Return the address as browsers write an origin: lower-case, without the usual port."""
    parts = urlsplit(value)
    host, further = parts.hostname or "", (parts.path.strip("/"), parts.query, parts.fragment, parts.username)
    if parts.scheme != "https" or not _HOST.fullmatch(host) or any(further):
        message = "an https address without a path, such as https://etymon.agency.example"
        raise ValueError(message)
    return https_address(host, HTTPS_PORT if parts.port is None else parts.port)


def https_address(host: str, port: int) -> str:
    """Return an origin as browsers write it."""
    written = f"[{host}]" if ":" in host else host
    return f"https://{written}" + ("" if port == HTTPS_PORT else f":{port}")


def neighbour(value: str) -> str:
    """Return an address of one machine as a listener sees it."""
    try:
        address = ip_address(value)
    except ValueError:
        address = None
    if address is None or address.is_unspecified or address.is_multicast:
        message = "name each proxy by its own IP address"
        raise ValueError(message)
    return str(address)


def may_be_same_site(one: str, other: str) -> bool:
    """Whether browsers may send `SameSite` cookies from one origin to the other (RFC 6265bis §5.2).

    That depends on the list of public suffixes, which is not here: only what cannot be is told.
    """
    hosts = (urlsplit(one).hostname or "", urlsplit(other).hostname or "")
    if hosts[0] == hosts[1]:
        return True
    if any(map(_is_address, hosts)):
        return False
    labels = [host.split(".")[::-1] for host in hosts]
    return labels[0][:2] == labels[1][:2] and all(len(found) > 1 for found in labels)


def is_loopback(host: str) -> bool:
    """Say whether a name or address is of the machine itself."""
    if host == "localhost":
        return True
    return _is_address(host) and ip_address(host).is_loopback


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
