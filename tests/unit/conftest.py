"""Hypothesis without a deadline: a busy machine is slow now and then, which is no fault."""

from hypothesis import settings

settings.register_profile("headrace", deadline=None, max_examples=40)
settings.load_profile("headrace")
