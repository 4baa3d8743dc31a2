"""Second step of the monitoring machine: outcomes that are new are joined to predictions."""

import os
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.monitoring.joining import JoinRequest, join_outcomes
from headrace.aws.monitoring.outcomes import OutcomesSettings, recorder_of

logger = Logger(service="monitoring")


@logger.inject_lambda_context
@event_parser(model=JoinRequest)
def handler(event: JoinRequest, context: LambdaContext) -> dict[str, Any]:
    """Handle `{"model": ...}`; return what was joined, and whether there is more."""
    here = OutcomesSettings.from_mapping(os.environ)
    with recorder_of(here) as aws:
        answer = join_outcomes(
            event, aws, datetime.now(UTC), lambda: context.get_remaining_time_in_millis() / 1000
        )
    logger.info("Outcomes joined", extra={"of": event.model, **answer.model_dump()})
    return answer.model_dump()
