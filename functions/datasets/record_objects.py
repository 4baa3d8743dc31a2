"""S3 events of drops, in batches from the queue: record the objects, seal what is complete."""

import json
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from headrace.aws.intake import intake
from headrace.datasets.arrivals import Arrival, group
from headrace.errors import DropError

logger = Logger(service="datasets")


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Handle a batch; a drop that fails fails alone, and its messages come again."""
    failed: list[str] = []
    arrivals: list[tuple[str, Arrival]] = []
    for message in event["Records"]:
        try:
            arrivals.append((message["messageId"], Arrival.from_event(json.loads(message["body"]))))
        except (DropError, json.JSONDecodeError):
            logger.exception(
                "A message is no event of S3", extra={"message_id": message["messageId"]}
            )
            failed.append(message["messageId"])
    for messages in group(arrivals):
        try:
            intake().receive([arrival for _, arrival in messages])
        except Exception:  # the batch's boundary: SQS brings the drop's messages again
            logger.exception("A drop could not be recorded", extra={"key": messages[0][1].key})
            failed += [message_id for message_id, _ in messages]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
