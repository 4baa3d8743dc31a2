"""AWS on loopback: MiniStack and its corrections, and a SageMaker that really runs its jobs.

Nothing of the product imports this package; it is reached only through the AWS APIs it serves
(`python -m local --state DIR --port PORT`). What it cannot do is listed in docs/local-mode.md.
"""
