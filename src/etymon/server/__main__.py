# SPDX-License-Identifier: Apache-2.0
"""`python -m etymon.server`: the same as `etymon`."""

from etymon.server.command_line import main

main()
