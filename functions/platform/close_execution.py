"""An execution failed, ran out of time or was stopped: close what it worked on."""

from typing import cast

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.parser.envelopes import EventBridgeEnvelope
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.bus import Bus
from headrace.aws.clients import client
from headrace.aws.closing import ExecutionEnd, Stage, close_execution
from headrace.aws.ledger import Ledger
from headrace.settings import settings

logger = Logger(service="platform")


@logger.inject_lambda_context
@event_parser(model=ExecutionEnd, envelope=EventBridgeEnvelope)
def handler(end: ExecutionEnd, _context: LambdaContext) -> dict[str, str]:
    """Return what was closed, if anything was still open."""
    here = settings()
    # State machines are named <stack>-<stage>; the rule lets only ours through.
    stage = end.stateMachineArn.rpartition(":")[2].removeprefix(f"{here.stack}-")
    failed = close_execution(
        end,
        cast(Stage, stage),
        Ledger.of(here.ledger_table),
        Bus.of(here.bus),
        client("stepfunctions"),
        client("sagemaker"),
    )
    if failed is None:
        logger.info("Nothing was left open", execution=end.executionArn)
        return {}
    logger.warning("Execution closed", execution=end.executionArn, cause=failed.cause)
    return {"stage": failed.stage, "subject": failed.subject}
