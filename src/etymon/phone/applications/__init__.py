# SPDX-License-Identifier: Apache-2.0
"""What apps on the phone do with the derived credential. All of it happens inside a use session."""
