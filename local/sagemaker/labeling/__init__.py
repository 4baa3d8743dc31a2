"""Labeling work: items that people answer, and how their answers become labels."""
