# SPDX-License-Identifier: Apache-2.0
"""Where the phone's private keys are: made, imported and used there, never given back."""
