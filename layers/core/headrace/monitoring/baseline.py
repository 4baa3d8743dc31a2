"""What live traffic is compared with: `baseline.json`, which the job that trained the model wrote.

Profiles and counts stay plain JSON values here, so that who only keeps a baseline needs no
statistics; `Profile.from_dict` and the counts' own `from_dict` of `headrace_profiling` read them.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.definition import Problem
from headrace.errors import MonitoringError

SCHEMA_VERSION = 1
Document = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QualityCounts(_Part):
    """How good the predictions of the held-out rows were: `Binary`, `Multiclass`, `Regression`."""

    kind: Problem
    counts: Document


class Attributions(_Part):
    """How much each feature moved the predictions of some held-out rows, on average."""

    rows: int
    features: dict[str, float]


class FacetCounts(_Part):
    """Outcomes and predictions of the held-out rows, inside and outside of a group: `Facet`."""

    values: list[str]
    counts: Document


class SegmentProfiles(_Part):
    """The rows of one value of a column."""

    inputs: Document
    predictions: Document


class Baseline(_Part):
    """The rows a model was trained and measured on.

    `inputs` is the profile of all labelled rows, as the endpoint is asked with them; everything
    else is about the rows that were held out. `predictions` has the columns score and label (of a
    regression the score alone). `classes` are all labels, the positive one last. None is what this
    model does not have: `quality` where its scores are no probabilities, `attribution` of a model
    that is not XGBoost's. A class, and the value of a segment or a facet, is text: whole numbers
    without a fraction, `true` and `false`, times in ISO 8601.
    """

    schema_version: Literal[1]
    run: str
    model: str
    problem: Problem
    classes: list[str] | None = None
    rows: int
    inputs: Document
    predictions: Document
    quality: QualityCounts | None
    attribution: Attributions | None
    bias: dict[str, FacetCounts]
    segments: dict[str, dict[str, SegmentProfiles]]

    @classmethod
    def from_json(cls, content: str | bytes) -> "Baseline":
        """Read baseline.json.

        Raises:
            MonitoringError: it is of another version, or is not what it should be.
        """
        try:
            document = json.loads(content)
        except ValueError as error:
            raise MonitoringError(f"baseline.json is not JSON: {error}.") from error
        version = document.get("schema_version") if isinstance(document, Mapping) else None
        if version != SCHEMA_VERSION:
            raise MonitoringError(
                f"baseline.json has schema version {version!r}, this stack reads {SCHEMA_VERSION}: "
                "build the image of this release (`headrace image`), then train again."
            )
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise MonitoringError(
                f"baseline.json of run {document.get('run')} is not valid: {where}: {first['msg']}."
            ) from error
