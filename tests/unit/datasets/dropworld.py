"""An AWS of moto's with everything that drops need, and S3 events that may be lost or doubled."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from moto import mock_aws

from headrace.aws.bus import Bus
from headrace.aws.datasets import assemble_dataset
from headrace.aws.drops import Drops
from headrace.aws.executions import Executions
from headrace.aws.inspections import Inspected, Inspector, inspect_batch, plan_drop
from headrace.aws.intake import Intake
from headrace.aws.projects import reconcile_project
from headrace.aws.quiet import QuietChecks
from headrace.aws.reconciliation import Reconciler
from headrace.aws.storage import Location, Storage
from headrace.datasets.arrivals import Arrival, group
from headrace.datasets.inspection import Findings, InspectionPlan
from headrace.datasets.settings import IntakeSettings, PlanSettings
from headrace.events import DatasetAccepted, DropQuarantined
from headrace.projects import archive_key, build_archive
from tests.unit import world

MODEL = "credit"
DATA, ARTIFACTS, QUARANTINE = "headrace-data", "headrace-artifacts", "headrace-quarantine"


def rows_of_text(path: Path, _folder: Path, _plan: InspectionPlan) -> Inspected:
    """Stand in for DuckDB where contents do not matter: `bad` is poison, else a line is a row."""
    text = path.read_text()
    if text.startswith("bad"):
        return Inspected(Findings(problem="The file is poison."), None, None)
    return Inspected(Findings(rows=text.count("\n") + 1, columns={"y": "integer"}), None, None)


@cache
def client(service: str) -> Any:
    """Return one client for all worlds: making one takes longer than most tests."""
    return boto3.Session("testing", "testing", region_name=world.REGION).client(service)


@dataclass
class DropWorld:
    region: str = world.REGION
    events: list[dict[str, Any]] = field(default_factory=list)
    sequencer: int = 0x0055AED6DCD90281E5

    def __post_init__(self) -> None:

        self.s3, self.stepfunctions = client("s3"), client("stepfunctions")
        self.scheduler, self.sagemaker = client("scheduler"), client("sagemaker")
        self.dynamodb, events = client("dynamodb"), client("events")
        for bucket in (DATA, ARTIFACTS, QUARANTINE):
            self.s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": self.region}
            )
            self.s3.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        keys = ("pk", "sk")
        self.dynamodb.create_table(
            TableName="ledger",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
            KeySchema=[
                {"AttributeName": k, "KeyType": t}
                for k, t in zip(keys, ("HASH", "RANGE"), strict=True)
            ],
        )
        events.create_event_bus(Name="headrace")
        self.scheduler.create_schedule_group(Name="quiet")
        machine = self.stepfunctions.create_state_machine(
            name="headrace-datasets",
            definition=json.dumps({"StartAt": "Rest", "States": {"Rest": {"Type": "Succeed"}}}),
            roleArn=f"arn:aws:iam::{world.ACCOUNT}:role/datasets",
        )["stateMachineArn"]
        here = world.settings().model_dump(by_alias=True) | {
            "STATE_MACHINE_ARN": machine,
            "SCHEDULE_GROUP": "quiet",
            "SCHEDULE_ROLE_ARN": f"arn:aws:iam::{world.ACCOUNT}:role/quiet",
            "SCHEDULE_TARGET_ARN": f"arn:aws:lambda:{self.region}:{world.ACCOUNT}:function:seal",
            "SCHEDULE_DEAD_LETTERS_ARN": f"arn:aws:sqs:{self.region}:{world.ACCOUNT}:dead",
            "MAX_FILE_BYTES": "1000000",
        }
        self.settings = IntakeSettings.model_validate(here)
        self.plan_settings = PlanSettings.model_validate(here)
        self.drops, self.storage = Drops("ledger", self.dynamodb), Storage(self.s3)
        self.executions = Executions(machine, self.stepfunctions)
        self.quiet = QuietChecks(self.settings, self.scheduler)
        self.intake = Intake(self.settings, self.drops, self.storage, self.executions, self.quiet)
        self.reconciler = Reconciler(
            self.settings,
            self.intake,
            self.drops,
            self.storage,
            self.executions,
            Bus("headrace", events),
        )

    def publish(self, folder: Path, model: str = MODEL, **data: Any) -> None:
        """Publish the smallest project of a model."""
        project = folder / model
        project.mkdir(exist_ok=True)
        content = {"name": model, "data": {"label": "y", **data}}
        (project / "model.yaml").write_text(json.dumps(content))
        archive = build_archive(project)
        key = archive_key(model, archive.version)
        self.s3.put_object(Bucket=DATA, Key=key, Body=archive.content)
        location = Location(DATA, key)
        # It names no alarm of its own, so CloudWatch is not asked.
        reconcile_project(
            location,
            self.settings,
            self.storage,
            self.drops,
            self.sagemaker,
            None,
            lambda _definition: None,
        )

    def put(self, key: str, content: bytes = b"1") -> dict[str, Any]:
        """Put an object and return its event, which nobody has heard yet."""
        reply = self.s3.put_object(Bucket=DATA, Key=key, Body=content)
        self.sequencer += 1
        event = {
            "detail": {
                "object": {
                    "key": key,
                    "size": len(content),
                    "etag": reply["ETag"].strip('"'),
                    "version-id": reply["VersionId"],
                    "sequencer": f"{self.sequencer:018X}",
                }
            }
        }
        self.events.append(event)
        return event

    def hear(self, *events: dict[str, Any]) -> None:
        """Deliver events in one batch, as the function does."""
        arrivals = [(None, Arrival.from_event(event)) for event in events]
        for messages in group(arrivals):
            self.intake.receive([arrival for _, arrival in messages])

    def drop(self, drop: str, files: dict[str, bytes], model: str = MODEL) -> None:
        """Put files and a manifest of their names, and deliver every event at once."""
        manifest = json.dumps({"files": list(files)}).encode()
        everything = files | {"_manifest.json": manifest}
        prefix = f"drops/{model}/{drop}"
        self.hear(*[self.put(f"{prefix}/{name}", body) for name, body in everything.items()])

    def inspect(
        self, drop: str, look: Inspector = rows_of_text, model: str = MODEL
    ) -> DatasetAccepted | DropQuarantined:
        """Do what the state machine does with a sealed drop."""
        batches = plan_drop(model, drop, self.plan_settings, self.drops, self.storage)
        for batch in range(batches):
            inspect_batch(model, drop, batch, self.settings, self.storage, look)
        return assemble_dataset(
            model, drop, lambda profiles: {}, self.settings, self.drops, self.storage
        )

    def state(self, drop: str, model: str = MODEL) -> str | None:
        record = self.drops.find(model, drop)
        return record.state if record else None

    def started(self, model: str = MODEL) -> list[str]:
        """Return the names of all executions ever started for a model."""
        machine = self.settings.state_machine_arn
        found = self.stepfunctions.list_executions(stateMachineArn=machine)["executions"]
        return [e["name"] for e in found if e["name"].startswith(f"{model}-")]

    @contextmanager
    def one_request_at_a_time(self) -> Iterator[None]:
        """Make moto's DynamoDB as atomic as the real one: its transactions know no threads."""
        lock = threading.Lock()
        events = self.dynamodb.meta.events

        def enter(**_: Any) -> None:
            lock.acquire()

        def leave(**_: Any) -> None:
            lock.release()

        events.register("before-call.dynamodb", enter)
        events.register("after-call.dynamodb", leave)
        try:
            yield
        finally:
            events.unregister("before-call.dynamodb", enter)
            events.unregister("after-call.dynamodb", leave)

    def forget(self) -> None:
        """Empty the ledger."""
        for item in self.dynamodb.scan(TableName="ledger")["Items"]:
            key = {name: item[name] for name in ("pk", "sk")}
            self.dynamodb.delete_item(TableName="ledger", Key=key)

    def kept(self) -> set[str]:
        """Return the keys in quarantine."""
        return {found["Key"] for found in self.storage.list(QUARANTINE, "")}

    def reason(self, key: str) -> str:
        """Return the reason beside an object in quarantine."""
        return " ".join(
            self.storage.get_json(Location(QUARANTINE, f"{key}.reason.json"))["reasons"]
        )


@contextmanager
def drop_world() -> Iterator[DropWorld]:
    with mock_aws():
        yield DropWorld()
