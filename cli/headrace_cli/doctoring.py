"""Is everything as it should be? One function per question, each with what to do if not."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headrace.records import ModelRecord
from headrace_cli.environments import ROOT
from headrace_cli.errors import CommandError, translate
from headrace_cli.inference import served_package
from headrace_cli.journey import activities, between, history, read_journey
from headrace_cli.registry import caller
from headrace_cli.session import Session

# An execution whose record says "going on" for longer than any stage takes is worth a look.
_STUCK_SECONDS = 3600.0


@dataclass(frozen=True)
class Finding:
    """The answer to one question."""

    check: str
    state: Literal["ok", "warning", "wrong"]
    detail: str
    todo: str = ""


def examine(session: Session) -> Iterator[Finding]:
    """Yield a finding for everything that is looked at; what depends on a fault is left out."""
    yield from _tools(session)
    reachable = True
    for name, question in (("credentials", _credentials), ("stack", _stack)):
        finding = _guarded(name, session, question)
        yield finding
        reachable = reachable and finding.state == "ok"
    if not reachable:
        return
    yield from _queues(session)
    yield from _alarms(session)
    for model in session.ledger.query(ModelRecord, "models"):
        yield from _model(session, model)


def _guarded(name: str, session: Session, question: Callable[[Session], str]) -> Finding:
    try:
        return Finding(name, "ok", question(session))
    except Exception as error:  # one check's boundary: the others go on; a bug is raised again
        known = translate(error, session.environment.name)
        if known is None:
            raise
        return _wrong(name, known)


def _wrong(name: str, error: CommandError) -> Finding:
    return Finding(name, "wrong", error.message, error.hint)


def _tools(session: Session) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", f"{version} at {sys.executable}")
    for program in ("git", "make"):
        where = shutil.which(program)
        if where:
            yield Finding(program, "ok", where)
        else:
            yield Finding(program, "wrong", "not found", f"Install {program}.")
    needed = ["sam", *(["local", "tabular"] if session.environment.is_local else [])]
    for environment in needed:
        path = ROOT / ".venv" / environment
        if _installed(path):
            yield Finding(f"venv {environment}", "ok", str(path))
        else:
            yield Finding(f"venv {environment}", "wrong", f"there is no {path}", "make setup")


def _installed(path: Path) -> bool:
    return (path / "bin" / "python").exists()


def _credentials(session: Session) -> str:
    return caller(session)


def _stack(session: Session) -> str:
    return f"{session.stack.name} {session.stack.status}"


def _queues(session: Session) -> Iterator[Finding]:
    """Messages in the stack's dead-letter queues: work that nobody did."""
    for name, url in session.stack.dead_letters.items():
        attribute = "ApproximateNumberOfMessages"
        reply = session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[attribute])
        depth = int(reply["Attributes"][attribute])
        if depth:
            yield Finding(name, "wrong", f"{depth} messages", "docs/runbook.md, 'Dead letters'")
        else:
            yield Finding(name, "ok", "empty")


def _alarms(session: Session) -> Iterator[Finding]:
    """Alarms of the stack that are in state ALARM."""
    pages = (
        session.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(AlarmNamePrefix=session.stack.name)
    )
    alarms = [a for page in pages for a in page["MetricAlarms"]]
    raised = [a for a in alarms if a["StateValue"] == "ALARM"]
    for alarm in raised:
        yield Finding(
            alarm["AlarmName"], "wrong", alarm["StateReason"], alarm.get("AlarmDescription", "")
        )
    if not raised:
        yield Finding("alarms", "ok", f"none of {len(alarms)} is raised")


def _model(session: Session, model: ModelRecord) -> Iterator[Finding]:
    journey = read_journey(session, model.model)
    said = journey.endpoint.package_arn if journey.endpoint else None
    served = served_package(session, model.endpoint)
    if served == said:
        version = f"v{served.rpartition('/')[2]}" if served else "nothing yet"
        yield Finding(f"{model.model} endpoint", "ok", f"serves {version}, as the ledger says")
    elif not any(a.stage == "deployment" for a in activities(journey)):
        yield Finding(
            f"{model.model} endpoint",
            "wrong",
            f"serves {served}, but the ledger says {said}",
            f"Approve what should serve: headrace approve {model.model} --version N --wait",
        )
    stuck = [a for a in activities(journey) if _is_stuck(session, a.since, a.execution_arn)]
    for activity in stuck:
        yield Finding(
            f"{model.model} {activity.stage}",
            "warning",
            f"{activity.subject} has had no verdict since {activity.since}",
            f"headrace logs {model.model} --stage {activity.stage}",
        )
    if not stuck:
        yield Finding(f"{model.model} journey", "ok", "nothing is stuck")


def _is_stuck(session: Session, since: str, execution_arn: str | None) -> bool:
    """Tell whether something without a verdict is old, or its execution has ended without one."""
    if execution_arn and history(session, execution_arn)[-1]["type"].startswith("Execution"):
        return between(since, None) > 60
    return between(since, None) > _STUCK_SECONDS
