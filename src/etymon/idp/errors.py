# SPDX-License-Identifier: Apache-2.0
"""Refusals of the OAuth endpoints, by the names RFC 6749 §5.2, RFC 8628 §3.5 and OpenID Connect Core §3.1.2.6 give.

Those names say little. A refusal that an auditor has to see has a `reason` among its facts; it is in log and trail.
"""

from etymon.kernel.errors import Conflict, Expired, Malformed, NotAuthenticated, NotPermitted


def invalid_request(detail: str) -> Malformed:
    """The request lacks a parameter, repeats one or has one that cannot be."""
    return Malformed("invalid_request", detail)


def invalid_client() -> NotAuthenticated:
    """The client is not known, or did not show that it is this client."""
    return NotAuthenticated("invalid_client", "The client is not registered, or did not authenticate itself.")


def invalid_grant(detail: str, reason: str) -> NotPermitted:
    """The code or token is unknown, late, used, ended or another client's."""
    return NotPermitted("invalid_grant", detail, reason=reason)


def unauthorized_client(detail: str) -> NotPermitted:
    """This client may not ask in this way."""
    return NotPermitted("unauthorized_client", detail, reason="grant_not_registered")


def unsupported_grant_type() -> Malformed:
    """There is no such grant here."""
    return Malformed("unsupported_grant_type", "Use authorization_code, refresh_token or the device code grant.")


def invalid_scope(detail: str) -> Malformed:
    """The scope cannot be given."""
    return Malformed("invalid_scope", detail)


def access_denied(detail: str, reason: str | None = None) -> NotPermitted:
    """The person, or a rule, said no; a rule gives its reason."""
    return NotPermitted("access_denied", detail, **({"reason": reason} if reason else {}))


def authorization_pending() -> Conflict:
    """Nobody has decided yet."""
    return Conflict("authorization_pending", "Nobody has approved this yet. Ask again after the interval.")


def slow_down() -> Conflict:
    """Nobody has decided yet, and the client asks too often."""
    return Conflict("slow_down", "Ask less often: the interval is five seconds longer from now on.")


def expired_token() -> Expired:
    """The device code's time is over."""
    return Expired("expired_token", "The code is more than five minutes old. Start again.")


def login_required(detail: str) -> NotPermitted:
    """The request forbids pages, and one is needed."""
    return NotPermitted("login_required", detail)
