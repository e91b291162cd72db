# SPDX-License-Identifier: Apache-2.0
"""Connectors to issuers of derived credentials."""
