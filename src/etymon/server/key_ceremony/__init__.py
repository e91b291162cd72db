# SPDX-License-Identifier: Apache-2.0
"""Key ceremonies: two people confirm a script with their cards, it is performed as written, and a record remains."""
