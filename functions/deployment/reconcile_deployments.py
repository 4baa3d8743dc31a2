"""On a schedule: approvals nobody heard, locks of the dead, endpoints that serve something else."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.bus import Bus
from headrace.aws.clients import client
from headrace.aws.deployment_reconciliation import DeploymentReconciler
from headrace.aws.deployments import ReconcileDeploymentsSettings
from headrace.aws.executions import Executions
from headrace.aws.ledger import Ledger

logger = Logger(service="deployment")


@logger.inject_lambda_context
def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, list[str]]:
    """Handle a tick of the schedule; return what was found, by what was done about it."""
    here = ReconcileDeploymentsSettings.from_mapping(os.environ)
    found = DeploymentReconciler(
        here,
        Ledger.of(here.ledger_table),
        Executions.of(here.state_machine_arn),
        Executions.of(here.recovery_machine_arn),
        Bus.of(here.bus),
        client("sagemaker"),
        client("cloudwatch"),
    ).run()
    report = {name: names for name, names in found._asdict().items() if names}
    logger.info("Reconciled deployments", extra=report)
    return report
