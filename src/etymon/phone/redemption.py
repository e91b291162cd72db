# SPDX-License-Identifier: Apache-2.0
"""Redemption: the scanned code, and the password beside it where there is one, for the digits to compare (link.md)."""

import re
from typing import Final

from etymon.kernel.errors import NotPermitted
from etymon.kernel.secret import Secret
from etymon.phone import link, under_way
from etymon.phone.device import Device
from etymon.phone.screen import Screen, SecretRequest, SecretUse
from etymon.phone.state import DerivationStep, Purpose

PASSWORD_WRONG: Final = "link_password_wrong"  # noqa: S105 - the name of a refusal
_SEPARATORS: Final = re.compile(r"[\s-]+")


def redeem(device: Device, screen: Screen) -> None:
    """Redeem the link, asking for the password until the issuer takes it or ends the link.

    The password is written down before it is sent: after a lost answer the same is sent again, for the PC shows it no
    more.
    """
    derivation = under_way.derivation(device)
    if derivation.service is None:
        derivation = under_way.change(device, service=link.service(device, derivation.address))
    if derivation.step is not DerivationStep.SCANNED:
        return
    service = under_way.service(derivation)
    link_key = under_way.key(device, Purpose.AUTHENTICATION)
    problem = ""
    while True:
        if derivation.password_digits and derivation.password is None:
            password = _typed(screen, derivation.password_digits, problem)
            derivation = under_way.change(device, password=password)
        try:
            redeemed = link.redeem(device, derivation, service, link_key)
        except NotPermitted as refused:
            if refused.code != PASSWORD_WRONG or not derivation.password_digits:
                raise
            problem = refused.detail
            derivation = under_way.change(device, password=None)
        else:
            under_way.change(device, redemption=redeemed, step=DerivationStep.COMPARING, password=None)
            return


def _typed(screen: Screen, digits: int, problem: str) -> Secret[str]:
    """Ask until what was typed looks like the number; that costs no try."""
    while True:
        typed = _SEPARATORS.sub("", screen.ask_secret(SecretRequest(SecretUse.LINK, problem, digits)).reveal())
        if len(typed) == digits and typed.isascii() and typed.isdecimal():
            return Secret(typed)
        problem = f"The number beside the code has {digits} digits."
