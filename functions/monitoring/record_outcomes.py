"""Outcomes arrived under `outcomes/`, or are given in a call: what can be used is recorded."""

import os
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.monitoring.outcomes import (
    OutcomesSettings,
    record_object,
    record_rows,
    recorder_of,
)
from headrace.datasets.arrivals import Arrival

logger = Logger(service="monitoring")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Handle an `Object Created` event, or `{"model": ..., "rows": [{...}]}`; return the record."""
    here = OutcomesSettings.from_mapping(os.environ)
    with recorder_of(here) as aws:
        if "rows" in event:
            record = record_rows(event["model"], event["rows"], aws)
        else:
            arrival = Arrival.from_event(event)
            found = record_object(arrival.key, arrival.version_id, aws)
            if found is None:
                return {"ignored": arrival.key}
            record = found
    logger.info("Outcomes recorded", extra=record.model_dump(exclude={"model"}))
    return record.model_dump(mode="json", exclude_none=True)
