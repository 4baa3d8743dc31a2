"""Last state of monitoring: a window against the baseline becomes a report, metrics and alarms."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.clients import client
from headrace.aws.ledger import Ledger
from headrace.aws.monitoring.reporting import JudgeRequest, Watcher, judge_window
from headrace.aws.storage import Storage
from headrace.settings import settings
from headrace_profiling.engine import temporary_engine

logger = Logger(service="monitoring")
_DUCKDB_MB = 256  # it only draws a sample of rows


@logger.inject_lambda_context
@event_parser(model=JudgeRequest)
def handler(request: JudgeRequest, _context: LambdaContext) -> dict[str, Any]:
    """Return the verdict, where the report is, and the fact to announce if it is news."""
    here = settings()
    with temporary_engine(_DUCKDB_MB) as engine:
        aws = Watcher(
            here,
            Storage.of(here.kms_key_arn),
            Ledger.of(here.ledger_table),
            engine,
            client("cloudwatch"),
            client("sagemaker-runtime"),
        )
        verdict = judge_window(request, aws)
    logger.info("Window judged", model=request.model, verdict=verdict.verdict)
    return verdict.model_dump(mode="json", exclude_none=True)
