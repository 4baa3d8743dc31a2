"""Training jobs: create, wait, describe, list, fail, stop, logs; the errors of common mistakes."""

import os

import boto3
from botocore.exceptions import ClientError, ParamValidationError, WaiterError
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
sagemaker, s3, logs = boto3.client("sagemaker"), boto3.client("s3"), boto3.client("logs")
s3.put_object(Bucket=BUCKET, Key="boto3-training/numbers.csv", Body=b"1\n2\n6\n")

request = {
    "TrainingJobName": "boto3-training",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {
        "TrainingImage": "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "validation:loss=([0-9.]+);"}],
    },
    "HyperParameters": {"depth": "5"},
    "InputDataConfig": [
        {
            "ChannelName": "train",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "S3Prefix",
                    "S3Uri": f"s3://{BUCKET}/boto3-training/",
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
        }
    ],
    "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/boto3-training-output"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    "Tags": [{"Key": "team", "Value": "data"}],
}

step("create_training_job; waiter training_job_completed_or_stopped with WaiterConfig")
arn = sagemaker.create_training_job(**request)["TrainingJobArn"]
waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
waiter.wait(TrainingJobName="boto3-training", WaiterConfig={"Delay": 1, "MaxAttempts": 60})

step("describe_training_job: artifacts, transitions, billable seconds")
job = sagemaker.describe_training_job(TrainingJobName="boto3-training")
assert job["TrainingJobStatus"] == "Completed", job
assert job["SecondaryStatusTransitions"][-1]["Status"] == "Completed"
assert job["BillableTimeInSeconds"] >= 0
assert job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
artifacts = job["ModelArtifacts"]["S3ModelArtifacts"]
assert artifacts == f"s3://{BUCKET}/boto3-training-output/boto3-training/output/model.tar.gz"
s3.head_object(Bucket=BUCKET, Key=artifacts.split("/", 3)[3])

step("describe_training_job: FinalMetricDataList")
metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
assert metrics == {"loss": 4.0}, metrics

step("logs: describe_log_streams, get_log_events")
group = "/aws/sagemaker/TrainingJobs"
streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="boto3-training/")
stream = streams["logStreams"][0]["logStreamName"]
assert stream.startswith("boto3-training/algo-1-"), stream
events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
assert any("training with" in event["message"] for event in events), events

step("list_tags, add_tags, delete_tags")
sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "test"}])
sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team"])
assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "test"}]

step("a failing job: the waiter raises WaiterError, FailureReason says why")
failing = {
    **request,
    "TrainingJobName": "boto3-training-failing",
    "HyperParameters": {"fail": "yes"},
}
sagemaker.create_training_job(**failing)
try:
    waiter.wait(
        TrainingJobName="boto3-training-failing", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
except WaiterError as error:
    assert error.last_response["TrainingJobStatus"] == "Failed"
    assert "the label column is missing" in error.last_response["FailureReason"]
else:
    raise AssertionError("the waiter did not raise")

step("paginator list_training_jobs, with filters")
pages = sagemaker.get_paginator("list_training_jobs").paginate(
    NameContains="boto3-training",
    SortBy="Name",
    SortOrder="Ascending",
    PaginationConfig={"PageSize": 1},
)
names = [summary["TrainingJobName"] for page in pages for summary in page["TrainingJobSummaries"]]
assert names == ["boto3-training", "boto3-training-failing"], names
failed = sagemaker.list_training_jobs(StatusEquals="Failed", NameContains="boto3-training")
assert [job["TrainingJobName"] for job in failed["TrainingJobSummaries"]] == [
    "boto3-training-failing"
]

step("mistake: a name that is taken raises ResourceInUse")
try:
    sagemaker.create_training_job(**request)
except sagemaker.exceptions.ResourceInUse as error:
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
else:
    raise AssertionError("a second job of the name was made")

step("mistake: an unknown job raises ClientError")
try:
    sagemaker.describe_training_job(TrainingJobName="boto3-missing")
except ClientError as error:
    assert error.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound"), error
    assert "not found" in str(error), error
else:
    raise AssertionError("an unknown job was described")

step("mistake: a malformed name raises ValidationException in Coral's words")
try:
    sagemaker.create_training_job(**{**request, "TrainingJobName": "not_a_name"})
except ClientError as error:
    assert error.response["Error"]["Code"] == "ValidationException"
    assert "failed to satisfy constraint" in str(error) and "trainingJobName" in str(error), error
else:
    raise AssertionError("a malformed name was accepted")

step("mistake: a missing member is refused by botocore before the wire")
try:
    sagemaker.create_training_job(TrainingJobName="boto3-empty")
except ParamValidationError as error:
    assert "RoleArn" in str(error)
else:
    raise AssertionError("an empty request was sent")

step("stop_training_job")
sagemaker.create_training_job(
    **{
        **request,
        "TrainingJobName": "boto3-stopped",
        "AlgorithmSpecification": {
            **request["AlgorithmSpecification"],
            "ContainerEntrypoint": ["sleep", "100"],
        },
    }
)
sagemaker.stop_training_job(TrainingJobName="boto3-stopped")
waiter.wait(TrainingJobName="boto3-stopped", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
job = sagemaker.describe_training_job(TrainingJobName="boto3-stopped")
assert job["TrainingJobStatus"] == "Stopped", job

step("delete_training_job")
sagemaker.delete_training_job(TrainingJobName="boto3-stopped")
assert not sagemaker.list_training_jobs(NameContains="boto3-stopped")["TrainingJobSummaries"]
