# SPDX-License-Identifier: Apache-2.0
"""A software PIV card, a client that reads and uses PIV cards, and TLS with a key that stays where it is."""
