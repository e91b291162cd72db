# SPDX-License-Identifier: Apache-2.0
"""Settings, wiring, listeners, worker, command line, demo: the only place that knows everything."""
