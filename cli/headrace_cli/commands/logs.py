"""`logs`: what functions, training jobs and endpoints have said."""

import enum
import json
import time
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from headrace.records import Key, RunRecord, model_partition
from headrace_cli.app import app
from headrace_cli.commands.options import Limit, Model
from headrace_cli.console import clock
from headrace_cli.errors import UsageError, error_code
from headrace_cli.session import Session, command

_HOUR_MS = 3_600_000


class Stage(enum.StrEnum):
    """Stages whose functions log."""

    PROJECTS = "projects"
    DATASETS = "datasets"
    TRAINING = "training"
    REGISTRY = "registry"
    DEPLOYMENT = "deployment"
    MONITORING = "monitoring"
    RECOVERY = "recovery"
    PLATFORM = "platform"


class Source:
    """Where lines come from: a log group, the streams in it, and which lines count."""

    def __init__(self, group: str, *, prefix: str = "", model: str = "", stage: str = "") -> None:
        self.group = group
        self.prefix = prefix
        self.model = model
        self.stage = stage

    def read(self, logs: Any, since_ms: int) -> list[dict[str, Any]]:
        """Return the events from a time on, oldest first; none when nobody has logged yet."""
        arguments: dict[str, Any] = {"logGroupName": self.group, "startTime": since_ms}
        if self.prefix:
            arguments["logStreamNamePrefix"] = self.prefix
        try:
            pages = logs.get_paginator("filter_log_events").paginate(**arguments)
            found = [event for page in pages for event in page["events"]]
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":
                return []
            raise
        return sorted((e for e in found if self._counts(e)), key=lambda e: e["timestamp"])

    def _counts(self, event: dict[str, Any]) -> bool:
        said = f'"service":"{self.stage}"' if self.stage else ""
        return self.model in event["message"] and said in event["message"]


@command(app)
def logs(
    session: Session,
    model: Model,
    stage: Annotated[
        Stage | None, typer.Option(help="Only functions of this stage.", show_default=False)
    ] = None,
    run: Annotated[str, typer.Option(metavar="RUN", help="The training job of this run.")] = "",
    endpoint: Annotated[bool, typer.Option("--endpoint", help="The endpoint's container.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
    hours: Annotated[float, typer.Option(help="How far back.", min=0.01)] = 24.0,
    limit: Limit = 200,
) -> None:
    """Show logs: of the functions by default, or of a training job, or of the endpoint."""
    if follow and session.console.as_json:
        raise UsageError("--follow never ends, so there is no JSON document of it.")
    source = _source(session, model, stage.value if stage else "", run, endpoint)
    client = session.client("logs")
    since = int(time.time() * 1000 - hours * _HOUR_MS)
    events = source.read(client, since)[-limit:]
    session.console.document([{k: e[k] for k in ("timestamp", "message")} for e in events])
    seen = {_identity(e) for e in events}
    _print(session, events)
    if not events and not follow:
        session.console.say(f"Nothing in {source.group} for the last {hours:g} hours.")
    while follow:
        time.sleep(max(session.environment.poll_seconds, 1.0))
        since = max([since, *(e["timestamp"] for e in events)])
        events = [e for e in source.read(client, since) if _identity(e) not in seen]
        seen |= {_identity(e) for e in events}
        _print(session, events)


def _source(session: Session, model: str, stage: str, run: str, endpoint: bool) -> Source:
    if sum(map(bool, (stage, run, endpoint))) > 1:
        raise UsageError("Choose one of --stage, --run and --endpoint.")
    if endpoint:
        return Source(f"/aws/sagemaker/Endpoints/{session.model(model).endpoint}")
    if run:
        key = Key(pk=model_partition(model), sk=f"run#{run}")
        record = session.ledger.get(RunRecord, key)
        if record is None:
            raise UsageError(f"'{model}' has no run '{run}'.", f"headrace runs {model}")
        return Source("/aws/sagemaker/TrainingJobs", prefix=f"{record.training_job}/")
    return Source(session.stack.log_group, model=model, stage=stage)


def _identity(event: dict[str, Any]) -> tuple[int, str, str]:
    return event["timestamp"], event["logStreamName"], event["message"]


def _print(session: Session, events: list[dict[str, Any]]) -> None:
    for event in events:
        session.console.text(_readable(event["message"].rstrip()))


def _readable(message: str) -> str:
    """Return a structured line of Powertools as a sentence, anything else as it is."""
    try:
        line = json.loads(message)
    except json.JSONDecodeError:
        return message
    if not isinstance(line, dict) or "message" not in line:
        return message
    known = {
        "timestamp",
        "level",
        "message",
        "service",
        "location",
        "function_name",
        "xray_trace_id",
    }
    known |= {k for k in line if k.startswith(("function_", "cold_start"))}
    rest = " ".join(f"{k}={v}" for k, v in line.items() if k not in known)
    name = str(line.get("function_name", "")).rpartition("-")[0] or line.get("service", "")
    try:
        at = clock(str(line.get("timestamp", "")))
    except ValueError:
        at = str(line["timestamp"])
    return f"{at} {line.get('level', '')} {name}: {line['message']} {rest}".rstrip()
