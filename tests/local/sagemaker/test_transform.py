"""Batch transform jobs, run for real.

AWS: "Use Batch Transform", "Use Your Own Inference Code with Batch Transform", "Capture data from
batch transform job" (developer guide), API_CreateTransformJob, API_StopTransformJob.
"""

import gzip
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import SageMaker, ServiceError
from tests.local.conftest import wait_until
from tests.local.sagemaker.conftest import BUCKET, REGISTRY, ROLE, STRANGER, Clients, MemoryCloud

IMAGE = f"{REGISTRY}/transform:1"
GROUP = "/aws/sagemaker/TransformJobs"
CSV = {"ContentType": "text/csv", "SplitType": "Line"}
LINES = {"Accept": "text/csv", "AssembleWith": "Line"}


def request(
    name: str, given: dict | None = None, wanted: dict | None = None, **changes: Any
) -> dict:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{name}/in/"}
    return {
        "TransformJobName": name,
        "ModelName": name,
        "TransformInput": {"DataSource": {"S3DataSource": source}, **(given or {})},
        "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/{name}/out", **(wanted or {})},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changes,
    }


def transformed(clients: Clients, job: dict, **model: Any) -> dict[str, Any]:
    """Make the job's model, run the job and wait for its end."""
    begin(clients, job, **model)
    return ended(clients, job["TransformJobName"])


def ended(clients: Clients, name: str) -> dict[str, Any]:
    def at_its_end() -> dict[str, Any] | None:
        found = clients.sagemaker.describe_transform_job(TransformJobName=name)
        return found if found["TransformJobStatus"] not in ("InProgress", "Stopping") else None

    return wait_until(at_its_end, what=f"the end of {name}")


def begin(clients: Clients, job: dict, role: str = ROLE, **container: Any) -> None:
    clients.sagemaker.create_model(
        ModelName=job["ModelName"],
        ExecutionRoleArn=role,
        PrimaryContainer={"Image": IMAGE, **container},
    )
    clients.sagemaker.create_transform_job(**job)


def output(clients: Clients, name: str, file: str) -> str:
    return clients.get(f"s3://{BUCKET}/{name}/out/{file}.out").decode()


def test_rows_are_filtered_joined_and_identified(clients: Clients, unique: str) -> None:
    """Names, order, the three steps of DataProcessing, and a capture's manifests."""
    clients.put(f"{unique}/in/first.csv", "id1,1,2\nid2,3,4\n")
    clients.put(f"{unique}/in/part/b.csv", 'id3,"5,5",6')
    job = transformed(
        clients,
        request(
            unique,
            CSV,
            LINES,
            DataProcessing={
                "InputFilter": "$[1:]",
                "JoinSource": "Input",
                "OutputFilter": "$[0,-2]",
            },
            DataCaptureConfig={
                "DestinationS3Uri": f"s3://{BUCKET}/{unique}/captured",
                "GenerateInferenceId": True,
            },
        ),
    )
    assert job["TransformJobStatus"] == "Completed", job
    assert job["TransformStartTime"] <= job["TransformEndTime"]
    row = r"id\d,2,[0-9a-f-]{36},\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n"
    assert re.fullmatch(row * 2, output(clients, unique, "first.csv"))
    assert re.fullmatch(row.replace("2,", "3,", 1), output(clients, unique, "part/b.csv"))
    manifests = clients.keys(f"{unique}/captured/")
    assert [key.split("/")[2] for key in manifests] == ["input", "output"]
    assert [json.loads(clients.get(f"s3://{BUCKET}/{key}")) for key in manifests] == [
        [{"prefix": f"s3://{BUCKET}/{unique}/in/"}, "first.csv", "part/b.csv"],
        [{"prefix": f"s3://{BUCKET}/{unique}/out/"}, "first.csv.out", "part/b.csv.out"],
    ]
    lines = clients.log_lines(GROUP, f"{unique}/i-")
    assert "serving" in lines
    assert any("BatchStrategy=MULTI_RECORD" in line for line in lines)


