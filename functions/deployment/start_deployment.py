"""A package was approved: start the deployment this approval causes, once."""

import os

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.parser.envelopes import EventBridgeEnvelope
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from headrace.aws.clients import client
from headrace.aws.deployments import StartDeploymentSettings, request_deployment
from headrace.aws.executions import Executions
from headrace.aws.ledger import Ledger

logger = Logger()


class PackageStateChange(BaseModel):
    """What is used of `SageMaker Model Package State Change`; the registry tells the rest."""

    ModelPackageArn: str


@logger.inject_lambda_context
@event_parser(model=PackageStateChange, envelope=EventBridgeEnvelope)
def handler(event: PackageStateChange, _context: LambdaContext) -> dict[str, str]:
    """Start the execution named by the deployment; a stale or doubled event starts nothing."""
    here = StartDeploymentSettings.from_mapping(os.environ)
    request = request_deployment(
        event.ModelPackageArn, here, Ledger.of(here.ledger_table), client("sagemaker")
    )
    if request is None:
        logger.info("Ignored: not approved, or not ours", package=event.ModelPackageArn)
        return {}
    executions = Executions.of(here.state_machine_arn)
    execution = executions.start(request.deployment, request.model_dump())
    logger.info("Deployment requested", deployment=request.deployment, execution=execution)
    return {"deployment": request.deployment, "execution": execution}
