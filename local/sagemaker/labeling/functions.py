"""The functions of a labeling job: which are AWS's, done here; the user's own, called as AWS does.

Requests and answers: "Pre-annotation and Post-annotation Lambda Function Requirements". AWS's
functions are told by their account, which is not ours (API_HumanTaskConfig lists them).
"""

from __future__ import annotations

import json
import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.errors import invalid, not_implemented
from local.sagemaker.labeling.consolidation import TYPES
from local.sagemaker.store import Record

VERSION = "2018-10-16"
_BUILT_IN = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:(\d{12}):function:(PRE|ACS)-(\w+)")


class FunctionFailedError(Exception):
    """A function could not be called, failed, or answered something else than documented."""


def task_type(job: Record, account: str) -> str | None:
    """Return the built-in task type of a job, None for one with functions of its own.

    Raises ValidationException where only one of the two is built in or their types differ, and
    refuses built-in types that are not done here.
    """
    config = job["HumanTaskConfig"]
    post = config.get("AnnotationConsolidationConfig", {}).get("AnnotationConsolidationLambdaArn")
    if post is None:
        raise not_implemented("A labeling job without AnnotationConsolidationConfig")
    types = [_built_in(arn, account) for arn in (config.get("PreHumanTaskLambdaArn"), post) if arn]
    if None in types and any(types):
        raise invalid(
            "PreHumanTaskLambdaArn and AnnotationConsolidationLambdaArn must both be functions of "
            "AWS or both be your own."
        )
    if len(set(types)) > 1:
        raise invalid(f"The functions are for different task types: {types[0]} and {types[1]}.")
    kind = types[0]
    if kind is not None and kind not in TYPES:
        raise not_implemented(f"AWS's labeling function for {kind}")
    return kind


def _built_in(arn: str, account: str) -> str | None:
    match = _BUILT_IN.fullmatch(arn)
    return match[3] if match and match[1] != account else None


class Functions:
    """Calls a job's own functions, with the job's role."""

    def __init__(self, client: Any, job: Record) -> None:
        self._client = client
        self._job = job
        self._config = job["HumanTaskConfig"]

    def before(self, line: Record) -> tuple[Any, bool]:
        """Return what people are shown of an object, and whether people are needed.

        Raises FunctionFailedError.
        """
        arn = self._config.get("PreHumanTaskLambdaArn")
        if arn is None:
            return line, True
        event = {
            "version": VERSION,
            "labelingJobArn": self._job["LabelingJobArn"],
            "dataObject": line,
        }
        answer = self._invoke(arn, event)
        if not isinstance(answer, dict) or "taskInput" not in answer:
            raise FunctionFailedError(f"{arn} did not answer with a taskInput")
        needed = answer.get("isHumanAnnotationRequired", True)
        return answer["taskInput"], str(needed).lower() != "false"

    def after(self, labels: list[str], payload: str) -> dict[str, Record]:
        """Return what each object (by datasetObjectId) is labelled. Raises FunctionFailedError."""
        arn = self._config["AnnotationConsolidationConfig"]["AnnotationConsolidationLambdaArn"]
        event = {
            "version": VERSION,
            "labelingJobArn": self._job["LabelingJobArn"],
            "labelCategories": labels,
            "labelAttributeName": self._job["LabelAttributeName"],
            "roleArn": self._job["RoleArn"],
            "payload": {"s3Uri": payload},
        }
        answer = self._invoke(arn, event)
        try:
            return {
                str(each["datasetObjectId"]): each["consolidatedAnnotation"]["content"]
                for each in answer
            }
        except (KeyError, TypeError) as error:
            raise FunctionFailedError(
                f"{arn} did not answer with a list of datasetObjectId and consolidatedAnnotation"
            ) from error

    def _invoke(self, arn: str, event: Record) -> Any:
        try:
            response = self._client.invoke(FunctionName=arn, Payload=json.dumps(event))
            answer = json.loads(response["Payload"].read() or b"null")
        except (ClientError, BotoCoreError, ValueError) as error:
            raise FunctionFailedError(f"{arn}: {error}") from error
        if "FunctionError" in response:
            message = answer.get("errorMessage") if isinstance(answer, dict) else answer
            raise FunctionFailedError(f"{arn} failed: {message}")
        return answer
