"""A dataset version was accepted, or training again was asked for: start the run this causes."""

import os

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from headrace.aws.executions import Executions
from headrace.aws.ledger import Ledger
from headrace.aws.runs import StartRunSettings, request_run
from headrace.events import DatasetAccepted, RetrainingRequested

logger = Logger()


class Cause(BaseModel):
    """The event, whose detail is one of the two facts: each lacks what the other must have."""

    detail: DatasetAccepted | RetrainingRequested


@logger.inject_lambda_context
@event_parser(model=Cause)
def handler(event: Cause, _context: LambdaContext) -> dict[str, str]:
    """Start the training execution named by the run; a duplicate of the event starts nothing."""
    here = StartRunSettings.from_mapping(os.environ)
    request = request_run(Ledger.of(here.ledger_table), event.detail)
    executions = Executions.of(here.state_machine_arn)
    execution = executions.start(request.run, request.model_dump())
    logger.info("Run requested", run=request.run, cause=request.cause, execution=execution)
    return {"run": request.run, "execution": execution}