def test_a_bad_record_spoils_its_file_alone(clients: Clients, unique: str) -> None:
    """And what may pass is tried again; answers keep the order of what was asked."""
    clients.put(f"{unique}/in/bad.csv", "1\nbad\n")
    clients.put(f"{unique}/in/flaky.csv", "first\nflaky,1\n1,2,3\n")
    job = transformed(
        clients,
        request(unique, CSV, LINES, BatchStrategy="SingleRecord", MaxConcurrentTransforms=4),
    )
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"] == (
        "ClientError: 1 of 2 input objects failed; bad.csv: Bad HTTP status received from "
        "algorithm: 400: a bad record"
    )
    assert clients.keys(f"{unique}/out") == [f"{unique}/out/flaky.csv.out"]
    assert output(clients, unique, "flaky.csv") == "1,1\n2,1\n3,1\n"


def test_the_container_s_settings_and_environment(clients: Clients, unique: str) -> None:
    """The request's settings before /execution-parameters before the defaults; gzip; a manifest."""
    clients.s3.put_object(
        Bucket=BUCKET, Key=f"{unique}/in/a.csv.gz", Body=gzip.compress(b"environment\n1\n2\n")
    )
    manifest = clients.put(
        f"{unique}/manifest", json.dumps([{"prefix": f"s3://{BUCKET}/{unique}/"}, "in/a.csv.gz"])
    )
    source = {"S3DataType": "ManifestFile", "S3Uri": manifest}
    job = transformed(
        clients,
        request(
            unique,
            {**CSV, "CompressionType": "Gzip", "DataSource": {"S3DataSource": source}},
            LINES,
            MaxPayloadInMB=7,
            Environment={"SAGEMAKER_MINE": "job"},
        ),
        Environment={"PARAMETERS": '{"BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 1}'},
    )
    assert job["TransformJobStatus"] == "Completed", job
    first, *others = output(clients, unique, "in/a.csv.gz").splitlines()
    assert others == ["1,1", "1,1"]
    given = json.loads(first)
    assert (given["SAGEMAKER_BATCH"], given["SAGEMAKER_MAX_PAYLOAD_IN_MB"]) == ("true", "7")
    assert given["SAGEMAKER_MINE"] == "job"
    assert "SAGEMAKER_BATCH_STRATEGY" not in given, "only what the request sets is told"


def test_instances_share_the_objects_and_streams(clients: Clients, unique: str) -> None:
    """Several instances as several processes; MaxPayloadInMB 0 sends an object in chunks."""
    for name in ("a", "b"):
        clients.put(f"{unique}/in/{name}", "pid")
    two = {"InstanceType": "ml.m5.large", "InstanceCount": 2}
    job = transformed(clients, request(unique, TransformResources=two))
    assert job["TransformJobStatus"] == "Completed", job
    assert output(clients, unique, "a") != output(clients, unique, "b")

    clients.put(f"{unique}/in/large", "x" * (3 * 2**20))
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{unique}/in/large"}
    streamed = request(
        unique, {"DataSource": {"S3DataSource": source}}, ModelName=f"{unique}-2", MaxPayloadInMB=0
    )
    job = transformed(clients, {**streamed, "TransformJobName": f"{unique}-2"})
    assert job["TransformJobStatus"] == "Completed", job
    assert output(clients, unique, "large") == f"streamed {3 * 2**20}"


def test_json_lines_go_through_a_pipeline(clients: Clients, unique: str) -> None:
    """Several containers one after the other; JSON records gain the output."""
    clients.put(f"{unique}/in/a.jsonl", '{"id": 1, "features": [2]}\n{"id": 2, "features": []}\n')
    clients.sagemaker.create_model(
        ModelName=unique, ExecutionRoleArn=ROLE, Containers=[{"Image": IMAGE}, {"Image": IMAGE}]
    )
    lines = "application/jsonlines"
    processing = {
        "InputFilter": "$.features",
        "JoinSource": "Input",
        "OutputFilter": "$['id','SageMakerOutput']",
    }
    clients.sagemaker.create_transform_job(
        **request(
            unique,
            {"ContentType": lines, "SplitType": "Line"},
            {"Accept": lines, "AssembleWith": "Line"},
            DataProcessing=processing,
        )
    )
    job = ended(clients, unique)
    assert job["TransformJobStatus"] == "Completed", job
    assert [json.loads(line) for line in output(clients, unique, "a.jsonl").splitlines()] == [
        {"id": 1, "SageMakerOutput": {"seen": {"seen": [2]}}},
        {"id": 2, "SageMakerOutput": {"seen": {"seen": []}}},
    ]


