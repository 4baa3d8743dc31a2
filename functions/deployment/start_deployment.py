"""A package was approved or rejected: start the deployment this causes, once."""

import os

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.parser.envelopes import EventBridgeEnvelope
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from headrace.aws.bus import Bus
from headrace.aws.clients import client
from headrace.aws.deployments import (
    StartDeploymentSettings,
    queue_deployment,
    request_deployment,
    tell_refusal,
)
from headrace.aws.executions import Executions
from headrace.aws.ledger import Ledger
from headrace.records import DeploymentRecord

logger = Logger(service="deployment")


class PackageStateChange(BaseModel):
    """What is used of `SageMaker Model Package State Change`; the registry tells the rest."""

    ModelPackageArn: str


@logger.inject_lambda_context
@event_parser(model=PackageStateChange, envelope=EventBridgeEnvelope)
def handler(event: PackageStateChange, _context: LambdaContext) -> dict[str, str]:
    """Start the execution named by the deployment; a stale or doubled event starts nothing."""
    here = StartDeploymentSettings.from_mapping(os.environ)
    ledger = Ledger.of(here.ledger_table)
    request = request_deployment(event.ModelPackageArn, here, ledger, client("sagemaker"))
    if request is None:
        logger.info("Ignored: calls for no deployment, or paused", package=event.ModelPackageArn)
        return {}
    if isinstance(request, DeploymentRecord):
        tell_refusal(request, ledger, Bus.of(here.bus))
        logger.warning("Nothing to go back to", package=event.ModelPackageArn)
        return {"refused": request.deployment}
    executions = Executions.of(here.state_machine_arn)
    queue_deployment(request, executions.arn(request.deployment), ledger)
    execution = executions.start(request.deployment, request.model_dump())
    logger.info("Deployment requested", deployment=request.deployment, execution=execution)
    return {"deployment": request.deployment, "execution": execution}
