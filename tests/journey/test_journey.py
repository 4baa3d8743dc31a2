"""The whole way, as a user goes it."""

import json
import tarfile
from io import BytesIO

import pytest

from headrace.records import ProjectRecord, model_partition
from headrace_cli import inference, quarantine
from tests.journey.conftest import Journey, wait

pytestmark = pytest.mark.journey


def test_a_drop_becomes_a_served_model(journey: Journey) -> None:
    assert journey.publish().status == "published"
    files = journey.files(3)
    drop = journey.drop("may", files)
    assert (drop.state, drop.files, drop.quarantined_files) == ("accepted", 3, 0)

    run = journey.run_on(drop.dataset_version)
    assert run.status == "better", run.reasons
    assert run.candidate_value is not None
    assert run.baseline_value is not None
    assert run.candidate_value > run.baseline_value
    assert run.job_seconds

    # Nothing serves before somebody approves.
    assert journey.deployments() == []
    deployment = journey.approve()
    assert deployment.status == "live", deployment.reasons
    assert deployment.package_arn == run.package_arn

    sagemaker = journey.client("sagemaker")
    endpoint = sagemaker.describe_endpoint(EndpointName=deployment.endpoint)
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == deployment.endpoint_config

    rows = [
        {k: v for k, v in row.items() if k != "benign"}
        for row in inference.read_rows(files["part-0.parquet"])
    ]
    single = inference.predict(journey.session, journey.model, rows[:1])
    batch = inference.predict(journey.session, journey.model, rows)
    assert len(batch.rows) == len(rows)
    assert single.rows[0]["score"] == pytest.approx(batch.rows[0]["score"], abs=1e-6)
    assert batch.runs == [run.run]

    # What was asked and answered is captured for monitoring.
    s3, bucket = journey.client("s3"), journey.session.stack.artifacts_bucket

    def captured() -> list[dict[str, str]] | None:
        prefix = f"captures/{deployment.endpoint}"
        return s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents")

    first = wait(captured, "captured requests")[0]
    line = s3.get_object(Bucket=bucket, Key=first["Key"])["Body"].readline()
    assert "endpointInput" in json.loads(line)["captureData"]


def test_a_package_says_all_that_it_was_made_of(journey: Journey) -> None:
    """Invariant 26: dataset, code version, image and artifact, by their hashes."""
    project = journey.publish()
    drop = journey.drop("may", journey.files())
    run = journey.run_on(drop.dataset_version)
    package = journey.client("sagemaker").describe_model_package(ModelPackageName=run.package_arn)
    said = package["CustomerMetadataProperties"]
    container = package["InferenceSpecification"]["Containers"][0]
    assert said["dataset_version"] == drop.dataset_version
    assert said["project_version"] == project.project_version
    assert said["artifact_sha256"] == run.artifact_sha256
    assert "@sha256:" in container["Image"]
    assert package["ModelApprovalStatus"] == "PendingManualApproval"

    bucket, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
    body = journey.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=BytesIO(body)) as archive:
        names = archive.getnames()
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]


def test_a_worse_candidate_is_refused_and_the_champion_stays(journey: Journey) -> None:
    """Flipped labels are caught, and automatic approval approves only what the gate passed."""
    journey.publish(approval="automatic")
    good = journey.drop("good", journey.files())
    first = journey.run_on(good.dataset_version)
    assert first.status == "better", first.reasons
    live = wait(
        lambda: next((d for d in journey.deployments() if not d.is_open), None),
        "the deployment",
    )
    assert live.status == "live", live.reasons

    flipped = journey.files(query="select * replace (1 - benign as benign) from sample")
    bad = journey.drop("flipped", flipped)
    second = journey.run_on(bad.dataset_version)
    assert second.status == "not better"
    assert second.champion_package_arn == first.package_arn
    assert any("champion" in reason for reason in second.reasons), second.reasons
    assert second.package_arn is None
    assert [d.deployment for d in journey.deployments()] == [live.deployment]
    # What is spoilt would spoil every later run too, so it is set aside until a person objects.
    (aside,) = quarantine.datasets_set_aside(journey.session, journey.model)
    assert aside.dataset_version == bad.dataset_version
    assert "inverted" in (aside.set_aside or "")


def test_a_project_that_cannot_be_used_is_refused_with_reasons(journey: Journey) -> None:
    s3, bucket = journey.client("s3"), journey.session.stack.data_bucket
    key = f"projects/{journey.model}/0123456789ab/project.tar.gz"
    s3.put_object(Bucket=bucket, Key=key, Body=b"this is no archive")

    def refused() -> list[str] | None:
        found = journey.session.ledger.query(
            ProjectRecord, model_partition(journey.model), "project#"
        )
        return next((r.reasons for r in found if r.status == "refused"), None)

    assert wait(refused, "the refusal")
