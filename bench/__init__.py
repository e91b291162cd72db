"""Benchmarks: `python -m bench [NAME …]` prints one JSON object a line (names are stable; docs/performance.md)."""
