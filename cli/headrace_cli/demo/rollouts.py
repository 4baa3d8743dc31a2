"""New versions under live traffic: one that is good, and one that only the traffic finds out."""

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager

from headrace.records import DeploymentRecord
from headrace_cli import registry, rollout
from headrace_cli.commands.history import tell_history
from headrace_cli.commands.status import endpoint_status
from headrace_cli.demo.chapters import PATIENCE, Play
from headrace_cli.demo.data import MODEL, project, requests, requests_of_today
from headrace_cli.demo.traffic import Traffic, live_traffic
from headrace_cli.errors import FailedError
from headrace_cli.journey import read_journey
from headrace_cli.waiting import wait_for

# A candidate need not beat the champion here: these chapters are about what happens afterwards.
_EASIER = ("must_beat: [baseline, champion]", "must_beat: [baseline]")
# It knows the salary ranges of its training data, and no other.
_CARELESS = ("SALARIES.get(text, np.nan)", "SALARIES[text]")
_FLAPS = 5
_ENOUGH = 20


def canary(play: Play) -> None:
    """(e) A good version takes over while customers ask, and nobody notices."""
    with play.teller.chapter_of("e", "a canary under live traffic") as step:
        before = rollout.live(play.session, MODEL)
        play.publish(project(play.story, "easier", {"model.yaml": [_EASIER]}))
        _, run = play.drop("third", step.update)
        with _traffic(play) as traffic:
            version, deployment = play.approve(run, step.update)
            _wait_for_requests(traffic, traffic.requests + _ENOUGH)
        play.expect(
            "part of the traffic moved first, and was watched",
            "go first" in (deployment.strategy or ""),
            str(deployment.strategy),
        )
        old = traffic.answered_by((before and before.run) or "")
        new = traffic.answered_by(run.run)
        play.expect(
            "no request failed",
            traffic.failed == 0 and min(old, new) >= _ENOUGH,
            f"{_counted(traffic)}: {old:,} answered by the version before, {new:,} by "
            f"v{version}; the slowest took {traffic.slowest:.2f} s",
        )
        play.teller.fact("served", f"{_counted(traffic)} while v{version} took over")


def rollback(play: Play) -> None:
    """(f) A version passes every test, and fails on what no test held."""
    with play.teller.chapter_of("f", "a version that fails on live traffic only") as step:
        before = play.served()
        changes = {"model.yaml": [_EASIER], "features.py": [_CARELESS]}
        play.publish(project(play.story, "careless", changes))
        _, run = play.drop("fourth", step.update)
        play.expect("the gate let it pass", run.status == "better", run.status)
        with _traffic(play, of_today=True) as traffic:
            version, deployment = play.decide(run, step.update)
            failed, of = traffic.failed, traffic.requests
            play.expect(
                "its alarm rang, and SageMaker rolled it back",
                deployment.status == "rolled back",
                "; ".join(deployment.reasons),
            )
            met = traffic.answered_by(run.run) + failed
            told = f"{met:,} of {of:,} requests met it, and {failed:,} failed"
            play.expect("few requests met it", 0 < failed <= met < of, f"{told}: {_first(traffic)}")
            play.teller.fact("rolled back", f"v{version}: {told}")
            _wait_for_requests(traffic, traffic.requests + 5 * _ENOUGH)
            play.expect(
                "since then no request has failed",
                traffic.failed == failed,
                f"{traffic.failed - failed} of {5 * _ENOUGH}",
            )
            _agreed(play, before, version)
            _not_again(play, run.package_arn or "", before)
            _flapping(play, deployment, before)
        play.session.console.say()
        tell_history(play.session.console, read_journey(play.session, MODEL))


def _agreed(play: Play, before: int | None, version: int) -> None:
    """Expect that endpoint, ledger and registry say the same."""
    live = rollout.live(play.session, MODEL)
    status = live and endpoint_status(play.session, live.endpoint)
    play.expect(
        "endpoint and ledger agree about what serves",
        live is not None
        and (play.served(), live.package_version, status) == (before, before, "InService"),
        f"{status} on v{play.served()}; ledger: v{live and live.package_version}",
    )
    package = registry.choose(play.session, MODEL, version)
    said = play.session.client("sagemaker").describe_model_package(ModelPackageName=package.arn)
    play.expect(
        "its package is rejected, with the reason",
        package.status == "Rejected" and "Rolled back" in said.get("ApprovalDescription", ""),
        f"v{version} is {package.status}: {said.get('ApprovalDescription')}",
    )


