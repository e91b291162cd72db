# SPDX-License-Identifier: Apache-2.0
"""Pure codecs: bytes to values and back, no clock, database, log or network."""
