"""What a deployment costs callers, in time and in lost requests: `python -m benchmarks.deployment`.

On a local AWS of its own a first version of credit-risk serves, and wrk asks it at a steady pace
(https://github.com/wg/wrk; Debian and Homebrew: `wrk`), signed as any client. Then a second version
takes over by a canary, and a third is taken back by an alarm while it bakes. Beside wrk one more
caller notes which version answers when. Locally a minute of a bake lasts a second.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from headrace.records import DeploymentRecord, RunRecord
from headrace_cli import drops, inference, local_aws, publishing, registry
from headrace_cli.commands.environment import bring_up
from headrace_cli.console import Console
from headrace_cli.environments import ROOT, find_environment
from headrace_cli.journey import history, read_journey, transitions, waited_seconds
from headrace_cli.session import Session
from headrace_cli.waiting import wait_for
from tools import data

MODEL = "credit-risk"
ALARM = "benchmark"
# USD a state transition of a Standard workflow, us-east-1. Source: AWS Step Functions pricing page
# (https://aws.amazon.com/step-functions/pricing/), November 2026; not measured.
TRANSITION = 0.025 / 1e3
CONNECTIONS, PAUSE_MS = 4, 20  # wrk: how many ask, and how long each pauses after an answer
LONGEST_S = 600
DEPLOYMENT = {
    "instance_count": 2,
    "strategy": {"canary": {"percent": 50, "bake": "8m"}},
    "stand_by": "2m",
    "alarms": {"names": [ALARM]},
}
LUA = """
wrk.method, wrk.path, wrk.body = "POST", "{path}", [==[{body}]==]
wrk.headers = {headers}
function delay() return {pause} end
function done(summary)
  local e = summary.errors
  io.write(string.format(
    '{{"requests": %d, "status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}}\\n',
    summary.requests, e.status, e.connect, e.read, e.write, e.timeout))
end
"""


@dataclass
class Watcher:
    """Which run's model answered when, seen by one caller."""

    answers: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def first(self, run: str) -> float | None:
        return next((at for at, who in self.answers if who == run), None)

    def last(self, run: str) -> float:
        return max(at for at, who in self.answers if who == run)


