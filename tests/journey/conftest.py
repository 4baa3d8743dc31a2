"""One deployed stack on one local AWS for all journey tests; each test has a model of its own."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pytest
import yaml

from headrace.records import (
    DeploymentRecord,
    DropRecord,
    ObjectRecord,
    ProjectRecord,
    RunRecord,
    model_partition,
)
from headrace_cli import drops, local_aws, publishing, registry, retraining
from headrace_cli.commands.environment import bring_up
from headrace_cli.console import Console
from headrace_cli.environments import find_environment
from headrace_cli.journey import read_journey, run_on
from headrace_cli.session import Session

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "data" / "breast-cancer"
T = TypeVar("T")

_numbers = itertools.count(1)


def new_model(prefix: str) -> str:
    """Return a name that no model of this run has."""
    return f"{prefix}-{next(_numbers)}"


def wait(look: Callable[[], T | None], what: str, seconds: float = 90) -> T:
    """Return the first thing `look` finds; fail when it finds nothing in time."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.1)
    return found


class Journey:
    """One model on the deployed stack, and what a test does with it."""

    def __init__(self, session: Session, folder: Path, model: str) -> None:
        self.session, self.folder, self.model = session, folder, model

    def client(self, service: str) -> Any:
        return self.session.client(service)

    def publish(self, code: str = "", **sections: Any) -> ProjectRecord:
        """Publish the smallest project that learns from the sample, with `sections` over it.

        `code` is the content of its features.py.
        """
        project = self.folder / "project"
        project.mkdir(exist_ok=True)
        if code:
            (project / "features.py").write_text(code)
            sections["features"] = {"entrypoint": "features.py"}
        definition = {"name": self.model, "data": {"label": "benign"}}
        for name, content in sections.items():
            base = definition.get(name)
            definition[name] = base | content if isinstance(base, dict) else content
        (project / "model.yaml").write_text(yaml.safe_dump(definition))
        published = publishing.publish(self.session, project)
        return publishing.wait_for_verdict(self.session, published, timeout=60)

    def files(self, count: int = 2, *, query: str = "select * from sample") -> dict[str, Path]:
        """Return the sample as `count` parquet files, after a query."""
        folder = self.folder / f"files-{next(_numbers)}"
        folder.mkdir()
        connection = duckdb.connect()
        connection.execute(
            f"create view sample as select * from read_parquet('{SAMPLE}/*.parquet')"
        )
        connection.execute(
            f"create table rows as select *, row_number() over () % {count} as part from ({query})"
        )
        found = {}
        for part in range(count):
            path = folder / f"part-{part}.parquet"
            connection.execute(
                f"copy (select * exclude (part) from rows where part = {part}) to '{path}'"
            )
            found[path.name] = path
        return found

    def drop(self, name: str, files: dict[str, Path], **options: Any) -> DropRecord:
        """Send a drop and return its verdict."""
        drops.send_drop(self.session, self.model, name, files, **options)
        return drops.wait_for_drop(self.session, self.model, name, timeout=90)

    def objects(self, drop: str) -> dict[str, ObjectRecord]:
        """Return what became of a drop's objects, by the name within the drop."""
        found = drops.read_objects(self.session, self.model, drop)
        return {o.object_key.removeprefix(f"drops/{self.model}/{drop}/"): o for o in found}

    def runs(self) -> list[RunRecord]:
        partition = model_partition(self.model)
        return list(self.session.ledger.query(RunRecord, partition, "run#"))

    def run_on(self, dataset_version: str | None) -> RunRecord:
        """Return the ended run that was the first to learn from a dataset version."""
        return wait(
            lambda: run_on(read_journey(self.session, self.model), dataset_version),
            f"the run on {dataset_version}",
            seconds=120,
        )

    def retrain(self) -> RunRecord:
        """Ask for a new candidate on the data there are, and return its run once it has ended."""
        name = retraining.request(self.session, self.model, "for the test", again=True)
        answer = retraining.wait_for_answer(self.session, self.model, name, 120, final=True)
        assert answer.run, answer.reasons
        return retraining.wait_for_run(self.session, self.model, answer.run, timeout=120)

    def approve(self) -> DeploymentRecord:
        """Approve the newest pending package and return its deployment's verdict."""
        package = wait(
            lambda: next(
                (
                    p
                    for p in registry.packages(self.session, self.model)
                    if p.status == "PendingManualApproval"
                ),
                None,
            ),
            "a pending package",
        )
        known = {d.deployment for d in self.deployments()}
        registry.decide(self.session, package, "Approved", "the test says so")
        return registry.wait_for_deployment(self.session, self.model, known, timeout=120)

    def deployments(self) -> list[DeploymentRecord]:
        return registry.deployments(self.session, self.model)

    def executions(self, machine: str) -> list[dict[str, Any]]:
        """Return this model's executions of `datasets`, `training` or `deployment`."""
        arn = getattr(self.session.stack, f"{machine}_state_machine_arn")
        pages = (
            self.client("stepfunctions")
            .get_paginator("list_executions")
            .paginate(stateMachineArn=arn)
        )
        every = [e for page in pages for e in page["executions"]]
        return [e for e in every if e["name"].startswith(f"{self.model}-")]

    def history(self, execution_arn: str) -> list[dict[str, Any]]:
        pages = (
            self.client("stepfunctions")
            .get_paginator("get_execution_history")
            .paginate(executionArn=execution_arn)
        )
        return [event for page in pages for event in page["events"]]

    def announce(self, source: str, detail_type: str, **detail: Any) -> None:
        """Put an event on Headrace's own bus, as anyone with the right to could."""
        reply = self.client("events").put_events(
            Entries=[
                {
                    "EventBusName": self.session.stack.bus,
                    "Source": source,
                    "DetailType": detail_type,
                    "Detail": json.dumps({"schema_version": 1, "model": self.model, **detail}),
                }
            ]
        )
        assert reply["FailedEntryCount"] == 0

    def function(self, logical_id: str) -> str:
        """Return a function's physical name."""
        reply = self.client("cloudformation").describe_stack_resource(
            StackName=self.session.stack.name, LogicalResourceId=logical_id
        )
        return str(reply["StackResourceDetail"]["PhysicalResourceId"])

    def invoke(self, logical_id: str, event: dict[str, Any]) -> Any:
        """Call a function directly and return what it returned."""
        reply = self.client("lambda").invoke(
            FunctionName=self.function(logical_id), Payload=json.dumps(event).encode()
        )
        answer = json.loads(reply["Payload"].read() or b"null")
        assert "FunctionError" not in reply, answer
        return answer


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The deployed stack; the same functions as `headrace up` and `down`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_HOME", str(tmp_path_factory.mktemp("headrace")))
        tiny = Path(__file__).parent / "tiny"
        patch.setenv("HEADRACE_LOCAL_IMAGES", str(tiny / "images.yaml"))
        patch.setenv("SFN_MOCK_CONFIG", str(tiny / "throttles.json"))
        environment = find_environment("local-journey")
        session = Session(environment, Console(as_json=True))
        try:
            bring_up(session, timeout=120)
            yield session
        finally:
            stopped = local_aws.halt(environment, erase=False)
        logs = environment.folder / "logs"
        assert not stopped.killed, (logs / "stop.log").read_text()
        local_aws.halt(environment, erase=True)


@pytest.fixture
def journey(session: Session, tmp_path: Path) -> Journey:
    """A new model on the stack."""
    return Journey(session, tmp_path, new_model("model"))
