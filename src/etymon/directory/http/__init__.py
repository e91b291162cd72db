# SPDX-License-Identifier: Apache-2.0
"""The directory's face for identity feeds: SCIM 2.0 on the site listener (docs/protocols/scim.md)."""

from etymon.directory.http.scim import site_routes

__all__ = ["site_routes"]
