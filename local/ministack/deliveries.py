"""What a service sends to a dead-letter queue or a destination: SQS, SNS, Lambda, EventBridge."""

import json
import logging
from typing import Any

from ministack.core.responses import get_region
from ministack.services import eventbridge, lambda_svc, sns, sqs

from local.ministack import guard

_log = logging.getLogger(__name__)
guard.expect(hasattr(sqs, "_act_send_message"), "sqs._act_send_message is missing")
guard.expect(hasattr(sns, "publish_internal"), "sns.publish_internal is missing")


def send(arn: str, body: str, attributes: dict[str, str]) -> bool:
    """Deliver `body` to the resource; False (and a log line) when it does not exist."""
    described = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in attributes.items()
        if value
    }
    service = arn.split(":")[2]
    if service == "sqs" and (queue := sqs._queue_by_arn(arn)):
        message = {"MessageBody": body, "MessageAttributes": described, "QueueUrl": queue["url"]}
        if queue.get("is_fifo"):
            message |= {"MessageGroupId": "dlq", "MessageDeduplicationId": sqs.new_uuid()}
        sqs._act_send_message(message, queue["url"])
        return True
    if service == "sns" and sns.publish_internal(arn, body, message_attributes=described):
        return True
    if service == "lambda" and invoke(arn, json.loads(body)):
        return True
    if service == "events":
        entry = {
            "Source": "lambda",
            "DetailType": "Lambda Function Invocation Result",
            "Detail": body,
            "EventBusName": arn,
        }
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
        return True
    _log.warning("cannot deliver to %s in %s: it does not exist", arn, get_region())
    return False


def invoke(arn: str, event: Any) -> bool:
    """Invoke a function asynchronously; False when there is none."""
    func, config, _ = lambda_svc._get_func_record_for_ref(arn)
    if not func or not config:
        return False
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(func, config), event)
    return True
