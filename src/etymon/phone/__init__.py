# SPDX-License-Identifier: Apache-2.0
"""A simulated Android phone under management: agent, key store and what the credential is used for."""
