"""First state of monitoring: captured traffic that no slot has yet becomes slot documents."""

import os
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.ledger import Ledger
from headrace.aws.monitoring.captures import CapturesRequest, Collector, add_captures, read_group
from headrace.aws.storage import Storage
from headrace.datasets.settings import InspectionSettings
from headrace_profiling.engine import temporary_engine

logger = Logger(service="monitoring")


@logger.inject_lambda_context
@event_parser(model=CapturesRequest)
def handler(request: CapturesRequest, context: LambdaContext) -> dict[str, Any]:
    """Add what there is time for; `more` in the answer asks to be called again."""
    here = InspectionSettings.from_mapping(os.environ)
    with temporary_engine(here.duckdb_memory_mb) as engine:
        aws = Collector(
            here,
            Ledger.of(here.ledger_table),
            Storage.of(here.kms_key_arn),
            partial(read_group, engine),
            lambda: context.get_remaining_time_in_millis() / 1000,
        )
        answer = add_captures(request, aws, datetime.now(UTC)).model_dump()
    logger.info("Captures added", model=request.model, **answer)
    return answer
