"""What can go wrong between Step Functions and SageMaker, on the deployed stack."""

import json

import pytest

from headrace.names import run_id
from tests.journey.conftest import Journey, wait

pytestmark = pytest.mark.journey


def test_a_job_whose_creation_s_reply_was_lost_is_adopted_by_its_name(journey: Journey) -> None:
    """Invariant 16: the job is there, but the state machine never heard that it was created."""
    project = journey.publish()
    drop = journey.drop("may", journey.files())
    assert drop.dataset_version is not None
    known = journey.run_on(drop.dataset_version)
    # Another run, of data the ledger knows, planned by an execution that does not exist yet.
    run = run_id(journey.model, drop.dataset_version, "another")
    machine = journey.session.stack.training_state_machine_arn
    request = {
        "model": journey.model,
        "run": run,
        "dataset_version": drop.dataset_version,
        "project_version": project.project_version,
        "cause": "asked for by a test",
    }
    execution = f"{machine.replace(':stateMachine:', ':execution:')}:{run}"
    plan = journey.invoke(
        "PlanRunFunction", {**request, "execution": execution, "execution_name": run}
    )
    sagemaker = journey.client("sagemaker")
    sagemaker.create_training_job(**plan["job"])
    name = plan["job"]["TrainingJobName"]

    def completed() -> str | None:
        status = sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
        return None if status == "InProgress" else str(status)

    assert wait(completed, "the job") == "Completed"
    states = journey.client("stepfunctions")
    states.start_execution(stateMachineArn=machine, name=run, input=json.dumps(request))
    judged = wait(
        lambda: next((r for r in journey.runs() if r.run == run and r.status != "training"), None),
        "the verdict",
    )
    assert judged.status == "better", judged.reason
    assert judged.package_arn != known.package_arn
    entered = {
        event["stateEnteredEventDetails"]["name"]
        for event in journey.history(execution)
        if "stateEnteredEventDetails" in event
    }
    assert {"IsJobThereAlready", "DescribeJob", "JudgeCandidate"} <= entered
    jobs = sagemaker.list_training_jobs(NameContains=journey.model)["TrainingJobSummaries"]
    assert len(jobs) == 2  # the first run's and this one's


def test_an_aborted_run_stops_its_job_and_is_closed(journey: Journey) -> None:
    """Invariants 20 and 21."""
    journey.publish()
    drop = journey.drop("may", journey.files())
    states, sagemaker = journey.client("stepfunctions"), journey.client("sagemaker")

    def training() -> str | None:
        found = sagemaker.list_training_jobs(NameContains=journey.model)["TrainingJobSummaries"]
        return found[0]["TrainingJobName"] if found else None

    name = wait(training, "the job")
    execution = journey.executions("training")[0]["executionArn"]
    states.stop_execution(executionArn=execution)
    run = journey.run_on(drop.dataset_version)
    assert (run.status, run.reason) == ("failed", "it was stopped by hand")

    def ended() -> str | None:
        status = sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
        return None if status in ("InProgress", "Stopping") else str(status)

    assert wait(ended, "the job's end") == "Stopped"


def test_a_denied_permission_fails_at_once_and_is_recorded(journey: Journey) -> None:
    """Invariants 19 and 21: AccessDenied is never retried, and the run ends with the reason."""
    journey.publish()
    iam, role = journey.client("iam"), journey.function("TrainingStateMachineRole")
    denial = {"Effect": "Deny", "Action": "sagemaker:CreateTrainingJob", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [denial]})
    iam.put_role_policy(RoleName=role, PolicyName="denial", PolicyDocument=policy)
    try:
        drop = journey.drop("may", journey.files())
        run = journey.run_on(drop.dataset_version)
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="denial")
    assert run.status == "failed"
    assert "not authorized" in run.reason
    events = journey.history(run.execution_arn)
    # Every attempt, the first and each retry, ends in a failed task of its own.
    denials = [e for e in events if "not authorized" in json.dumps(e, default=str)]
    attempts = [e for e in denials if e["type"] == "TaskFailed"]
    assert len(attempts) == 1, [(e["type"], e.get("taskFailedEventDetails")) for e in events]
    assert events[-1]["type"] == "ExecutionFailed"
