# SPDX-License-Identifier: Apache-2.0
"""What an administrator sets as the organisation's looks is on the pages soon after, without a restart."""

from etymon.mdm import branding
from etymon.web.branding import Branding
from support import patience
from support.whole_site import WholeSite


def test_pages_change_with_the_branding_and_certificates_keep_the_organisations_name(own_site: WholeSite) -> None:
    site_url = own_site.wiring.deployment.settings.site_url
    deps = own_site.wiring.mdm
    with own_site.browser() as browser:
        for path in ("/issuer/", "/idp/device"):
            assert "Bureau of Tides" not in browser.get(site_url + path).words
        with deps.database.transaction() as tx:
            branding.create(tx, deps, "Default", Branding("Bureau of Tides", "#1d5c3a"), actor="test")
        for path in ("/issuer/", "/idp/device"):
            patience.until(lambda path=path: "Bureau of Tides" in browser.get(site_url + path).words, "the branding")  # type: ignore[misc]  # bound now
    assert own_site.wiring.issuer.subject_organization == own_site.wiring.deployment.settings.organization
