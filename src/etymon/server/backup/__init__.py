# SPDX-License-Identifier: Apache-2.0
"""Backups of a deployment: one consistent, encrypted archive, and an organisation made from it again."""
