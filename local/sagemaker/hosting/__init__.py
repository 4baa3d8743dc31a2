"""Endpoints that really serve: their processes, their traffic, and what is recorded of it."""
