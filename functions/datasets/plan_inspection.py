"""First step of the datasets machine: which files of a sealed drop are inspected, in batches."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.drops import Drops
from headrace.aws.inspections import plan_drop
from headrace.aws.storage import Storage
from headrace.datasets.settings import PlanSettings

logger = Logger(service="datasets")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, list[int]]:
    """Handle `{"model": ..., "drop": ...}`; the plan goes to S3, its batches' numbers back."""
    here = PlanSettings.from_mapping(os.environ)
    drops, storage = Drops.of(here.ledger_table), Storage.of(here.kms_key_arn)
    batches = plan_drop(event["model"], event["drop"], here, drops, storage)
    return {"batches": list(range(batches))}
