# SPDX-License-Identifier: Apache-2.0
"""Credentials as a phone reports them at its check-in."""

from datetime import timedelta

from etymon.mdm.model import HeldCredential, Purpose
from support.mdm_site import MDMSite


def credential(purpose: Purpose, site: MDMSite, *, days: int = 100) -> HeldCredential:
    return HeldCredential(purpose, bytes([len(purpose.value)]) * 32, site.clock.now() + timedelta(days=days))
