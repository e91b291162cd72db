# SPDX-License-Identifier: Apache-2.0
"""What each kind of policy does to the phone."""
