"""The HTML page of a report: `render`; `buckets.buckets_of` makes what its charts draw."""

from headrace.monitoring.page.document import render

__all__ = ["render"]