def test_a_stopped_job_stores_nothing(clients: Clients, unique: str) -> None:
    """And what its instances use of the machine is measured while it runs."""
    clients.put(f"{unique}/in/a.csv", "1\n")
    clients.put(f"{unique}/in/b.csv", "slow\n")
    begin(clients, request(unique, CSV, LINES))
    wait_until(
        lambda: any("MaxPayload" in line for line in clients.log_lines(GROUP, f"{unique}/i-")),
        what="the first request",
    )

    def measured() -> list[str]:
        host = {"Name": "Host", "Value": f"{unique}/i-00000000000000000"}
        found = clients.cloudwatch.list_metrics(Namespace=GROUP, Dimensions=[host])
        return sorted(metric["MetricName"] for metric in found["Metrics"])

    assert wait_until(measured) == ["CPUUtilization", "MemoryUtilization"]
    clients.sagemaker.stop_transform_job(TransformJobName=unique)
    waiter = clients.sagemaker.get_waiter("transform_job_completed_or_stopped")
    waiter.wait(TransformJobName=unique, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    job = clients.sagemaker.describe_transform_job(TransformJobName=unique)
    assert job["TransformJobStatus"] == "Stopped"
    assert clients.keys(f"{unique}/out") == []
    with pytest.raises(ClientError, match="in status Stopped"):
        clients.sagemaker.stop_transform_job(TransformJobName=unique)


def test_what_cannot_be_read_or_is_too_large_fails(clients: Clients, unique: str) -> None:
    job = transformed(clients, request(unique))
    assert job["TransformJobStatus"] == "Failed"
    assert "No S3 objects found under S3 URL" in job["FailureReason"]
    clients.put(f"{unique}/in/a", "x" * (2**20 + 1))
    large = request(f"{unique}-large", MaxPayloadInMB=1)
    large["TransformInput"] = request(unique)["TransformInput"]
    assert "larger than MaxPayloadInMB (1 MB)" in transformed(clients, large)["FailureReason"]
    strange = {**large, "TransformJobName": f"{unique}-role", "ModelName": f"{unique}-role"}
    assert "AccessDenied" in transformed(clients, strange, role=STRANGER)["FailureReason"]


JSON = {"ContentType": "application/json"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ModelName": "never-made"}, 'Could not find model "arn:'),
        ({"MaxPayloadInMB": 101}, "at most 100"),
        ({"MaxPayloadInMB": 26, "MaxConcurrentTransforms": 4}, r"at most 100 MB"),
        ({"DataProcessing": {"InputFilter": "features"}}, r"must begin with \$"),
        ({"DataProcessing": {"OutputFilter": "$.a"}}, "needs Line as SplitType"),
        ({"given": CSV, "wanted": LINES, "DataProcessing": {"InputFilter": "$.a"}}, "by index"),
        ({"given": JSON, "wanted": LINES, "DataProcessing": {"JoinSource": "Input"}}, "must both"),
        (
            {
                "given": {
                    "DataSource": {
                        "S3DataSource": {"S3DataType": "AugmentedManifestFile", "S3Uri": "s3://b/k"}
                    }
                }
            },
            "not compatible",
        ),
    ],
)
def test_refusals(service: SageMaker, changes: dict, message: str) -> None:
    service.call(
        "CreateModel",
        {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": IMAGE}},
    )
    job = request(
        "m", changes.pop("given", {"ContentType": "text/csv"}), changes.pop("wanted", None)
    )
    with pytest.raises(ServiceError, match=message) as refusal:
        service.call("CreateTransformJob", {**job, **changes})
    assert refusal.value.code == "ValidationException"


def test_names_are_unique_and_jobs_are_listed(service: SageMaker, cloud: MemoryCloud) -> None:
    """And the event has its times in ISO 8601, as in AWS's sample."""
    service.call(
        "CreateModel",
        {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": IMAGE}},
    )
    job = request("m")
    service.call("CreateTransformJob", job)
    with pytest.raises(ServiceError, match="already exists") as refusal:
        service.call("CreateTransformJob", job)
    assert refusal.value.code == "ResourceInUse"
    (listed,) = service.call("ListTransformJobs", {"StatusEquals": "InProgress"})[
        "TransformJobSummaries"
    ]
    assert listed["TransformJobName"] == "m"
    kind, detail, _ = cloud.events[-1]
    assert kind == "SageMaker Transform Job State Change"
    assert detail["CreationTime"].endswith("Z")
    with pytest.raises(ServiceError, match="Could not find requested job with name: absent"):
        service.call("DescribeTransformJob", {"TransformJobName": "absent"})
