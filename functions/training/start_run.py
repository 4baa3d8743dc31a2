"""Something happened that may want a run: look at the model, and start the run that is due."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field

from headrace.aws.answers import note_request
from headrace.aws.bus import Bus
from headrace.aws.executions import Executions
from headrace.aws.ledger import Ledger
from headrace.aws.retraining import StartRunSettings, Trainer, look
from headrace.aws.storage import Storage
from headrace.events import RetrainingRequested

logger = Logger(service="training")


class Cause(BaseModel):
    """The event. What it says of a model is in the ledger already, but for a request."""

    detail_type: str = Field(alias="detail-type")
    detail: dict[str, Any]


@logger.inject_lambda_context
@event_parser(model=Cause)
def handler(event: Cause, _context: LambdaContext) -> dict[str, str]:
    """Start the run that is due, if any; a duplicate of the event starts nothing."""
    here = StartRunSettings.from_mapping(os.environ)
    aws = Trainer(
        here,
        Ledger.of(here.ledger_table),
        Storage.of(here.kms_key_arn),
        Executions.of(here.state_machine_arn),
        Bus.of(here.bus),
    )
    if event.detail_type == RetrainingRequested.__name__:
        note_request(RetrainingRequested.model_validate(event.detail), aws.ledger)
    model = event.detail["model"]
    verdict, reasons, run = look(model, aws)
    logger.info("Looked for a run", model=model, verdict=verdict, reasons=reasons, run=run)
    return {"verdict": verdict, "run": run or ""}
