# SPDX-License-Identifier: Apache-2.0
"""Resources as JSON: bodies that are read, entities that are shown (docs/protocols/administration.md). No I/O."""
