"""What a function is told by its environment; read once, typed, no hidden default.

The template sets every variable for every function (Globals), so one class serves all.
"""

import os
from collections.abc import Mapping
from functools import cache
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.errors import SettingsError


class Settings(BaseModel):
    """The environment of one deployed stack."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    stack: str = Field(
        alias="STACK_NAME", description="Names of SageMaker resources start with it."
    )
    environment: str = Field(
        alias="ENVIRONMENT", description="Section of model.yaml that overrides."
    )
    region: str = Field(alias="AWS_REGION", description="Set by the Lambda runtime.")
    account: str = Field(alias="ACCOUNT_ID", description="The account of the stack.")
    data_bucket: str = Field(alias="DATA_BUCKET", description="Projects, drops and datasets.")
    artifacts_bucket: str = Field(alias="ARTIFACTS_BUCKET", description="Runs, models, captures.")
    quarantine_bucket: str = Field(alias="QUARANTINE_BUCKET", description="Refused data.")
    ledger_table: str = Field(alias="LEDGER_TABLE", description="The DynamoDB table of all facts.")
    bus: str = Field(alias="BUS_NAME", description="Headrace's own event bus.")
    job_role_arn: str = Field(alias="JOB_ROLE_ARN", description="Role of training jobs.")
    serving_role_arn: str = Field(alias="SERVING_ROLE_ARN", description="Role of models.")
    tabular_repository: str = Field(
        alias="TABULAR_REPOSITORY", description="ECR repository of the tabular image."
    )
    minute_seconds: int = Field(
        alias="MINUTE_SECONDS",
        ge=1,
        le=60,
        description="How long a minute of a rollout's waits lasts: 60, and less on a laptop.",
    )
    alarm_period_seconds: int = Field(
        alias="ALARM_PERIOD_SECONDS", description="Period of the endpoints' alarms."
    )
    kms_key_arn: str = Field(alias="KMS_KEY_ARN", description="Empty: AWS managed keys.")
    subnet_ids: str = Field(alias="SUBNET_IDS", description="Comma separated; empty: no VPC.")
    security_group_ids: str = Field(alias="SECURITY_GROUP_IDS", description="Comma separated.")
    network_isolation: bool = Field(
        alias="NETWORK_ISOLATION", description="Jobs and endpoints get no network."
    )

    @classmethod
    def from_mapping(cls, variables: Mapping[str, str]) -> Self:
        """Read settings from environment variables.

        Raises:
            SettingsError: naming every variable that is missing or wrong.
        """
        try:
            return cls.model_validate(dict(variables))
        except ValidationError as error:
            names = ", ".join(str(e["loc"][0]) for e in error.errors())
            raise SettingsError(
                f"Environment variables missing or wrong: {names}. "
                "The template's Globals set them: deploy the stack again."
            ) from error


@cache
def settings() -> Settings:
    """Return the settings of this process."""
    return Settings.from_mapping(os.environ)
