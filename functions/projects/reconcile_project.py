"""An archive arrived under `projects/`: make the model's record and resources match it."""

import os
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.bus import Bus
from headrace.aws.clients import client
from headrace.aws.ledger import Ledger
from headrace.aws.projects import ProjectSettings, make_schedules, reconcile_project
from headrace.aws.schedules import Schedules
from headrace.aws.storage import Location, Storage
from headrace.datasets.arrivals import Arrival
from headrace.errors import ProjectError
from headrace.projects import parse_key

logger = Logger(service="projects")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Handle one `Object Created` event; return the verdict, which is also on the bus."""
    here = ProjectSettings.from_mapping(os.environ)
    arrival = Arrival.from_event(event)
    try:
        parse_key(arrival.key)
    except ProjectError as error:
        logger.warning(
            "Ignored an object that is no project", extra={"key": arrival.key, "reason": str(error)}
        )
        return {"ignored": str(error)}
    verdict = reconcile_project(
        Location(here.data_bucket, arrival.key, arrival.version_id),
        here,
        Storage.of(here.kms_key_arn),
        Ledger.of(here.ledger_table),
        client("sagemaker"),
        client("cloudwatch"),
        partial(make_schedules, settings=here, schedules=Schedules.of(here)),
    )
    logger.info(type(verdict).__name__, extra=verdict.model_dump())
    Bus.of(here.bus).announce(verdict)
    return verdict.model_dump()
