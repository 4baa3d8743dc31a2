"""On a schedule: objects whose events were lost, drops that hang or have waited too long."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.bus import Bus
from headrace.aws.drops import Drops
from headrace.aws.executions import Executions
from headrace.aws.intake import intake
from headrace.aws.reconciliation import Reconciler
from headrace.aws.storage import Storage
from headrace.datasets.settings import IntakeSettings

logger = Logger(service="datasets")


@logger.inject_lambda_context
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, int]:
    """Handle a tick of the schedule."""
    here = IntakeSettings.from_mapping(os.environ)
    report = Reconciler(
        here,
        intake(),
        Drops.of(here.ledger_table),
        Storage.of(here.kms_key_arn),
        Executions.of(here.state_machine_arn),
        Bus.of(here.bus),
    ).run()
    logger.info("Reconciled drops", extra=report)
    return report
