# SPDX-License-Identifier: Apache-2.0
"""Sign-in by device authorization (RFC 8628): a person approves with the card, in a browser of their own."""

from collections.abc import Callable
from typing import Final, TypeAlias

from etymon.kernel.errors import Unavailable
from etymon.server.apply.administration_api import Wait
from etymon.server.apply.identity_provider import Granted, Provider, Refused, refusal

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_SECONDS: Final = 5
SLOWER_BY_SECONDS: Final = 5
"""RFC 8628 §3.2 and §3.5."""

Show: TypeAlias = Callable[[str, str], None]
"""Shows a person the address to open and the code to type there."""


def sign_in(provider: Provider, wait: Wait, show: Show) -> Granted:
    """Return what was granted after approval; raises NotPermitted when it was denied or nobody approved in time."""
    started = provider.start_device_authorization()
    try:
        device_code, user_code = str(started["device_code"]), str(started["user_code"])
        address, seconds = str(started["verification_uri"]), int(started["expires_in"])
        interval = int(started.get("interval", INTERVAL_SECONDS))
    except (KeyError, ValueError, TypeError) as exc:
        raise Unavailable(
            "identity_provider_not_understood", "The identity provider's device authorization cannot be understood."
        ) from exc
    show(address, user_code)
    waited = 0
    while waited <= seconds:  # counted, not read from a clock: this machine's may be wrong
        wait(interval)
        waited += interval
        answer = provider.ask_for_token({"grant_type": GRANT_TYPE, "device_code": device_code})
        if isinstance(answer, Granted):
            return answer
        if answer.error == "slow_down":
            interval += SLOWER_BY_SECONDS
        elif answer.error != "authorization_pending":
            raise refusal(answer)
    raise refusal(Refused("expired_token", ""))
