"""After the job: is the candidate better than what serves, and than the baselines?"""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.candidates import JudgeRequest, judge_candidate
from headrace.aws.clients import client
from headrace.aws.ledger import Ledger
from headrace.aws.storage import Storage
from headrace.settings import settings

logger = Logger(service="training")


@logger.inject_lambda_context
@event_parser(model=JudgeRequest)
def handler(request: JudgeRequest, _context: LambdaContext) -> dict[str, Any]:
    """Return the package to register, or the refusal to announce."""
    here = settings()
    verdict = judge_candidate(
        request,
        here,
        Ledger.of(here.ledger_table),
        Storage.of(here.kms_key_arn),
        client("sagemaker"),
    )
    logger.info("Candidate judged", run=request.run, outcome=verdict.outcome, reason=verdict.reason)
    return verdict.model_dump(exclude_none=True)
