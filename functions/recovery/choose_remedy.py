"""First state of recovery: an endpoint's alarm rang; which remedy does it call for?"""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.clients import client
from headrace.aws.ledger import Ledger
from headrace.aws.recoveries import Recoverer, RemedyRequest, choose_remedy
from headrace.aws.storage import Storage
from headrace.settings import settings

logger = Logger(service="recovery")


@logger.inject_lambda_context
@event_parser(model=RemedyRequest)
def handler(request: RemedyRequest, _context: LambdaContext) -> dict[str, Any]:
    """Return what carries the remedy out, and the fact to announce."""
    here = settings()
    aws = Recoverer(
        here,
        Ledger.of(here.ledger_table),
        Storage.of(here.kms_key_arn),
        client("sagemaker"),
        client("cloudwatch"),
    )
    verdict = choose_remedy(request, aws)
    logger.info("Remedy chosen", alarm=request.detail.alarmName, remedy=verdict.remedy)
    return verdict.model_dump(exclude_none=True)
