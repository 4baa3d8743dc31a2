"""Warm pools: what stays provisioned after a training job, for a matching one to reuse.

Nothing is provisioned here, so that a pool is a status with a time. Source: "SageMaker AI Managed
Warm Pools" of the developer guide (life cycle, matching training jobs).
"""

from __future__ import annotations

from typing import Any

from local.sagemaker.errors import invalid
from local.sagemaker.resources import Resources
from local.sagemaker.store import Record

_SINCE = "_warm_since"
_MATCHED = (
    *("RoleArn", "VpcConfig", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption"),
)
_MATCHED_RESOURCES = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")


def take(jobs: Resources, record: Record, now: float) -> None:
    """Give a job that starts the pool of an earlier one that matches, if there is any.

    A job on spot instances takes none, as it may not keep one.
    """
    name = record["TrainingJobName"]
    if record.get("EnableManagedSpotTraining"):
        return
    with jobs.store.lock:
        found = next(
            (job for job in jobs.all() if _is_free(job, now) and _match(job, record)), None
        )
        if found:
            kept = {**_left(found, now), "Status": "Reused", "ReusedByJob": name}
            jobs.update(found["TrainingJobName"], {"WarmPoolStatus": kept})
    if found or _period(record):
        jobs.update(name, {"WarmPoolStatus": {"Status": "InUse"}})


def release(jobs: Resources, name: str, completed: bool, now: float) -> None:
    """Settle the pool of a job that ended: kept alive only after one that completed."""
    record = jobs.get(name)
    if record.get("WarmPoolStatus", {}).get("Status") != "InUse":
        return
    kept = completed and _period(record) > 0
    status = {"Status": "Available" if kept else "Terminated"}
    jobs.update(name, {"WarmPoolStatus": status, _SINCE: now})


def shown(record: Record, now: float) -> Record:
    """Return a job's record with its pool as it is now."""
    status = record.get("WarmPoolStatus")
    if not status or status["Status"] != "Available":
        return record
    gone = now >= record[_SINCE] + _period(record)
    return {
        **record,
        "WarmPoolStatus": {
            **_left(record, now),
            "Status": "Terminated" if gone else "Available",
        },
    }


def extend(record: Record, period: int, now: float) -> Record:
    """Return the members of a job whose pool is to be kept for another period; 0 ends it."""
    if shown(record, now).get("WarmPoolStatus", {}).get("Status") != "Available":
        raise invalid(
            "KeepAlivePeriodInSeconds can only be updated when the warm pool's status is Available."
        )
    members: dict[str, Any] = {
        "ResourceConfig": {**record["ResourceConfig"], "KeepAlivePeriodInSeconds": period}
    }
    if period == 0:
        members["WarmPoolStatus"] = {**_left(record, now), "Status": "Terminated"}
    return members


def _left(record: Record, now: float) -> Record:
    spent = min(now - record[_SINCE], _period(record))
    return {"ResourceRetainedBillableTimeInSeconds": round(spent)}


def _period(record: Record) -> int:
    return int(record["ResourceConfig"].get("KeepAlivePeriodInSeconds") or 0)


def _is_free(record: Record, now: float) -> bool:
    status: str = shown(record, now).get("WarmPoolStatus", {}).get("Status", "")
    return status == "Available"


def _match(pool: Record, job: Record) -> bool:
    ours, theirs = pool["ResourceConfig"], job["ResourceConfig"]
    return all(pool.get(member) == job.get(member) for member in _MATCHED) and all(
        ours.get(member) == theirs.get(member) for member in _MATCHED_RESOURCES
    )
