"""Job definitions of monitoring: data quality, model quality, model bias, model explainability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from local.sagemaker.families.base import Family
from local.sagemaker.resources import Handler, Kind
from local.sagemaker.store import Record


@dataclass(frozen=True)
class _Kind(Kind):
    """The four kinds name their resources alike."""

    @property
    def key(self) -> str:
        return "JobDefinitionName"

    @property
    def arn_member(self) -> str:
        return "JobDefinitionArn"


def _kind(name: str, slug: str) -> Kind:
    return _Kind(
        name=f"{name}JobDefinition",
        slug=f"{slug}-job-definition",
        missing="Could not find the requested job definition {arn}.",
        missing_code="ResourceNotFound",
        duplicate="A job definition with this name already exists ({arn}).",
        duplicate_code="ResourceInUse",
        order="Descending",
    )


class JobDefinitions(Family):
    """Operations on definitions of one monitoring type."""

    monitoring_type: ClassVar[str]

    def operations(self) -> dict[str, Handler]:
        """Return the family's operations, Create among them."""
        return {**super().operations(), f"Create{self.kind.name}": self._create}

    def _create(self, request: Record) -> Record:
        name = request["JobDefinitionName"]
        given = request[f"{self.monitoring_type}JobInput"]
        return self.resources.create(
            name,
            request,
            # What lists of definitions show.
            MonitoringJobDefinitionName=name,
            MonitoringJobDefinitionArn=self.resources.arn(name),
            EndpointName=given.get("EndpointInput", {}).get("EndpointName", ""),
        )


class DataQualityJobDefinitions(JobDefinitions):
    """Definitions of data quality jobs, which monitoring schedules run."""

    monitoring_type = "DataQuality"
    kind = _kind(monitoring_type, "data-quality")


class ModelQualityJobDefinitions(JobDefinitions):
    """Definitions of model quality jobs, which monitoring schedules run."""

    monitoring_type = "ModelQuality"
    kind = _kind(monitoring_type, "model-quality")


class ModelBiasJobDefinitions(JobDefinitions):
    """Definitions of model bias jobs, which monitoring schedules run."""

    monitoring_type = "ModelBias"
    kind = _kind(monitoring_type, "model-bias")


class ModelExplainabilityJobDefinitions(JobDefinitions):
    """Definitions of model explainability jobs, which monitoring schedules run."""

    monitoring_type = "ModelExplainability"
    kind = _kind(monitoring_type, "model-explainability")


FAMILIES: tuple[type[JobDefinitions], ...] = (
    DataQualityJobDefinitions,
    ModelQualityJobDefinitions,
    ModelBiasJobDefinitions,
    ModelExplainabilityJobDefinitions,
)
