# SPDX-License-Identifier: Apache-2.0
"""A SCEP connector that Intune confirms, with the stand-in for Intune beside it."""

import uuid

from etymon.issuer.intune.connection import Connection
from support.intune_service import Intune
from support.scep_site import Device, SCEPSite

CHALLENGE = "eyJ" + "QlobOfIntune" * 200
"""Far longer than a challenge password of PKCS #9 may be."""


class Tenancy:
    """A site with a connector that Intune confirms, and the stand-in beside it."""

    def __init__(self, site: SCEPSite, cloud: Intune, connection: Connection) -> None:
        self.site, self.cloud, self.connection = site, cloud, connection

    def challenge(self) -> str:
        return f"{CHALLENGE}{uuid.uuid4().hex}"

    def device(self) -> Device:
        return self.site.device(connector="intune", common_name="alice on her phone")
