"""Hyperparameter tuning's decisions: what to try next, what to stop, when to end."""
