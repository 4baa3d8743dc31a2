"""First state of deployment: may this package be deployed, and what does it need?"""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.checking import CheckRequest, check_package
from headrace.aws.clients import client
from headrace.aws.endpoints import Deployer
from headrace.settings import settings

logger = Logger(service="deployment")


@logger.inject_lambda_context
@event_parser(model=CheckRequest)
def handler(request: CheckRequest, _context: LambdaContext) -> dict[str, Any]:
    """Return the model and the endpoint configuration to create, or the refusal to announce."""
    verdict = check_package(request, Deployer.of(settings()), client("cloudwatch"))
    reasons = verdict.refusal.reasons if verdict.refusal else []
    logger.info(
        "Package checked", deployment=request.deployment, outcome=verdict.outcome, reasons=reasons
    )
    return verdict.model_dump(exclude_none=True)