def _not_again(play: Play, package_arn: str, before: int | None) -> None:
    """Expect that neither the reconciler nor the approval's event, come again, deploys it."""
    known = len(registry.deployments(play.session, MODEL))
    detail = {"ModelPackageArn": package_arn, "ModelApprovalStatus": "Approved"}
    event = dict.fromkeys(("id", "account", "region", "version"), "0") | {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Package State Change",
        "time": "2026-01-01T00:00:00Z",
        "resources": [],
        "detail": detail,
    }
    started = _invoke(play, "StartDeploymentFunction", event)
    found = _invoke(play, "ReconcileDeploymentsFunction", {})
    made = len(registry.deployments(play.session, MODEL)) - known
    play.expect(
        "the same package is not deployed again",
        (started, made, play.served()) == ({}, 0, before) and not found.get("started"),
        f"the event of its approval, come again, and the reconciler started {made} deployments",
    )


def _flapping(play: Play, deployment: DeploymentRecord, before: int | None) -> None:
    """Expect that an alarm that goes on and off changes nothing more."""
    known, heard_before = read_journey(play.session, MODEL), len(_recoveries(play))
    cloudwatch = play.session.client("cloudwatch")
    for number in range(_FLAPS):
        for state, seconds in (("OK", 0.2), ("ALARM", 1.0)):
            cloudwatch.set_alarm_state(
                AlarmName=f"{deployment.endpoint}/server-errors",
                StateValue=state,
                StateReason=f"the demo rings it, time {number + 1}",
            )
            time.sleep(seconds)

    def heard() -> bool | None:
        ends = _recoveries(play)
        time.sleep(1.0)  # a last one may be about to begin
        settled = ends == _recoveries(play) and "RUNNING" not in ends
        # Two changes that come at once may be one to the alarm that stands for all.
        return True if settled and len(ends) > heard_before + 1 else None

    wait_for(heard, "recovery to hear of the alarm", timeout=PATIENCE, interval=0.2)
    journey = read_journey(play.session, MODEL)
    remedies = {each.remedy for each in journey.recoveries[len(known.recoveries) :]}
    made = len(journey.deployments) - len(known.deployments)
    reasons = "; ".join(journey.recoveries[-1].reasons) if journey.recoveries else "none"
    play.expect(
        "an alarm that flaps changes nothing more",
        remedies <= {"wait"} and (made, play.served()) == (0, before),
        f"{_FLAPS} times on and off: recovery heard it {len(_recoveries(play)) - heard_before} "
        f"times and waits ({reasons}); {made} deployments",
    )


def _recoveries(play: Play) -> list[str]:
    """Return the status of every execution of recovery."""
    machine = _resource(play, "RecoveryStateMachine")
    reply = play.session.client("stepfunctions").list_executions(stateMachineArn=machine)
    return [str(each["status"]) for each in reply["executions"]]


def _traffic(play: Play, *, of_today: bool = False) -> AbstractContextManager[Traffic]:
    endpoint = play.session.model(MODEL).endpoint
    runtime = play.session.environment.client("sagemaker-runtime", attempts=1)
    rows = requests_of_today(play.story) if of_today else requests(play.story)
    return live_traffic(runtime, endpoint, rows)


def _wait_for_requests(traffic: Traffic, wanted: int) -> None:
    def enough() -> bool | None:
        return True if traffic.requests >= wanted else None

    wait_for(enough, f"{wanted} requests", timeout=PATIENCE, interval=0.05)


def _invoke(play: Play, function: str, event: Mapping[str, object]) -> dict[str, object]:
    """Call one of the stack's functions, as its trigger would.

    Raises:
        FailedError: it failed.
    """
    reply = play.session.client("lambda").invoke(
        FunctionName=_resource(play, function), Payload=json.dumps(dict(event)).encode()
    )
    answer = reply["Payload"].read().decode()
    if "FunctionError" in reply:
        raise FailedError(f"{function} failed: {answer}", f"headrace logs {MODEL} --env demo")
    return dict(json.loads(answer))


def _resource(play: Play, logical_id: str) -> str:
    """Return what the stack calls one of its resources: a function's name, a machine's ARN."""
    reply = play.session.client("cloudformation").describe_stack_resource(
        StackName=play.session.stack.name, LogicalResourceId=logical_id
    )
    return str(reply["StackResourceDetail"]["PhysicalResourceId"])


def _counted(traffic: Traffic) -> str:
    return f"{traffic.requests:,} requests, {traffic.failed:,} failed"


def _first(traffic: Traffic) -> str:
    said = traffic.failures[0] if traffic.failures else "none"
    return said.partition("with message ")[2].partition(". See the log")[0] or said
