"""Processing jobs: create, wait, outputs, a failure, list, stop."""

import os

import boto3
from botocore.exceptions import WaiterError
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
s3.put_object(Bucket=BUCKET, Key="boto3-processing/words.txt", Body=b"sun and rain")
waiter = sagemaker.get_waiter("processing_job_completed_or_stopped")
soon = {"Delay": 1, "MaxAttempts": 60}

request = {
    "ProcessingJobName": "boto3-processing",
    "RoleArn": ROLE,
    "AppSpecification": {
        "ImageUri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1",
        "ContainerArguments": ["--fast"],
    },
    "ProcessingInputs": [
        {
            "InputName": "words",
            "S3Input": {
                "S3Uri": f"s3://{BUCKET}/boto3-processing/",
                "LocalPath": "/opt/ml/processing/input",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    ],
    "ProcessingOutputConfig": {
        "Outputs": [
            {
                "OutputName": "capitals",
                "S3Output": {
                    "S3Uri": f"s3://{BUCKET}/boto3-capitals",
                    "LocalPath": "/opt/ml/processing/output",
                    "S3UploadMode": "EndOfJob",
                },
            }
        ]
    },
    "ProcessingResources": {
        "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
    },
}

step("create_processing_job; waiter processing_job_completed_or_stopped")
sagemaker.create_processing_job(**request)
waiter.wait(ProcessingJobName="boto3-processing", WaiterConfig=soon)
job = sagemaker.describe_processing_job(ProcessingJobName="boto3-processing")
assert job["ProcessingJobStatus"] == "Completed", job

step("the outputs are in S3")
body = s3.get_object(Bucket=BUCKET, Key="boto3-capitals/words.txt")["Body"].read()
assert body == b"SUN AND RAIN", body

step("a failing job: the waiter raises WaiterError")
failing = {**request["AppSpecification"], "ContainerEntrypoint": ["false"]}
sagemaker.create_processing_job(
    **{**request, "ProcessingJobName": "boto3-processing-failing", "AppSpecification": failing}
)
try:
    waiter.wait(ProcessingJobName="boto3-processing-failing", WaiterConfig=soon)
except WaiterError as error:
    assert error.last_response["ProcessingJobStatus"] == "Failed"
    assert error.last_response["FailureReason"]
else:
    raise AssertionError("the waiter did not raise")

step("stop_processing_job")
endless = {**request["AppSpecification"], "ContainerEntrypoint": ["sleep", "100"]}
sagemaker.create_processing_job(
    **{**request, "ProcessingJobName": "boto3-processing-endless", "AppSpecification": endless}
)
sagemaker.stop_processing_job(ProcessingJobName="boto3-processing-endless")
waiter.wait(ProcessingJobName="boto3-processing-endless", WaiterConfig=soon)

step("paginator list_processing_jobs")
paginator = sagemaker.get_paginator("list_processing_jobs")
pages = list(paginator.paginate(NameContains="boto3-", PaginationConfig={"PageSize": 2}))
found = {job["ProcessingJobName"]: job for page in pages for job in page["ProcessingJobSummaries"]}
assert len(pages) == 2, pages
assert found["boto3-processing-endless"]["ProcessingJobStatus"] == "Stopped", found
