# SPDX-License-Identifier: Apache-2.0
"""The administration API: an organisation's people, devices and policies in the shape of Microsoft Graph."""
