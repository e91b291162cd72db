# SPDX-License-Identifier: Apache-2.0
"""Administration as code: brings about what one file says of an organisation, over the administration API alone."""