class Benchmark:
    """The project on its stack."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.folder = session, folder
        self.months = iter(data.months())
        session.client("cloudwatch").put_metric_alarm(
            AlarmName=ALARM,
            Namespace="Benchmark",
            MetricName="Complaints",
            Statistic="Sum",
            Period=10,
            EvaluationPeriods=1,
            Threshold=0.0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="ignore",  # it stays as it is put
        )
        self.ring("OK")
        source, project = ROOT / "models" / MODEL, folder / "project"
        project.mkdir()
        definition = yaml.safe_load((source / "model.yaml").read_text())
        definition["evaluation"]["must_beat"] = ["baseline"]
        definition["deployment"] = DEPLOYMENT
        (project / "model.yaml").write_text(yaml.safe_dump(definition))
        (project / "features.py").write_text((source / "features.py").read_text())
        published = publishing.publish(session, project)
        publishing.wait_for_verdict(session, published, timeout=60)
        self.endpoint = session.model(MODEL).endpoint

    def ring(self, state: str) -> None:
        self.session.client("cloudwatch").set_alarm_state(
            AlarmName=ALARM, StateValue=state, StateReason="the benchmark"
        )

    def train(self) -> RunRecord:
        """Drop a month; return the run on it."""
        month = next(self.months)
        folder = self.folder / month
        self.rows = data.write_drop([month], folder, files=2)
        known = {run.run for run in read_journey(self.session, MODEL).runs}
        drops.send_drop(self.session, MODEL, f"month-{month}", drops.collect([folder]))

        def ended() -> RunRecord | None:
            runs = read_journey(self.session, MODEL).runs
            return next((r for r in runs if r.run not in known and r.status != "training"), None)

        run = wait_for(ended, f"the run on {month}", timeout=180, interval=0.2)
        assert run.status == "better", run.reason
        return run

    def approve(self) -> set[str]:
        """Approve the newest version; return the deployments that were known before."""
        known = {d.deployment for d in registry.deployments(self.session, MODEL)}
        package = registry.choose(self.session, MODEL, None)
        registry.decide(self.session, package, "Approved", "for the benchmark")
        return known

    def verdict(self, known: set[str]) -> DeploymentRecord:
        return registry.wait_for_deployment(self.session, MODEL, known, timeout=180)

    def body(self) -> str:
        """Return a request about one loan."""
        (path, *_) = sorted(self.folder.glob("*/*.parquet"))
        row = inference.read_rows(path)[0]
        row.pop("defaulted", None)
        return next(inference.batches([row])).decode()

    @contextmanager
    def watched(self) -> Iterator[Watcher]:
        """Ask twenty times a second, beside wrk."""
        runtime = self.session.environment.client("sagemaker-runtime", attempts=1)
        seen, over, body = Watcher(), threading.Event(), self.body().encode()

        def ask() -> None:
            while not over.wait(0.05):
                try:
                    reply = runtime.invoke_endpoint(
                        EndpointName=self.endpoint, ContentType="application/json", Body=body
                    )
                    run = json.loads(reply["Body"].read())["model"]["run"]
                    seen.answers.append((time.time(), run))
                except Exception as error:  # noqa: BLE001 — whatever a caller gets is counted
                    seen.failures.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()

    def load(self, wrk: str) -> "subprocess.Popen[str]":
        """Start wrk at a steady pace; it tells what it saw when it is interrupted."""
        aws = self.session.environment.local_aws()
        assert aws is not None
        path, body = f"/endpoints/{self.endpoint}/invocations", self.body()
        headers = {"content-type": "application/json"}
        request = AWSRequest("POST", aws.endpoint_url + path, headers, data=body)
        credentials = Credentials(aws.access_key_id, aws.secret_access_key)
        SigV4Auth(credentials, "sagemaker", aws.region).add_auth(request)
        named = ", ".join(
            f"['{name}'] = [==[{value}]==]" for name, value in request.headers.items()
        )
        script = self.folder / "steady.lua"
        script.write_text(
            LUA.format(
                path=path,
                body=body,
                headers=f"{{{named}}}",
                pause=PAUSE_MS,
            )
        )
        arguments = [f"-c{CONNECTIONS}", f"-d{LONGEST_S}s", "--latency", "-s", str(script)]
        return subprocess.Popen(
            [wrk, "-t1", *arguments, aws.endpoint_url], stdout=subprocess.PIPE, text=True
        )


def play(benchmark: Benchmark, wrk: str) -> None:
    """Update and roll back under load, and print what was measured."""
    first = benchmark.train()
    assert benchmark.verdict(benchmark.approve()).status == "live"
    second = benchmark.train()
    load = benchmark.load(wrk)
    with benchmark.watched() as seen:
        began = time.time()
        live = benchmark.verdict(benchmark.approve())
        third = benchmark.train()
        approved = time.time()
        known = benchmark.approve()
        while (canary := seen.first(third.run)) is None:
            time.sleep(0.05)
        rang = time.time()
        benchmark.ring("ALARM")
        back = benchmark.verdict(known)
        time.sleep(2)  # of the first version alone again
        load.send_signal(signal.SIGINT)
        output, _ = load.communicate(timeout=60)
    assert (live.status, back.status) == ("live", "rolled back"), (live.reasons, back.reasons)
    counts = json.loads(output.strip().splitlines()[-1])
    report(benchmark, [(began, second, live), (approved, third, back)], seen, counts)
    print(
        f"alarm to the last answer of the version taken back: {seen.last(third.run) - rang:.2f} s"
    )
    print(f"(the canary's first answer came {canary - approved:.2f} s after its approval)")
    met = sum(who == third.run for _, who in seen.answers)
    print(f"the watcher's {len(seen.answers)} answers: {met} by it; first version {first.run}")
    print("".join(line + "\n" for line in output.splitlines() if "%" in line or "/sec" in line))


def report(
    benchmark: Benchmark,
    rounds: list[tuple[float, RunRecord, DeploymentRecord]],
    seen: Watcher,
    counts: dict[str, int],
) -> None:
    print("\n| deployment | approval to first canary answer s | transitions | USD | waited s |")
    print("|---|---|---|---|---|")
    for approved, run, deployment in rounds:
        events = history(benchmark.session, deployment.execution_arn)
        made = transitions(events)
        first = seen.first(run.run)
        assert first is not None
        print(
            f"| {deployment.status} | {first - approved:.2f} | {made} | "
            f"{made * TRANSITION:.6f} | {waited_seconds(events):.1f} |"
        )
    errors = {name: count for name, count in counts.items() if name != "requests"}
    lost = sum(errors.values()) + len(seen.failures)
    print(f"\nwrk: {counts['requests']} requests, {errors}; watcher: {len(seen.answers)} answers")
    print(f"requests lost: {lost} of {counts['requests'] + len(seen.answers)}")
    print("USD: Step Functions alone, estimated from its published price; not measured on AWS")


def main() -> None:
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is not installed; Debian and Ubuntu: `apt-get install wrk`")
    session = Session(find_environment("local-benchmark-deployment"), Console(as_json=False))
    local_aws.halt(session.environment, erase=True)
    try:
        bring_up(session, timeout=120)
        with tempfile.TemporaryDirectory() as folder:
            play(Benchmark(session, Path(folder)), wrk)
    finally:
        local_aws.halt(session.environment, erase=True)


if __name__ == "__main__":
    main()
