"""Finds what live traffic of a version is compared with: the baseline its run made."""

from headrace.aws.storage import Location, Storage
from headrace.errors import MonitoringError
from headrace.monitoring.baseline import Baseline
from headrace.monitoring.layout import baseline_key


def find_baseline(model: str, run: str | None, bucket: str, storage: Storage) -> Baseline | str:
    """Return the baseline of a run in the artifacts bucket, or why there is none.

    One that another release wrote is none: what its version answers is kept all the same, and does
    not hold up other versions.
    """
    found = storage.find_tagged(Location(bucket, baseline_key(model, run))) if run else None
    if found is None:
        return "the version that serves has no baseline: train it again to have one"
    try:
        return Baseline.from_json(found[0])
    except MonitoringError as error:
        return f"the version that serves has no baseline that can be read: {error}"
