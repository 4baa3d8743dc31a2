"""Headrace: from a change in the data to a reliable production update of a model.

The domain is pure: one module or package per stage of the journey, verdicts as values. Everything
that talks to AWS is in `headrace.aws`.
"""
