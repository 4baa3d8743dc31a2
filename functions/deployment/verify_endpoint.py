"""Last check of a deployment: the endpoint serves what was asked, and answers as judged."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.clients import client
from headrace.aws.endpoints import Deployer
from headrace.aws.verification import VerifyRequest, verify_endpoint
from headrace.settings import settings

logger = Logger(service="deployment")


@logger.inject_lambda_context
@event_parser(model=VerifyRequest)
def handler(request: VerifyRequest, _context: LambdaContext) -> dict[str, Any]:
    """Return the fact to announce; an endpoint that fails the check is a fault."""
    verdict = verify_endpoint(request, Deployer.of(settings()), client("sagemaker-runtime"))
    logger.info("Endpoint verified", deployment=request.target.deployment, outcome=verdict.outcome)
    return verdict.model_dump(exclude_none=True)
