"""First state of training: claim the run and decide everything it will do."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.clients import client
from headrace.aws.ledger import Ledger
from headrace.aws.runs import Planner, PlanRequest, plan_run
from headrace.aws.storage import Storage
from headrace.settings import settings

logger = Logger(service="training")


@logger.inject_lambda_context
@event_parser(model=PlanRequest)
def handler(request: PlanRequest, _context: LambdaContext) -> dict[str, Any]:
    """Return the training job to create, or why there is none."""
    here = settings()
    verdict = plan_run(
        request,
        Planner(
            settings=here,
            ledger=Ledger.of(here.ledger_table),
            storage=Storage.of(here.kms_key_arn),
            sagemaker=client("sagemaker"),
            ecr=client("ecr"),
        ),
    )
    logger.info("Run planned", run=request.run, outcome=verdict.outcome, reasons=verdict.reasons)
    return verdict.model_dump(exclude_none=True)
