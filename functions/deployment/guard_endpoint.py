"""Watch an endpoint as its project says, and look whether anything rings before traffic moves."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.clients import client
from headrace.aws.guarding import GuardRequest, guard_endpoint
from headrace.aws.ledger import Ledger
from headrace.settings import settings

logger = Logger(service="deployment")


@logger.inject_lambda_context
@event_parser(model=GuardRequest)
def handler(request: GuardRequest, _context: LambdaContext) -> dict[str, Any]:
    """Return why the deployment must not begin now, if there is a reason."""
    here = settings()
    verdict = guard_endpoint(
        request.target, here, Ledger.of(here.ledger_table), client("cloudwatch")
    )
    reasons = verdict.refusal.reasons if verdict.refusal else []
    logger.info("Endpoint guarded", deployment=request.target.deployment, reasons=reasons)
    return verdict.model_dump(exclude_none=True)
