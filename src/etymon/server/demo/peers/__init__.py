# SPDX-License-Identifier: Apache-2.0
"""Real relying parties and judges, run by an ordinary user in a directory of their own, on loopback only."""
