"""What other libraries answer to the same questions: `python -m benchmarks.oracles`."""
