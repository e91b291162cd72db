# SPDX-License-Identifier: Apache-2.0
"""The whole story on one machine, with real peers as judges."""
