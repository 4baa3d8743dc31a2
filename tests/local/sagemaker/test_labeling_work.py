"""Labeling jobs at work on a whole local AWS: manifest to tasks, answers to labels.

Formats: "Use an Input Manifest File", "Labeling job output data", "Pre-annotation and
Post-annotation Lambda Function Requirements" of the developer guide.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.labeling import items as states
from local.sagemaker.labeling.items import Items
from local.sagemaker.labeling.run import LabelingRun
from local.sagemaker.settings import Settings
from tests.local.conftest import LocalAws, wait_until
from tests.local.ministack.helpers import function
from tests.local.sagemaker.conftest import BUCKET, IMAGES, Clients, MemoryCloud
from tests.local.sagemaker.labeling import (
    AWS_FUNCTION,
    TEAM,
    TEXTS,
    WORKTEAM,
    custom,
    label,
    people,
    put_material,
    request,
)


@pytest.fixture(scope="module")
def material(clients: Clients) -> None:
    """A manifest, categories and a template in S3."""
    put_material(clients, TEXTS)


@pytest.fixture
def wired(
    sagemaker_aws: LocalAws, material: None, cloud: MemoryCloud, tmp_path: Path
) -> Iterator[SageMaker]:
    """A service in this process whose S3 and Lambda are the shared local AWS's."""
    facts = sagemaker_aws.facts
    cloud.endpoint_url = facts["endpoint_url"]
    cloud.role_credentials = lambda *_: {  # type: ignore[method-assign]
        "AWS_ACCESS_KEY_ID": facts["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": facts["secret_access_key"],
    }
    service = SageMaker(tmp_path / "state", cloud, Settings(images=(IMAGES,)))
    service.call("CreateWorkteam", WORKTEAM)
    yield service
    service.close()


def job(service: SageMaker, name: str) -> dict[str, Any]:
    return service.call("DescribeLabelingJob", {"LabelingJobName": name})


def tasks(service: SageMaker, worker: str) -> list[dict[str, Any]]:
    found = service.call("ListLabelingTasks", {"WorkteamName": "people", "Worker": worker})
    return found.get("Tasks", [])


def answer(service: SageMaker, task: str, worker: str, content: str) -> dict[str, Any]:
    named = {"WorkteamName": "people", "TaskId": task, "Worker": worker}
    service.call("ClaimLabelingTask", named)
    return service.call("AnswerLabelingTask", {**named, "Answer": content})


def ended(service: SageMaker, name: str) -> dict[str, Any]:
    wait_until(
        lambda: job(service, name)["LabelingJobStatus"] in ("Completed", "Failed", "Stopped"),
        what=f"the end of {name}",
    )
    return job(service, name)


def lines(clients: Clients, uri: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in clients.get(uri).decode().splitlines()]


def test_a_job_without_data_fails(service: SageMaker, cloud: MemoryCloud) -> None:
    """Its end is an event ("Monitor Labeling Job Status"); its name stays taken."""
    service.call("CreateWorkteam", WORKTEAM)
    cloud.endpoint_url = "http://127.0.0.1:9"  # where nothing listens
    service.call("CreateLabelingJob", request("lost"))
    found = ended(service, "lost")
    assert found["LabelingJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("ClientError: s3://")
    kind, detail, resources = cloud.events[-1]
    assert kind == "SageMaker Ground Truth Labeling Job State Change"
    assert detail == {"LabelingJobStatus": "Failed"}
    assert resources == [found["LabelingJobArn"]]
    with pytest.raises(ServiceError) as duplicate:
        service.call("CreateLabelingJob", request("lost"))
    assert duplicate.value.code == "ResourceInUse"


def test_text_classification(
    wired: SageMaker, clients: Clients, cloud: MemoryCloud, unique: str
) -> None:
    """Three people per text; counters, annotations, output manifest, events."""
    wired.call("CreateLabelingJob", request(unique))
    wait_until(lambda: len(tasks(wired, "ana")) == len(TEXTS), what="the tasks")
    first = tasks(wired, "ana")[0]
    assert json.loads(first["Input"]) == {"taskObject": "good", "labels": ["sad", "glad"]}
    assert (first["Labels"], first["Status"]) == (["sad", "glad"], "Available")
    with pytest.raises(ServiceError, match="one of the labels sad, glad"):
        answer(wired, first["TaskId"], "ana", label("furious"))
    wired.call(
        "SkipLabelingTask",
        {"WorkteamName": "people", "TaskId": first["TaskId"], "Worker": "dora"},
    )
    assert len(tasks(wired, "dora")) == len(TEXTS) - 1
    truth = {"good": "glad", "bad": "sad", "fine": "glad", "awful": "sad"}
    for worker in ("ana", "bo", "cy"):
        for task in tasks(wired, worker):
            text = json.loads(task["Input"])["taskObject"]
            wrong = worker == "cy" and text == "fine"
            answer(wired, task["TaskId"], worker, label("sad" if wrong else truth[text]))
    found = ended(wired, unique)
    assert found["LabelingJobStatus"] == "Completed", found
    assert found["LabelCounters"] == {
        "TotalLabeled": 4,
        "HumanLabeled": 4,
        "MachineLabeled": 0,
        "FailedNonRetryableError": 0,
        "Unlabeled": 0,
    }
    uri = found["LabelingJobOutput"]["OutputDatasetS3Uri"]
    assert uri == f"s3://{BUCKET}/labeling/out/{unique}/manifests/output/output.manifest"
    written = lines(clients, uri)
    assert [line["source"] for line in written] == TEXTS
    assert [line["id"] for line in written] == [0, 1, 2, 3]
    assert [line["mood"] for line in written] == [1, 0, 1, 0]
    metadata = written[2]["mood-metadata"]
    assert 0.5 < metadata.pop("confidence") < 1
    assert metadata.pop("creation-date")
    assert metadata == {
        "class-name": "glad",
        "type": "groundtruth/text-classification",
        "job-name": f"labeling-job/{unique}",
        "human-annotated": "yes",
    }
    responses = clients.keys(f"labeling/out/{unique}/annotations/worker-response/")
    assert len(responses) == 12
    response = json.loads(clients.get(f"s3://{BUCKET}/{responses[0]}"))["answers"][0]
    assert response["workerId"].startswith("private.us-east-1.")
    assert "crowd-classifier" in response["answerContent"]
    states_told = {detail["state"] for kind, detail, _ in cloud.events if "Task" in kind}
    assert states_told == {"Accepted", "Submitted", "Declined"}
    (summary,) = wired.call("ListLabelingJobsForWorkteam", {"WorkteamArn": TEAM})[
        "LabelingJobSummaryList"
    ]
    assert summary["LabelCounters"] == {"HumanLabeled": 4, "PendingHuman": 0, "Total": 4}


def test_several_labels_of_one_worker(wired: SageMaker, clients: Clients, unique: str) -> None:
    """Every class that was chosen is shown; with one worker confidence is 0; then a stop."""
    kind = "TextMultiClassMultiLabel"
    functions = custom(f"{AWS_FUNCTION}:PRE-{kind}", f"{AWS_FUNCTION}:ACS-{kind}")
    human = {**functions, "NumberOfHumanWorkersPerDataObject": 1}
    wired.call("CreateLabelingJob", request(unique, **human))
    wait_until(lambda: tasks(wired, "ana"), what="the tasks")
    chosen = json.dumps({"crowd-classifier": {"labels": ["glad", "sad"]}})
    answer(wired, f"{unique}-1", "ana", chosen)
    wait_until(
        lambda: job(wired, unique)["LabelCounters"]["TotalLabeled"] == 1, what="the first label"
    )
    wired.call("StopLabelingJob", {"LabelingJobName": unique})
    found = ended(wired, unique)
    assert found["LabelingJobStatus"] == "Stopped"
    assert found["LabelCounters"]["Unlabeled"] == 3
    written = lines(clients, found["LabelingJobOutput"]["OutputDatasetS3Uri"])
    assert written[0] == {"source": "good", "id": 0}
    assert written[1]["mood"] == [0, 1]
    metadata = written[1]["mood-metadata"]
    assert metadata["class-map"] == {"0": "sad", "1": "glad"}
    assert metadata["confidence-map"] == {"0": 0.0, "1": 0.0}
    with pytest.raises(ServiceError, match="is in status Stopped"):
        answer(wired, f"{unique}-2", "ana", chosen)


def test_tasks_expire(wired: SageMaker, unique: str) -> None:
    """After TaskAvailabilityLifetimeInSeconds: labelled by those who answered, else failed."""
    wired.call("CreateLabelingJob", request(unique))
    wait_until(lambda: tasks(wired, "ana"), what="the tasks")
    wired.call("StopLabelingJob", {"LabelingJobName": unique})
    record = {**request(unique, TaskAvailabilityLifetimeInSeconds=600), "_iteration": 1}
    record["LabelingJobArn"] = ended(wired, unique)["LabelingJobArn"]
    context, items, told = wired._context, Items(wired._context.state / "other.db"), []
    run = LabelingRun(context, items, record, lambda task, state: told.append((task, state)))
    run.initialize()
    assert run.step(1, now=1000.0) == (False, 1600.0)
    items.claim(unique, 0, "ana", 3, expired=0, now=1010.0)
    items.submit(unique, 0, "ana", json.loads(label("glad")), expired=0, now=1020.0)
    items.claim(unique, 1, "bo", 3, expired=0, now=1030.0)
    assert run.step(1, now=1050.0) == (False, 1090.0)
    assert run.step(1, now=1600.0)[0]
    assert told == [(f"{unique}-1", "Expired")]
    assert items.counts(unique) == {states.LABELLED: 1, states.FAILED: 3}
    failed = items.of(unique, states.FAILED)[0].outcome["mood-metadata"]
    assert "expired before a worker submitted" in failed["failure-reason"]


PRE = """
def handler(event, context):
    assert event["version"] == "2018-10-16" and event["labelingJobArn"]
    text = event["dataObject"]["source"]
    return {"taskInput": {"shout": text.upper()}, "isHumanAnnotationRequired": text != "fine"}
"""
POST = """
import json, boto3
def handler(event, context):
    bucket, _, key = event["payload"]["s3Uri"].removeprefix("s3://").partition("/")
    body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return [
        {"datasetObjectId": each["datasetObjectId"], "consolidatedAnnotation": {"content": {
            event["labelAttributeName"]: {
                "text": each["dataObject"]["content"],
                "said": [json.loads(a["annotationData"]["content"]) for a in each["annotations"]],
                "categories": event["labelCategories"],
            }}}}
        for each in json.loads(body) if each["dataObject"]["content"] != "bad"
    ]
"""


def test_functions_of_one_s_own(
    wired: SageMaker, sagemaker_aws: LocalAws, clients: Clients, unique: str
) -> None:
    """Versions, payload file, objects without people, objects that the function leaves out."""
    names = [function(sagemaker_aws, code) for code in (PRE, POST)]
    arns = [f"arn:aws:lambda:us-east-1:000000000000:function:{name}" for name in names]
    human = {**custom(*arns), "NumberOfHumanWorkersPerDataObject": 1}
    wired.call("CreateLabelingJob", request(unique, **human))
    wait_until(lambda: len(tasks(wired, "ana")) == 3, what="the tasks")
    for task in tasks(wired, "ana"):
        answer(wired, task["TaskId"], "ana", json.dumps({"echo": json.loads(task["Input"])}))
    found = ended(wired, unique)
    assert found["LabelingJobStatus"] == "Completed", found
    assert found["LabelCounters"]["TotalLabeled"] == 2
    assert found["LabelCounters"]["FailedNonRetryableError"] == 1
    good, bad, fine, _ = lines(clients, found["LabelingJobOutput"]["OutputDatasetS3Uri"])
    assert good["mood"] == {
        "text": "good",
        "said": [{"echo": {"shout": "GOOD"}}],
        "categories": ["sad", "glad"],
    }
    assert good["mood-metadata"]["type"] == "groundtruth/custom"
    assert "left the object out" in bad["mood-metadata"]["failure-reason"]
    assert fine == {"source": "fine", "id": 2}


def test_people_work_over_http(
    sagemaker_aws: LocalAws, clients: Clients, material: None, unique: str
) -> None:
    """The described API with boto3; IAM decides by work team; the job acts as its role."""
    clients.sagemaker.create_workteam(**WORKTEAM)
    arn = "arn:aws:lambda:us-east-1:000000000000:function:not-allowed"
    clients.sagemaker.create_labeling_job(**request(f"{unique}-denied", **custom(arn, arn)))
    clients.sagemaker.create_labeling_job(**request(unique, NumberOfHumanWorkersPerDataObject=1))
    iam = sagemaker_aws.client("iam")
    key = iam.create_access_key(UserName=iam.create_user(UserName=unique)["User"]["UserName"])
    work = people(sagemaker_aws, key["AccessKey"])
    with pytest.raises(ClientError, match="sagemaker:ListLabelingTasks"):
        work.list_labeling_tasks(WorkteamName="people", Worker="ana")
    allow = {"Effect": "Allow", "Action": "sagemaker:*LabelingTask*", "Resource": TEAM}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=unique, PolicyName="work", PolicyDocument=policy)

    def listed() -> list[dict[str, Any]]:
        found = work.list_labeling_tasks(
            WorkteamName="people", Worker="ana", LabelingJobName=unique
        )
        return found["Tasks"]

    wait_until(listed, what="the tasks")
    for task in listed():
        named = {"WorkteamName": "people", "TaskId": task["TaskId"], "Worker": "ana"}
        assert work.claim_labeling_task(**named)["Status"] == "Claimed"
        assert work.answer_labeling_task(**named, Answer=label("glad"))["Status"] == "Submitted"
    describe = clients.sagemaker.describe_labeling_job

    def status(name: str) -> str:
        return describe(LabelingJobName=name)["LabelingJobStatus"]

    wait_until(lambda: status(unique) == "Completed", what="the labels")
    wait_until(lambda: status(f"{unique}-denied") == "Failed", what="the refusal")
    assert "AccessDenied" in describe(LabelingJobName=f"{unique}-denied")["FailureReason"]
