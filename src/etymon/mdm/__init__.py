# SPDX-License-Identifier: Apache-2.0
"""The endpoint manager: phones enroll, check in, get what is assigned to their people, and are let go again.

It knows the identity provider by its OIDC issuer address and keys, and credential issuers by their management API.
"""
