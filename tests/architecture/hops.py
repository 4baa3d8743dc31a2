"""Rules on asynchronous hops: whatever AWS delivers later is retried, kept, and somebody is told.

A hop is a rule's target, an asynchronous call of a Lambda, a queue's consumer, a schedule's target
or a topic's subscriber.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.architecture.cfn import Json, Stack, listed, resource_of

_VISIBILITY_FACTOR = 6
"""How many times the function's timeout a queue hides a message.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""


@dataclass(frozen=True)
class Hop:
    """One asynchronous hop: where it is declared, whether it retries, where it gives up to."""

    where: str
    retries: bool
    dead_letters: str | None


def hops(stack: Stack) -> list[Hop]:
    """Return every asynchronous hop of a stack."""
    return [
        *_rule_targets(stack),
        *_schedules(stack),
        *_asynchronous_functions(stack),
        *_consumers(stack),
        *_subscribers(stack),
    ]


def every_hop_is_retried(stack: Stack) -> list[str]:
    """Find hops whose number and time of retries nobody chose."""
    return [f"{hop.where}: no retry policy" for hop in hops(stack) if not hop.retries]


def every_hop_keeps_dead_letters(stack: Stack) -> list[str]:
    """Find hops that lose what cannot be delivered."""
    queues = stack.of("AWS::SQS::Queue")
    return [
        f"{hop.where}: no dead-letter queue of this stack"
        for hop in hops(stack)
        if hop.dead_letters not in queues
    ]


def every_dead_letter_queue_has_an_alarm(stack: Stack) -> list[str]:
    """Find dead-letter queues that could fill without anybody being told."""
    watched = set(_watched_queues(stack))
    unwatched = {hop.dead_letters for hop in hops(stack) if hop.dead_letters} - watched
    return [f"{queue}: no alarm with an action watches it" for queue in sorted(unwatched)]


def dead_letters_keep_long_enough(stack: Stack) -> list[str]:
    """Find dead-letter queues that forget before somebody is back from a holiday (14 days)."""
    queues = stack.of("AWS::SQS::Queue")
    used = queues.keys() & {hop.dead_letters for hop in hops(stack)}
    return [
        f"{queue}: keeps messages for less than 14 days"
        for queue in sorted(used)
        if queues[queue].get("MessageRetentionPeriod") != 14 * 24 * 3600
    ]


def consumers_report_single_failures(stack: Stack) -> list[str]:
    """Find consumers that repeat a whole batch, or get a message again while they work on it."""
    findings = []
    queues, functions = stack.of("AWS::SQS::Queue"), stack.of("AWS::Lambda::Function")
    for name, mapping in stack.of("AWS::Lambda::EventSourceMapping").items():
        queue = queues.get(resource_of(mapping.get("EventSourceArn")) or "")
        function = functions.get(resource_of(mapping["FunctionName"]) or "", {})
        if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            findings.append(f"{name}: one bad message repeats its whole batch")
        if queue is None:
            continue
        if queue.get("VisibilityTimeout", 30) < _VISIBILITY_FACTOR * function.get("Timeout", 3):
            findings.append(f"{name}: the queue's VisibilityTimeout is under 6 x the function's")
    return findings


def every_machine_has_alarms(stack: Stack) -> list[str]:
    """Find state machines whose faults or missed deadlines nobody would be told of."""
    watched = {
        (alarm["MetricName"], resource_of(dimension["Value"]))
        for alarm in stack.of("AWS::CloudWatch::Alarm").values()
        if alarm.get("Namespace") == "AWS/States" and listed(alarm.get("AlarmActions"))
        for dimension in alarm["Dimensions"]
    }
    return [
        f"{machine}: no alarm on {metric}"
        for machine in stack.of("AWS::StepFunctions::StateMachine")
        for metric in ("ExecutionsFailed", "ExecutionsTimedOut")
        if (metric, machine) not in watched
    ]


def _rule_targets(stack: Stack) -> Iterator[Hop]:
    for name, rule in stack.of("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            yield Hop(f"{name}/{target['Id']}", *_policy(target))


def _schedules(stack: Stack) -> Iterator[Hop]:
    for name, schedule in stack.of("AWS::Scheduler::Schedule").items():
        yield Hop(name, *_policy(schedule["Target"]))


def _policy(target: Json) -> tuple[bool, str | None]:
    retry = target.get("RetryPolicy", {})
    chosen = {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"} <= retry.keys()
    return chosen, resource_of(target.get("DeadLetterConfig", {}).get("Arn"))


def _asynchronous_functions(stack: Stack) -> Iterator[Hop]:
    """Functions that rules, schedules or topics call: Lambda itself queues and retries those."""
    callers: list[Any] = [
        target["Arn"]
        for rule in stack.of("AWS::Events::Rule").values()
        for target in rule["Targets"]
    ]
    callers += [s["Target"]["Arn"] for s in stack.of("AWS::Scheduler::Schedule").values()]
    callers += [s["Endpoint"] for s in stack.of("AWS::SNS::Subscription").values()]
    configs = {
        resource_of(config["FunctionName"]): config
        for config in stack.of("AWS::Lambda::EventInvokeConfig").values()
    }
    called = {resource_of(arn) for arn in callers} & stack.of("AWS::Lambda::Function").keys()
    for function in sorted(filter(None, called)):
        config = configs.get(function, {})
        destination = config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        yield Hop(
            f"{function} (asynchronous)",
            "MaximumRetryAttempts" in config,
            resource_of(destination),
        )


def _consumers(stack: Stack) -> Iterator[Hop]:
    queues = stack.of("AWS::SQS::Queue")
    for name, mapping in stack.of("AWS::Lambda::EventSourceMapping").items():
        queue = queues.get(resource_of(mapping.get("EventSourceArn")) or "")
        if queue is not None:
            redrive = queue.get("RedrivePolicy", {})
            dead_letters = resource_of(redrive.get("deadLetterTargetArn"))
            yield Hop(name, "maxReceiveCount" in redrive, dead_letters)
        else:  # a stream: its mapping says how often and where to
            destination = mapping.get("DestinationConfig", {}).get("OnFailure", {})
            yield Hop(
                name,
                "MaximumRetryAttempts" in mapping,
                resource_of(destination.get("Destination")),
            )


def _subscribers(stack: Stack) -> Iterator[Hop]:
    """Subscriptions of machines; a person's mailbox has no queue to redrive from."""
    for name, subscription in stack.of("AWS::SNS::Subscription").items():
        if subscription["Protocol"] not in {"email", "email-json", "sms"}:
            dead_letters = subscription.get("RedrivePolicy", {}).get("deadLetterTargetArn")
            # SNS's own delivery policy for AWS endpoints is fixed: 100,015 attempts in 23 days.
            yield Hop(name, True, resource_of(dead_letters))


def _watched_queues(stack: Stack) -> Iterator[str]:
    for alarm in stack.of("AWS::CloudWatch::Alarm").values():
        if (
            alarm.get("Namespace") == "AWS/SQS"
            and alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
            and listed(alarm.get("AlarmActions"))
            and alarm.get("ActionsEnabled", True) is True
        ):
            for dimension in alarm["Dimensions"]:
                queue = resource_of(dimension["Value"])
                if queue:
                    yield queue


RULES = (
    every_hop_is_retried,
    every_hop_keeps_dead_letters,
    every_dead_letter_queue_has_an_alarm,
    dead_letters_keep_long_enough,
    consumers_report_single_failures,
    every_machine_has_alarms,
)
