"""Move the endpoint, and let the task wait until it has settled (or end it at once)."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.clients import client
from headrace.aws.endpoints import Deployer, DeployRequest, deploy_endpoint, succeed
from headrace.settings import settings

# The request carries the task's token, which must not be logged.
logger = Logger(service="deployment")


@logger.inject_lambda_context
@event_parser(model=DeployRequest)
def handler(request: DeployRequest, _context: LambdaContext) -> dict[str, str]:
    """Return what is waited for; the task itself ends by its token."""
    outcome = deploy_endpoint(request, Deployer.of(settings()))
    if outcome:
        succeed(client("stepfunctions"), request.task_token, outcome)
    logger.info(
        "Endpoint asked", deployment=request.target.deployment, outcome=outcome or "waiting"
    )
    return {"outcome": outcome or "waiting"}
