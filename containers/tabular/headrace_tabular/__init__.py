"""Tabular models: one job that makes features, trains and evaluates; one server that predicts.

Runs inside SageMaker's training and hosting containers. It sees folders and `SM_*`/`SAGEMAKER_*`
variables, never a cloud. Libraries that are slow to import are imported where they are used.
"""
