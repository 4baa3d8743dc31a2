"""What a labeling job reads and writes in S3.

Input: "Use an Input Manifest File"; folders and files of the output: "Labeling job output data".
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Iterable
from typing import Any

from local.sagemaker.labeling.items import Answer, Item
from local.sagemaker.store import Record
from local.sagemaker.transfer import S3, Location

_LINE, _ATTRIBUTE = 100_000, 20_000  # characters
_WORKERS = uuid.UUID("6f1d2a52-7f0e-4a53-9d0e-6d1f1a4b7c11")  # names workers by their names


class ManifestError(Exception):
    """The input cannot be labelled; the message is the job's FailureReason."""


def read_manifest(s3: S3, uri: str) -> list[Record]:
    """Return the objects of an input manifest. Raises ManifestError, TransferError."""
    try:
        text = s3.get(uri).decode()
    except UnicodeDecodeError as error:
        raise ManifestError(f"The input manifest {uri} is not UTF-8") from error
    lines = [
        _object(line, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    if not lines:
        raise ManifestError(f"The input manifest {uri} is empty")
    return lines


def _object(line: str, number: int) -> Record:
    if len(line) > _LINE:
        raise ManifestError(f"Line {number} of the input manifest has over {_LINE} characters")
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ManifestError(f"Line {number} of the input manifest is not JSON: {error}") from error
    if not isinstance(found, dict) or ("source" in found) == ("source-ref" in found):
        raise ManifestError(f"Line {number} of the input manifest needs `source` or `source-ref`")
    for name, value in found.items():
        if name.startswith("$"):
            raise ManifestError(f"Line {number}: the name {name} must not start with $")
        if len(json.dumps(value)) > _ATTRIBUTE:
            raise ManifestError(f"Line {number}: {name} has over {_ATTRIBUTE} characters")
    return found


def read_labels(s3: S3, uri: str) -> list[str]:
    """Return the labels of a label category configuration. Raises ManifestError."""
    try:
        labels = [str(each["label"]) for each in json.loads(s3.get(uri))["labels"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"The label categories {uri} are malformed: {error}") from error
    if len(labels) < 1 or len(set(labels)) < len(labels):
        raise ManifestError(f"The label categories {uri} are empty or repeat a label")
    return labels


class Output:
    """A job's folder below S3OutputPath."""

    def __init__(self, s3: S3, job: Record) -> None:
        self._s3 = s3
        self._folder = Location.of(job["OutputConfig"]["S3OutputPath"]) / job["LabelingJobName"]
        self._region = job["LabelingJobArn"].split(":")[3]

    @property
    def manifest(self) -> str:
        """Where the output manifest is."""
        return str(self._folder / "manifests/output/output.manifest")

    def write_response(self, iteration: int, answer: Answer) -> None:
        """Write one worker's answer, with what is known of the worker."""
        when = dt.datetime.fromtimestamp(answer.submitted, dt.UTC)
        worker = worker_id(self._region, answer.worker)
        entry = {
            "answers": [
                {
                    "acceptanceTime": _milliseconds(answer.claimed),
                    "answerContent": answer.content,
                    "submissionTime": _milliseconds(answer.submitted),
                    "timeSpentInSeconds": round(answer.submitted - answer.claimed, 3),
                    "workerId": worker,
                    "workerMetadata": {
                        "identityData": {
                            "identityProviderType": "Cognito",
                            "issuer": f"https://cognito-idp.{self._region}.amazonaws.com/local",
                            "sub": str(uuid.uuid5(_WORKERS, answer.worker)),
                        }
                    },
                }
            ]
        }
        folder = f"annotations/worker-response/iteration-{iteration}/{answer.number}"
        self._put(f"{folder}/{when:%Y-%m-%d_%H:%M:%S}-{worker[-6:]}.json", entry)

    def write_request(self, iteration: int, items: Iterable[tuple[Item, list[Answer]]]) -> str:
        """Write the payload of a post-annotation function; return where it is."""
        payload = [
            {
                "datasetObjectId": str(item.number),
                "dataObject": _data_object(item.line),
                "annotations": [
                    {
                        "workerId": worker_id(self._region, answer.worker),
                        "annotationData": {"content": json.dumps(answer.content)},
                    }
                    for answer in answers
                ],
            }
            for item, answers in items
        ]
        when = dt.datetime.now(dt.UTC)
        name = f"consolidation-request/iteration-{iteration}/{when:%Y-%m-%d_%H:%M:%S}.json"
        return self._put(f"annotations/consolidated-annotation/{name}", payload)

    def write_answer(self, iteration: int, labels: dict[str, Record]) -> None:
        """Write what the answers were consolidated to."""
        entries = [
            {"datasetObjectId": number, "consolidatedAnnotation": {"content": content}}
            for number, content in labels.items()
        ]
        when = dt.datetime.now(dt.UTC)
        name = f"consolidation-response/iteration-{iteration}/{when:%Y-%m-%d_%H:%M:%S}.json"
        self._put(f"annotations/consolidated-annotation/{name}", entries)

    def write_manifest(self, items: list[Item], iteration: int | None = None) -> None:
        """Write the output manifest, or with an iteration the intermediate one."""
        lines = [_labelled(item) for item in items]
        name = f"annotations/intermediate/{iteration}/output.manifest"
        where = self.manifest if iteration is None else str(self._folder / name)
        body = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self._s3.put(Location.of(where), body.encode())

    def _put(self, name: str, document: Any) -> str:
        location = self._folder / name
        self._s3.put(location, json.dumps(document).encode())
        return str(location)


def _labelled(item: Item) -> Record:
    """Return an object's line: with its label, with why it has none, or as it was."""
    return {**item.line, **(item.outcome or {})}


def failure(job: Record, kind: str, reason: str) -> Record:
    """Return what the line of a failed object gains."""
    return {
        f"{job['LabelAttributeName']}-metadata": {
            "failure-reason": reason,
            "type": kind,
            "job-name": f"labeling-job/{job['LabelingJobName']}",
            "human-annotated": "yes",
            "creation-date": dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(),
        }
    }


def custom_metadata(job: Record) -> Record:
    """Return the metadata that Ground Truth adds to the labels of a custom job."""
    return {
        "type": "groundtruth/custom",
        "job-name": job["LabelingJobName"],
        "human-annotated": "yes",
        "creation-date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S+0000"),
    }


def worker_id(region: str, worker: str) -> str:
    """Return the id under which a worker appears in annotations."""
    return f"private.{region}.{hashlib.sha256(worker.encode()).hexdigest()[:16]}"


def _data_object(line: Record) -> Record:
    return {"content": line["source"]} if "source" in line else {"s3Uri": line["source-ref"]}


def _milliseconds(epoch: float) -> str:
    when = dt.datetime.fromtimestamp(epoch, dt.UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"
