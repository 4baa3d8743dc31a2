"""Drift of a table, side by side with other libraries: `python -m benchmarks.drift`."""
