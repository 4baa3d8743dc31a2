"""The stage from a drop to a dataset version: every decision, and no AWS.

`arrivals` says where an object belongs, `completeness` when a drop is whole, `inspection` which
files to look at and what was found, `assembly` what the dataset version is.
"""
