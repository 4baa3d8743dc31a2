"""What monitoring does in AWS; only functions that have the profiling layer import this."""
