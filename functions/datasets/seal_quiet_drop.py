"""A schedule came due: seal the drop if nothing arrived since, else look again later."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.intake import intake

logger = Logger(service="datasets")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Handle `{"model": ..., "drop": ...}` from the Scheduler."""
    intake().settle(event["model"], event["drop"])
