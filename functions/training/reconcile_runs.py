"""On a schedule: runs that wait for a cooldown, a budget or a lost event, and runs nobody ended."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.bus import Bus
from headrace.aws.clients import client
from headrace.aws.executions import Executions
from headrace.aws.ledger import Ledger
from headrace.aws.retraining import StartRunSettings, Trainer
from headrace.aws.storage import Storage
from headrace.aws.training_reconciliation import reconcile_runs

logger = Logger(service="training")


@logger.inject_lambda_context
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, list[str]]:
    """Handle a tick of the schedule; return the runs that were started, and those closed."""
    here = StartRunSettings.from_mapping(os.environ)
    found = reconcile_runs(
        Trainer(
            here,
            Ledger.of(here.ledger_table),
            Storage.of(here.kms_key_arn),
            Executions.of(here.state_machine_arn),
            Bus.of(here.bus),
        ),
        client("sagemaker"),
    )
    report = {name: runs for name, runs in found._asdict().items() if runs}
    logger.info("Reconciled runs", extra=report)
    return report
