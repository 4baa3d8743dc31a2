"""A dataset version was accepted: start the run it causes, once."""

import os

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.parser.envelopes import EventBridgeEnvelope
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.executions import Executions
from headrace.aws.ledger import Ledger
from headrace.aws.runs import StartRunSettings, request_run
from headrace.events import DatasetAccepted

logger = Logger()


@logger.inject_lambda_context
@event_parser(model=DatasetAccepted, envelope=EventBridgeEnvelope)
def handler(event: DatasetAccepted, _context: LambdaContext) -> dict[str, str]:
    """Start the training execution named by the run; a duplicate of the event starts nothing."""
    here = StartRunSettings.from_mapping(os.environ)
    request = request_run(Ledger.of(here.ledger_table), event.model, event.dataset_version)
    executions = Executions.of(here.state_machine_arn)
    execution = executions.start(request.run, request.model_dump())
    logger.info("Run requested", run=request.run, execution=execution)
    return {"run": request.run, "execution": execution}
