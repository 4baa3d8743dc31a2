"""Ground Truth: a private work team labels texts; the output manifest."""

import json
import os
import time

import boto3
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
functions = "arn:aws:lambda:us-east-1:432418664414:function"
texts = ["a fine day", "rain again"]
manifest = "\n".join(json.dumps({"source": text}) for text in texts)
labels = {"document-version": "2018-11-28", "labels": [{"label": "good"}, {"label": "bad"}]}
for key, body in (
    ("manifest", manifest),
    ("labels.json", json.dumps(labels)),
    ("template.html", "<crowd-form></crowd-form>"),
):
    s3.put_object(Bucket=BUCKET, Key=f"boto3-labeling/{key}", Body=body.encode())

step("create_workteam, describe_workteam")
team = sagemaker.create_workteam(
    WorkteamName="boto3-team",
    Description="of the conformance tests",
    MemberDefinitions=[
        {
            "CognitoMemberDefinition": {
                "UserPool": "us-east-1_pool",
                "UserGroup": "labelers",
                "ClientId": "client",
            }
        }
    ],
)["WorkteamArn"]
assert sagemaker.describe_workteam(WorkteamName="boto3-team")["Workteam"]["WorkteamArn"] == team

step("create_labeling_job, describe_labeling_job")
sagemaker.create_labeling_job(
    LabelingJobName="boto3-labeling",
    LabelAttributeName="mood",
    InputConfig={
        "DataSource": {"S3DataSource": {"ManifestS3Uri": f"s3://{BUCKET}/boto3-labeling/manifest"}}
    },
    OutputConfig={"S3OutputPath": f"s3://{BUCKET}/boto3-labeled"},
    RoleArn=ROLE,
    LabelCategoryConfigS3Uri=f"s3://{BUCKET}/boto3-labeling/labels.json",
    HumanTaskConfig={
        "WorkteamArn": team,
        "UiConfig": {"UiTemplateS3Uri": f"s3://{BUCKET}/boto3-labeling/template.html"},
        "PreHumanTaskLambdaArn": f"{functions}:PRE-TextMultiClass",
        "TaskTitle": "Mood",
        "TaskDescription": "Good or bad?",
        "NumberOfHumanWorkersPerDataObject": 1,
        "TaskTimeLimitInSeconds": 300,
        "AnnotationConsolidationConfig": {
            "AnnotationConsolidationLambdaArn": f"{functions}:ACS-TextMultiClass"
        },
    },
)
job = sagemaker.describe_labeling_job(LabelingJobName="boto3-labeling")
assert job["LabelingJobStatus"] in ("Initializing", "InProgress"), job

step("answers of a worker, by the local AWS's own headrace-labeling API")
work = boto3.client("headrace-labeling")
answered, deadline = 0, time.time() + 60
while answered < len(texts) and time.time() < deadline:
    for task in work.list_labeling_tasks(WorkteamName="boto3-team", Worker="ana")["Tasks"]:
        given = {"WorkteamName": "boto3-team", "TaskId": task["TaskId"], "Worker": "ana"}
        label = "good" if "fine" in task["Input"] else "bad"
        work.claim_labeling_task(**given)
        work.answer_labeling_task(
            **given, Answer=json.dumps({"crowd-classifier": {"label": label}})
        )
        answered += 1
    time.sleep(0.2)

step("the job completes; its counters; the augmented output manifest")
while job["LabelingJobStatus"] in ("Initializing", "InProgress") and time.time() < deadline:
    job = sagemaker.describe_labeling_job(LabelingJobName="boto3-labeling")
    time.sleep(0.2)
assert job["LabelingJobStatus"] == "Completed", job
assert job["LabelCounters"]["HumanLabeled"] == len(texts), job
key = job["LabelingJobOutput"]["OutputDatasetS3Uri"].split("/", 3)[3]
lines = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().splitlines()
moods = {line["source"]: line["mood-metadata"]["class-name"] for line in map(json.loads, lines)}
assert moods == {"a fine day": "good", "rain again": "bad"}, moods
