"""What everything in the service works with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.sagemaker.clients import make_client
from local.sagemaker.cloud import Cloud
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.images import Images
from local.sagemaker.jobs.line import Jobs
from local.sagemaker.logs import Logs
from local.sagemaker.processes import Processes
from local.sagemaker.settings import Settings
from local.sagemaker.store import Record, Store


@dataclass
class Context:
    """The service's parts, and what families tell each other."""

    state: Path
    settings: Settings
    store: Store
    cloud: Cloud
    images: Images
    processes: Processes
    jobs: Jobs
    logs: Logs
    call: Callable[[str, Record], Record]
    """Carry out an operation of the control plane, for families that build on others."""
    observers: list[Callable[[str, Record], None]] = field(default_factory=list)
    """Told the kind's name and the record of whatever was made or changed; they must be quick."""
    metric_observers: list[Callable[[str, str, float], None]] = field(default_factory=list)
    """Told the job, the metric and the value of whatever a training job emits; be quick, too."""
    scaled: Callable[[str], Collection[str]] = field(default=lambda _: ())
    """Name the variants of an endpoint that Application Auto Scaling scales."""

    def assume(self, role_arn: str, session: str) -> dict[str, str]:
        """Return a role's credentials. Raises AWS's refusal of a role it cannot assume."""
        try:
            return self.cloud.role_credentials(role_arn, session)
        except ServiceError as error:
            raise invalid(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows "
                "principal 'sagemaker.amazonaws.com' to assume the role."
            ) from error

    def client(self, service: str, role_arn: str, session: str) -> Any:
        """Return boto3's client of another service of the local AWS, acting as a role."""
        return make_client(service, self.cloud, self.assume(role_arn, session))
