"""What is deployed: the outputs of the CloudFormation stack, and nothing else, say where."""

from typing import Self

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace_cli.environments import Environment
from headrace_cli.errors import FailedError, NotUpError, error_code


class Stack(BaseModel):
    """The outputs of one deployed stack."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    name: str
    status: str
    data_bucket: str = Field(alias="DataBucket")
    artifacts_bucket: str = Field(alias="ArtifactsBucket")
    quarantine_bucket: str = Field(alias="QuarantineBucket")
    ledger_table: str = Field(alias="LedgerTable")
    bus: str = Field(alias="BusName")
    datasets_state_machine_arn: str = Field(alias="DatasetsStateMachineArn")
    training_state_machine_arn: str = Field(alias="TrainingStateMachineArn")
    deployment_state_machine_arn: str = Field(alias="DeploymentStateMachineArn")
    monitoring_state_machine_arn: str = Field(alias="MonitoringStateMachineArn")
    tabular_repository: str = Field(alias="TabularRepository")
    log_group: str = Field(alias="LogGroupName")
    dead_letters: dict[str, str] = Field(description="URL of every queue of what was given up.")

    @classmethod
    def read(cls, environment: Environment) -> Self:
        """Ask CloudFormation.

        Raises:
            NotUpError: the stack is not there, or was never completely created.
            FailedError: it is older than this command line.
        """
        described = describe_stack(environment)
        if described is None:
            raise NotUpError(
                f"Stack '{environment.stack}' is not deployed in environment '{environment.name}'.",
                f"headrace up --env {environment.name}",
            )
        name, status, outputs = described
        suffix = "DeadLettersUrl"
        queues = {k.removesuffix("Url"): v for k, v in outputs.items() if k.endswith(suffix)}
        try:
            return cls.model_validate(
                {"name": name, "status": status, "dead_letters": queues, **outputs}
            )
        except ValidationError as error:
            missing = ", ".join(str(e["loc"][0]) for e in error.errors())
            if status.startswith(("CREATE", "ROLLBACK", "REVIEW")) and status != "CREATE_COMPLETE":
                raise NotUpError(
                    f"Stack '{name}' is {status}, so not usable.",
                    f"headrace up --env {environment.name}",
                ) from error
            raise FailedError(
                f"Stack '{name}' lacks the outputs {missing}: it is older than this command line.",
                f"headrace up --env {environment.name}",
            ) from error


def describe_stack(environment: Environment) -> tuple[str, str, dict[str, str]] | None:
    """Return a stack's name, status and outputs, or None when there is none."""
    try:
        reply = environment.client("cloudformation").describe_stacks(StackName=environment.stack)
    except ClientError as error:
        # CloudFormation has no error code of its own for this (API reference, DescribeStacks).
        if error_code(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    stack = reply["Stacks"][0]
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
    return stack["StackName"], stack["StackStatus"], outputs
