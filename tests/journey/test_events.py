"""Events come twice, out of order, or from somebody who made them up."""

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from headrace.names import package_group_name
from headrace_cli import registry, retraining
from tests.journey.conftest import Journey, wait

pytestmark = pytest.mark.journey


def object_event(journey: Journey, key: str) -> dict[str, Any]:
    """Return the event S3 sent for an object's newest version."""
    record = next(o for o in journey.objects(key.split("/")[2]).values() if o.object_key == key)
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "000000000000",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {
            "bucket": {"name": journey.session.stack.data_bucket},
            "object": {
                "key": record.object_key,
                "size": record.size,
                "etag": record.etag,
                "version-id": record.version_id,
                "sequencer": record.sequencer,
            },
            "reason": "PutObject",
        },
    }


def test_the_same_events_again_change_nothing(journey: Journey) -> None:
    """Invariants 2, 3, 15 and 39: whatever is replayed, one row and one execution of each."""
    journey.publish()
    drop = journey.drop("may", journey.files())
    run = journey.run_on(drop.dataset_version)
    before = journey.objects("may")

    keys = [o.object_key for o in before.values()]
    records = [
        {
            "messageId": str(n),
            "body": json.dumps(object_event(journey, key)),
            "eventSource": "aws:sqs",
        }
        for n, key in enumerate([*keys, *reversed(keys)])
    ]
    assert journey.invoke("RecordObjectsFunction", {"Records": records}) == {
        "batchItemFailures": []
    }
    for _ in range(3):
        journey.announce(
            "headrace.datasets",
            "DatasetAccepted",
            drop="may",
            dataset_version=drop.dataset_version,
            rows=drop.rows,
            files=drop.files,
            quarantined_files=0,
            quarantined_rows=0,
        )
    # A second drop passes through the same functions after the replays: they have been handled.
    other = journey.drop("june", journey.files(query="select * from sample limit 400"))
    journey.run_on(other.dataset_version)
    # Alarms that ring on want what has been learnt already.
    alarms = [f"alarm-{number}" for number in range(3)]
    for alarm in alarms:
        journey.announce(
            "headrace.training", "RetrainingRequested", request=alarm, reason="it rings"
        )
    answers = [
        retraining.wait_for_answer(journey.session, journey.model, alarm, 60, final=True)
        for alarm in alarms
    ]
    assert {answer.answer for answer in answers} == {"refused"}, answers

    assert journey.objects("may") == before
    assert len(journey.executions("datasets")) == 2
    assert len(journey.executions("training")) == 2
    assert [r for r in journey.runs() if r.run == run.run] == [run]


def test_a_forged_approval_deploys_nothing(journey: Journey) -> None:
    """Invariants 27 and 28: what was never approved never serves."""
    journey.publish()
    drop = journey.drop("may", journey.files())
    run = journey.run_on(drop.dataset_version)
    group = package_group_name(journey.session.stack.name, journey.model)
    forged = {
        "ModelPackageGroupName": group,
        "ModelPackageVersion": 1,
        "ModelPackageArn": run.package_arn,
        "ModelApprovalStatus": "Approved",
    }
    detail_type = "SageMaker Model Package State Change"
    entry = {"Source": "aws.sagemaker", "DetailType": detail_type, "Detail": json.dumps(forged)}
    # AWS lets nobody speak for it.
    reply = journey.client("events").put_events(Entries=[entry])
    assert reply["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"
    journey.announce("aws-sagemaker", detail_type, **forged)
    # Somebody tells the gate's listener that a run was registered which is to be approved by hand.
    journey.announce(
        "headrace.training",
        "CandidateRegistered",
        run=run.run,
        package_arn=run.package_arn,
        dataset_version=run.dataset_version,
    )
    # Even an event that AWS itself could have sent is only a hint: the package is read again.
    journey.invoke(
        "StartDeploymentFunction",
        {"source": "aws.sagemaker", "detail-type": detail_type, "detail": forged}
        | dict.fromkeys(("id", "account", "region"), "x")
        | {"version": "0", "resources": [], "time": "2026-01-01T00:00:00Z"},
    )
    refused = [d for d in journey.deployments() if not d.is_open]
    assert all(d.status == "refused" for d in refused), refused
    endpoints = journey.client("sagemaker").list_endpoints(NameContains=journey.model)["Endpoints"]
    assert endpoints == []
    assert registry.packages(journey.session, journey.model)[0].status == "PendingManualApproval"


def test_an_approval_that_was_taken_back_deploys_nothing(journey: Journey) -> None:
    """Invariant 28: a stale approval. The event says Approved, the registry says Rejected."""
    journey.publish()
    drop = journey.drop("may", journey.files())
    run = journey.run_on(drop.dataset_version)
    package = registry.choose(journey.session, journey.model, None)
    registry.decide(journey.session, package, "Rejected", "on second thoughts")
    described = journey.client("sagemaker").describe_model_package(ModelPackageName=package.arn)
    execution = journey.client("stepfunctions").start_execution(
        stateMachineArn=journey.session.stack.deployment_state_machine_arn,
        name=f"{journey.model}-stale",
        input=json.dumps(
            {
                "model": journey.model,
                "deployment": f"{journey.model}-stale",
                "package_arn": run.package_arn,
                "package_version": described["ModelPackageVersion"],
                "endpoint": journey.session.model(journey.model).endpoint,
                "cause": "a stale approval",
            }
        ),
    )["executionArn"]
    ended = wait(
        lambda: (
            d
            if (d := journey.client("stepfunctions").describe_execution(executionArn=execution))[
                "status"
            ]
            != "RUNNING"
            else None
        ),
        "the deployment's end",
    )
    assert ended["status"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="Could not find"):
        journey.client("sagemaker").describe_endpoint(
            EndpointName=f"{journey.session.stack.name}-{journey.model}"
        )
    (refused,) = journey.deployments()
    assert refused.status == "refused"
    assert "Rejected, not Approved" in refused.reasons[0]
