"""Hyperparameter tuning and batch transform jobs, with their waiters and lists."""

import os
import time

import boto3
from steps import step

ROLE, BUCKET = os.environ["ROLE"], os.environ["BUCKET"]
IMAGE = "000000000000.dkr.ecr.us-east-1.amazonaws.com/conformance:1"
sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")

step("create_hyper_parameter_tuning_job, describe until Completed")
sagemaker.create_hyper_parameter_tuning_job(
    HyperParameterTuningJobName="boto3-tuning",
    HyperParameterTuningJobConfig={
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "IntegerParameterRanges": [{"Name": "depth", "MinValue": "1", "MaxValue": "9"}]
        },
        "RandomSeed": 1,
    },
    TrainingJobDefinition={
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "validation:loss=([0-9.]+);"}],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/boto3-tuning"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    },
)
job = {"HyperParameterTuningJobStatus": "InProgress"}
while job["HyperParameterTuningJobStatus"] == "InProgress":
    time.sleep(0.5)
    job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="boto3-tuning")
assert job["HyperParameterTuningJobStatus"] == "Completed", job
assert job["TrainingJobStatusCounters"]["Completed"] == 3, job
assert job["ObjectiveStatusCounters"]["Succeeded"] == 3, job

step("paginator list_training_jobs_for_hyper_parameter_tuning_job")
paginator = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
pages = paginator.paginate(
    HyperParameterTuningJobName="boto3-tuning",
    SortBy="FinalObjectiveMetricValue",
    SortOrder="Ascending",
    PaginationConfig={"PageSize": 2},
)
trials = [trial for page in pages for trial in page["TrainingJobSummaries"]]
values = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in trials]
assert values == sorted(values), values
assert len(values) == 3, values
assert job["BestTrainingJob"]["TrainingJobName"] == trials[0]["TrainingJobName"]

step("list_hyper_parameter_tuning_jobs, list_tags")
listed = sagemaker.list_hyper_parameter_tuning_jobs(NameContains="boto3")
summaries = listed["HyperParameterTuningJobSummaries"]
assert [each["HyperParameterTuningJobName"] for each in summaries] == ["boto3-tuning"]
assert sagemaker.list_tags(ResourceArn=job["HyperParameterTuningJobArn"])["Tags"] == []

step("create_transform_job; waiter transform_job_completed_or_stopped; the output in S3")
sagemaker.create_model(
    ModelName="boto3-transform",
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/models/one.tar.gz"},
)
s3.put_object(Bucket=BUCKET, Key="boto3-transform/rows.csv", Body=b"1\n2\n3\n")
sagemaker.create_transform_job(
    TransformJobName="boto3-transform",
    ModelName="boto3-transform",
    BatchStrategy="SingleRecord",
    TransformInput={
        "DataSource": {
            "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/boto3-transform/"}
        },
        "ContentType": "text/csv",
        "SplitType": "Line",
    },
    TransformOutput={"S3OutputPath": f"s3://{BUCKET}/boto3-transformed", "AssembleWith": "Line"},
    TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
)
sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
    TransformJobName="boto3-transform", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
)
body = s3.get_object(Bucket=BUCKET, Key="boto3-transformed/rows.csv.out")["Body"].read()
assert len(body.splitlines()) == 3, body

step("describe_transform_job, list_transform_jobs")
job = sagemaker.describe_transform_job(TransformJobName="boto3-transform")
assert job["TransformJobStatus"] == "Completed", job
listed = sagemaker.list_transform_jobs(NameContains="boto3")["TransformJobSummaries"]
assert [each["TransformJobName"] for each in listed] == ["boto3-transform"]
