"""What Headrace adds to a retrain and a deployment: time, transitions, invocations, money.

python -m benchmarks.journey [ROUNDS]

Plays the journey on a local AWS of its own: every round drops a month of loans, trains, registers,
approves by policy and deploys. The first round starts every function cold; the others are warm.
Overhead is the wall time from the last object's arrival to the verified endpoint, less the
training job's own seconds and less the wait for the endpoint's container.
"""

import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from headrace_cli import drops, local_aws, publishing
from headrace_cli.commands.environment import bring_up
from headrace_cli.console import Console
from headrace_cli.environments import ROOT, find_environment
from headrace_cli.journey import between, history, read_journey, transitions, waited_seconds
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for
from tools import data

MODEL = "credit-risk"
# Published prices, us-east-1, USD; not measured. Sources: AWS pricing pages of Step Functions,
# Lambda, EventBridge and SageMaker as collected in November 2026.
TRANSITION, INVOCATION, GB_SECOND, EVENT = 0.025 / 1e3, 0.20 / 1e6, 0.0000166667, 1 / 1e6
TRAINING_HOUR = 0.115  # ml.m5.large


@dataclass(frozen=True)
class Round:
    """One drop's way to the endpoint."""

    wall: float
    job: float
    endpoint: float
    transitions: Counter[str]
    invocations: Counter[str]
    gb_seconds: float

    @property
    def overhead(self) -> float:
        return self.wall - self.job - self.endpoint


def functions(session: Session) -> dict[str, tuple[str, int]]:
    """Return every function's physical name with its logical one and its memory in MB."""
    stack = session.client("cloudformation").list_stack_resources(StackName=session.stack.name)
    found = {}
    for resource in stack["StackResourceSummaries"]:
        if resource["ResourceType"] == "AWS::Lambda::Function":
            name = resource["PhysicalResourceId"]
            memory = session.client("lambda").get_function_configuration(FunctionName=name)
            found[name] = (resource["LogicalResourceId"], memory["MemorySize"])
    return found


def used(session: Session, of: dict[str, tuple[str, int]]) -> tuple[Counter[str], float]:
    """Return how often each function was invoked so far, and the GB-seconds of all."""
    counts: Counter[str] = Counter()
    gb_seconds = 0.0
    now = datetime.now(UTC)
    for name, (logical, memory) in of.items():
        reply = session.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Duration",
            Dimensions=[{"Name": "FunctionName", "Value": name}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=["SampleCount", "Sum"],
        )
        for point in reply["Datapoints"]:
            counts[logical.removesuffix("Function")] += int(point["SampleCount"])
            gb_seconds += point["Sum"] / 1000 * memory / 1024
    return counts, gb_seconds


def play(session: Session, month: str, folder: Path, of: dict[str, tuple[str, int]]) -> Round:
    """Drop one month and wait until its model serves."""
    data.write_drop([month], folder, files=4)
    before, gb_before = used(session, of)
    known = {d.deployment for d in read_journey(session, MODEL).deployments}
    name = f"month-{month}"
    drops.send_drop(session, MODEL, name, drops.collect([folder]))

    def live() -> object:
        journey = read_journey(session, MODEL)
        ended = [d for d in journey.deployments if d.deployment not in known and d.ended_at]
        return ended[0] if ended else None

    deployment = wait_for(live, f"{month} to be live", timeout=180, interval=0.2)
    assert deployment.status == "live", deployment.reasons
    journey = read_journey(session, MODEL)
    drop = next(d for d in journey.drops if d.drop == name)
    run = next(r for r in journey.runs if r.dataset_version == drop.dataset_version)
    histories = {
        "datasets": history(session, drop.execution_arn or ""),
        "training": history(session, run.execution_arn),
        "deployment": history(session, deployment.execution_arn),
    }
    after, gb_after = used(session, of)
    return Round(
        wall=between(drop.last_seen_at, deployment.ended_at),
        job=run.job_seconds or 0.0,
        endpoint=waited_seconds(histories["deployment"]),
        transitions=Counter({stage: transitions(events) for stage, events in histories.items()}),
        invocations=after - before,
        gb_seconds=gb_after - gb_before,
    )


def report(rounds: list[Round]) -> None:
    print("\n| round | wall s | job s | endpoint s | overhead s |\n|---|---|---|---|---|")
    for number, r in enumerate(rounds):
        kind = "cold" if number == 0 else "warm"
        print(f"| {kind} | {r.wall:.1f} | {r.job:.1f} | {r.endpoint:.1f} | {r.overhead:.1f} |")
    warm = rounds[1:] or rounds
    last = warm[-1]
    print(f"\noverhead, warm, median: {statistics.median(r.overhead for r in warm):.1f} s")
    stages = ", ".join(f"{stage} {count}" for stage, count in last.transitions.items())
    print(f"transitions: {stages}")
    both = last.transitions["training"] + last.transitions["deployment"]
    print(f"transitions of retrain and deployment together: {both}")
    print(f"Lambda invocations: {last.invocations.total()} ({dict(last.invocations)})")
    step = last.transitions.total() * TRANSITION
    function = last.invocations.total() * INVOCATION + last.gb_seconds * GB_SECOND
    job = last.job / 3600 * TRAINING_HOUR
    print(
        "estimated from published prices, local durations (not measured on AWS): "
        f"Step Functions ${step:.5f}, Lambda ${function:.5f}, events ${3 * EVENT:.6f}, "
        f"training job ${job:.5f}: ${step + function + 3 * EVENT + job:.5f} a retrain"
    )


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    session = Session(find_environment("local-benchmark"), Console(as_json=False))
    local_aws.halt(session.environment, erase=True)
    try:
        bring_up(session, timeout=120)
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder, "project")
            project.mkdir()
            source = ROOT / "models" / MODEL
            definition = yaml.safe_load((source / "model.yaml").read_text())
            # Every candidate shall be deployed: the champion need not be beaten here.
            definition["approval"] = "automatic"
            definition.setdefault("evaluation", {})["must_beat"] = ["baseline"]
            (project / "model.yaml").write_text(yaml.safe_dump(definition))
            (project / "features.py").write_text((source / "features.py").read_text())
            published = publishing.publish(session, project)
            publishing.wait_for_verdict(session, published, timeout=60)
            of = functions(session)
            months = data.months()[:rounds]
            report([play(session, m, Path(folder, m), of) for m in months])
    finally:
        local_aws.halt(session.environment, erase=True)


if __name__ == "__main__":
    main()
