"""A candidate was registered: approve it if its model's policy leaves that to the gate."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.parser.envelopes import EventBridgeEnvelope
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.clients import client
from headrace.aws.ledger import Ledger
from headrace.aws.registry import approve_by_policy
from headrace.events import CandidateRegistered
from headrace.settings import settings

logger = Logger(service="registry")


@logger.inject_lambda_context
@event_parser(model=CandidateRegistered, envelope=EventBridgeEnvelope)
def handler(event: CandidateRegistered, _context: LambdaContext) -> dict[str, str]:
    """Return the decision; the ledger decides, not the event."""
    ledger = Ledger.of(settings().ledger_table)
    decision = approve_by_policy(event, ledger, client("sagemaker"))
    outcome = type(decision).__name__
    logger.info(outcome, package=event.package_arn, reason=decision.reason)
    return {"outcome": outcome, "reason": decision.reason}
