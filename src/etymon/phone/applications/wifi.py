# SPDX-License-Identifier: Apache-2.0
"""Joining a network: what the supplicant is handed, for as long as the use session lasts."""

from etymon.kernel.errors import NotFound
from etymon.phone.device import Device
from etymon.phone.key_store.contract import TokenReference
from etymon.phone.profiles import wifi
from etymon.phone.profiles.desired_state import credential_entry
from etymon.phone.state import Purpose, ResultState


def network(device: Device, ssid: str, *, tls13: bool = True) -> tuple[str, TokenReference]:
    """Return a wpa_supplicant network block that can connect, and the token it reaches; both carry the token's PIN.

    `NotFound` `no_network` where no policy set the network up for a supplicant on this phone.
    """
    done = {item.policy for item in device.state.management.results if item.state is ResultState.SUCCEEDED}
    entry = credential_entry(device, Purpose.AUTHENTICATION)
    for policy in device.state.management.policies:
        if policy.type != wifi.TYPE or policy.policy not in done or entry is None:
            continue
        settings = wifi.network(policy)
        token = device.keys.token_reference(entry.alias)
        if settings.ssid == ssid and token is not None:
            directory = device.applied / str(policy.policy)
            return wifi.network_block(settings, directory, entry, token, tls13=tls13), token
    raise NotFound("no_network", f"No policy set {ssid} up on this phone.")
