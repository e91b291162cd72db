# SPDX-License-Identifier: Apache-2.0
"""The endpoint manager's queries; every function takes an open transaction and commits nothing."""
